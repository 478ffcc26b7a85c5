"""How a worker process starts, stops and gives up; each in a process of its own."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import eventually

CONFIG = """
[relay]
data_dir = "var"
[[source]]
name = "ct-1"
ae_title = "CT1"
[[destination]]
name = "archive"
ae_title = "ARCHIVE"
host = "127.0.0.1"
port = 104
[[route]]
name = "all"
to = ["archive"]
"""
# What a worker is, before its work.
BEGINNING = """
import sys, structlog
from pathlib import Path
from shared import service
from shared.errors import BrokerError, StartError
log = structlog.get_logger()
def work(ours):
    {work}
sys.exit(service.run("test", Path("dcmrelay.toml"), work))
"""


def worker(folder: Path, work: str, text: str = CONFIG, **environment: str) -> subprocess.Popen[str]:
    """Starts a worker whose work is these statements."""
    (folder / "dcmrelay.toml").write_text(text, encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, "-c", BEGINNING.format(work="\n    ".join(work.splitlines()))],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(folder: Path, work: str, text: str = CONFIG, **environment: str) -> tuple[int, str]:
    """Exit code of such a worker, and what it wrote to standard error."""
    process = worker(folder, work, text, **environment)
    out, err = process.communicate(timeout=30)
    assert out == ""
    return process.returncode, err


def test_a_worker_that_has_done_its_work_ends_well(tmp_path: Path) -> None:
    code, err = ended(tmp_path, "assert ours.spool.config(ours.config.hash) == ours.config.snapshot()")
    assert code == 0
    lines = err.splitlines()
    assert len(lines) == 3
    assert all("worker=test" in line and "level=info" in line for line in lines)
    assert "event=started" in lines[1]
    assert "event=stopped" in lines[2]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_says_stop_and_the_worker_ends_in_its_own_time(tmp_path: Path, number: signal.Signals) -> None:
    process = worker(tmp_path, 'Path("up").touch()\nours.stopping.wait()\nlog.info("tidied")')
    eventually((tmp_path / "up").exists)
    process.send_signal(number)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 0
    assert "event=tidied" in err


def test_a_worker_that_does_not_end_is_ended_and_gives_back_what_it_has(tmp_path: Path) -> None:
    work = """
service.STOP_SECONDS = 0.1
service.stop_by_force(ours, lambda: Path("given-back").touch())
Path("up").touch()
while True: ours.stopping.clear(); ours.stopping.wait(60)
""".strip()
    process = worker(tmp_path, work)
    eventually((tmp_path / "up").exists)
    process.terminate()
    _, err = process.communicate(timeout=10)
    assert process.returncode == 0
    assert (tmp_path / "given-back").exists()
    assert "event=stopped_by_force" in err


def test_every_lane_gives_back_though_one_hangs(tmp_path: Path) -> None:
    work = """
service.STOP_SECONDS, service.GIVE_BACK_SECONDS = 0.1, 0.5
service.stop_by_force(ours, lambda: __import__("threading").Event().wait())
for name in ("first", "second"): service.stop_by_force(ours, lambda name=name: Path(name).touch())
Path("up").touch()
while True: ours.stopping.clear(); ours.stopping.wait(60)
""".strip()
    process = worker(tmp_path, work)
    eventually((tmp_path / "up").exists)
    process.terminate()
    process.communicate(timeout=10)
    assert process.returncode == 0
    assert (tmp_path / "first").exists()
    assert (tmp_path / "second").exists()


def test_every_problem_of_a_configuration_is_a_line(tmp_path: Path) -> None:
    text = CONFIG.replace("port = 104", "port = 70000").replace('name = "ct-1"', 'name = "CT 1"')
    code, err = ended(tmp_path, "pass", text)
    assert code == 2
    lines = err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("dcmrelay test: dcmrelay.toml: ") for line in lines)


UNBUILT = """
[profile.p]
options = ["clean-pixel-data"]
[[route]]
name = "unbuilt"
to = ["archive"]
profile = "p"
"""


def test_a_configuration_that_asks_for_what_is_not_built_is_refused(tmp_path: Path) -> None:
    code, err = ended(tmp_path, "pass", CONFIG + UNBUILT)
    assert code == 2
    assert "is not built in this version" in err


def test_a_worker_that_cannot_start_says_why_in_one_line(tmp_path: Path) -> None:
    code, err = ended(tmp_path, 'raise StartError("the moon is in the way: wait")')
    assert code == 1
    assert err.splitlines()[-1] == "dcmrelay test: the moon is in the way: wait"
    assert "Traceback" not in err


def test_what_nobody_foresaw_is_told_by_place_and_never_by_its_text(tmp_path: Path) -> None:
    code, err = ended(tmp_path, 'raise ValueError("CANARY^PATIENT")')
    assert code == 1
    assert "CANARY" not in err
    assert err.splitlines()[-1] == "dcmrelay test: ended by a fault: ValueError at <string>:8"


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("ours.takers.append(broken)", "the configuration that changed was not taken"),
        ("ours.judges.append(broken)", "what it does beside, config, broke off"),
    ],
)
def test_a_worker_that_cannot_take_what_changed_ends_with_one_line(tmp_path: Path, broken: str, said: str) -> None:
    work = f"def broken(config):\n    raise KeyError('CANARY')\n{broken}\nPath('up').touch()\nours.stopping.wait(20)"
    process = worker(tmp_path, work)
    eventually((tmp_path / "up").exists)
    (tmp_path / "dcmrelay.toml").write_text(CONFIG.replace("port = 104", "port = 105"), encoding="utf-8")
    _, err = process.communicate(timeout=20)
    lines = [line for line in err.splitlines() if line.startswith("dcmrelay test: ")]
    assert process.returncode == 1
    assert len(lines) == 1
    assert f"{said}: KeyError at" in lines[0]
    assert "CANARY" not in err


def test_a_folder_that_is_not_a_relays_is_refused(tmp_path: Path) -> None:
    (tmp_path / "var").mkdir()
    (tmp_path / "var/somebody-elses").touch()
    code, err = ended(tmp_path, "pass")
    assert code == 1
    assert "is the right volume mounted?" in err


def test_a_metrics_port_in_use_is_said_with_its_remedy(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, err = ended(tmp_path, "pass", DCMRELAY_METRICS_PORT=str(port))
    assert code == 1
    assert f"metrics cannot listen on 127.0.0.1:{port}" in err
    assert "[metrics] listen" in err


def test_without_any_broker_a_worker_says_how_to_get_one(tmp_path: Path) -> None:
    code, err = ended(tmp_path, "ours.broker_url()", DCMRELAY_BROKER_URL="")
    assert code == 1
    assert "set [broker] url, or start this relay with `dcmrelay up`" in err


def test_the_private_nodes_address_is_found_in_the_data_folder(tmp_path: Path) -> None:
    work = 'folder = ours.config.relay.data_dir / "broker"\nfolder.mkdir()\n(folder / "url").write_text("amqp://u:p@h/\\n")'
    code, _ = ended(tmp_path, f'{work}\nassert ours.broker_url() == "amqp://u:p@h/"', DCMRELAY_BROKER_URL="")
    assert code == 0


def test_a_given_address_comes_before_the_private_nodes(tmp_path: Path) -> None:
    code, _ = ended(tmp_path, 'assert ours.broker_url() == "amqp://u:p@h/"', DCMRELAY_BROKER_URL="amqp://u:p@h/")
    assert code == 0


def test_what_a_worker_makes_is_for_its_own_user_only(tmp_path: Path) -> None:
    code, _ = ended(tmp_path, 'Path("made").touch()')
    assert code == 0
    assert (tmp_path / "made").stat().st_mode & 0o777 == 0o600


def test_logs_are_json_for_machines_one_line_each(tmp_path: Path) -> None:
    code, err = ended(tmp_path, 'log.warning("two words", count=3)', DCMRELAY_LOG_FORMAT="json")
    assert code == 0
    said = [json.loads(line) for line in err.splitlines()]
    assert [line["event"] for line in said][1:] == ["started", "two words", "stopped"]
    assert (said[2]["worker"], said[2]["level"], said[2]["count"]) == ("test", "warning", 3)
    assert said[2]["timestamp"].endswith("Z")


def test_the_level_of_our_logs_can_be_chosen(tmp_path: Path) -> None:
    _, err = ended(tmp_path, 'log.debug("detail")', DCMRELAY_LOG_LEVEL="debug")
    assert "event=detail" in err
    _, err = ended(tmp_path, 'log.info("detail")', DCMRELAY_LOG_LEVEL="error")
    assert err == ""


@pytest.mark.parametrize("library", ["pika", "pydicom", "pynetdicom"])
def test_other_libraries_are_silent_for_their_texts_quote_values(tmp_path: Path, library: str) -> None:
    work = f"""
import logging, warnings
logging.getLogger("{library}.anything").error("CANARY^PATIENT")
logging.getLogger("{library}").critical("CANARY^PATIENT")
warnings.warn("CANARY^PATIENT")
""".strip()
    code, err = ended(tmp_path, work)
    assert code == 0
    assert "CANARY" not in err
