"""`up` with its private broker and every worker, and what it refuses."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dcmrelay.running import answers, listening
from shared.config import load
from tests.dcmrelay.relays import Command, write_config
from tests.peers import free_port, tool
from tests.support import eventually

LATER = """
[profile.p]
options = ["clean-pixel-data"]
[[route]]
name = "outside"
to = ["reading"]
profile = "p"
"""


class Up:
    """A running `dcmrelay up`."""

    def __init__(self, folder: Path) -> None:
        self.path = write_config(folder, port=free_port())
        self.config = load(self.path)
        self.log = folder / "log"
        self.start()

    def start(self) -> None:
        """Starts it in the background."""
        tool("rabbitmq-server")
        command = [sys.executable, "-m", "dcmrelay", "up", "--config", str(self.path)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def said(self) -> str:
        """What it printed so far."""
        return self.log.read_text(encoding="utf-8")

    def wait_ready(self) -> str:
        """Its READY line."""
        return eventually(
            lambda: next((it for it in self.said().splitlines() if it.startswith("READY")), ""), seconds=60
        )

    def workers(self) -> dict[str, int]:
        """Process ids of its workers, by kind (and destination)."""
        return {
            " ".join((words[3], *words[6:])): int(pid)
            for pid in (entry.name for entry in Path("/proc").iterdir())
            if pid.isdigit() and str(self.path) in (words := _command_line(pid)) and words[3] != "up"
        }


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    """A relay that said READY; stopped afterwards."""
    running = Up(tmp_path)
    try:
        running.wait_ready()
        yield running
    finally:
        running.process.terminate()
        running.process.wait(30)


def test_up_runs_every_worker_keeps_it_running_and_stops_them_all(up: Up, command: Command) -> None:
    assert f"READY: DICOM on 127.0.0.1:{up.config.ingress.listen[0].port} as DCMRELAY, 2 destinations" in up.said()
    workers = eventually(lambda: len(up.workers()) == 7 and up.workers(), seconds=20)
    assert sorted(workers) == [
        "anonymizer", "ingress", "janitor", "ledger", "router", "sender archive", "sender reading",
    ]  # fmt: skip
    assert answers(*listening(up.config)[0])

    targets = json.loads((up.config.relay.data_dir / "run/prometheus-targets.json").read_text())
    names = sorted(target["labels"]["worker"] for target in targets)
    assert names == sorted([*workers, "up", "rabbitmq"])
    for target in targets:
        host, port = target["targets"][0].split(":")
        assert eventually(lambda host=host, port=port: answers(host, int(port)), seconds=20), target

    refused = command("up")
    assert refused.code == 1
    assert "is in use by another `dcmrelay up`; stop that one" in refused.err

    os.kill(workers["router"], signal.SIGKILL)
    eventually(lambda: up.workers().get("router", workers["router"]) != workers["router"], seconds=20)
    assert "router ended: signal 9; next start in 0.5 s" in up.said()

    begun = time.monotonic()
    up.process.send_signal(signal.SIGTERM)
    assert up.process.wait(30) == 0
    assert time.monotonic() - begun < 20
    assert up.workers() == {}
    assert listening(up.config) == []


def test_killed_up_leaves_no_worker_and_starts_again_at_once(up: Up) -> None:
    eventually(lambda: len(up.workers()) == 7, seconds=20)
    os.kill(up.process.pid, signal.SIGKILL)
    up.process.wait()
    up.start()
    up.wait_ready()
    assert len(eventually(lambda: len(up.workers()) == 7 and up.workers(), seconds=20)) == 7


def test_a_port_in_use_is_one_line(tmp_path: Path, command: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        write_config(tmp_path, port=port)
        said = command("up")
    assert said.code == 1
    assert said.err.splitlines()[-1] == (
        f"dcmrelay: cannot listen on 127.0.0.1:{port}: Address already in use; "
        "stop what listens there, or change [ingress] listen"
    )
    assert not (tmp_path / "var/broker").exists()


def test_a_wrong_broker_password_is_one_line(
    tmp_path: Path, command: Command, broker_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_config(tmp_path)
    user, _, host = broker_url.partition("@")
    monkeypatch.setenv("DCMRELAY_BROKER_URL", f"{user.rpartition(':')[0]}:mistaken@{host}")
    said = command("up")
    lines = [line for line in said.err.splitlines() if line.startswith("dcmrelay: ")]
    assert said.code == 1
    assert len(lines) == 1
    assert "RabbitMQ" in lines[0]
    assert "mistaken" not in said.err
    assert "READY" not in said.out


def test_every_problem_of_a_configuration_is_a_line_and_nothing_starts(tmp_path: Path, command: Command) -> None:
    write_config(tmp_path, more='[relays]\n[[route]]\nname = "x"\nto = ["nowhere"]\n')
    said = command("up")
    assert said.code == 2
    assert len(said.err.splitlines()) == 2
    assert "relays" in said.err
    assert "nowhere" in said.err
    assert not (tmp_path / "var").exists()


def test_what_is_not_built_yet_is_refused_at_start_but_checks(tmp_path: Path, command: Command) -> None:
    path = write_config(tmp_path, more=LATER)
    refused, checked = command("up"), command("check", path)
    assert refused.code == 2
    assert refused.err.startswith(f"{path}: profile 'p' key options: clean-pixel-data is not built in this version")
    assert refused.err.count("\n") == 1
    assert checked.code == 0
    assert f"warning: {refused.err}" in checked.out
    assert checked.out.splitlines()[-1].startswith(
        f"{path}: OK: DCMRELAY on 127.0.0.1:0, 1 source, 2 destinations, 2 routes"
    )


def test_check_names_every_problem_and_exits_2(tmp_path: Path, command: Command) -> None:
    path = write_config(tmp_path, more='[relays]\n[[route]]\nname = "x"\nto = ["nowhere"]\n')
    said = command("check", path)
    assert (said.code, said.out) == (2, "")
    assert len(said.err.splitlines()) == 2


def test_a_folder_that_is_not_the_relays_is_one_line(tmp_path: Path, command: Command) -> None:
    write_config(tmp_path)
    (tmp_path / "var").mkdir()
    (tmp_path / "var/photos").mkdir()
    said = command("up")
    assert said.code == 1
    assert "is the right volume mounted?" in said.err
    assert said.err.count("\n") == 1


def test_what_nobody_foresaw_is_one_line_without_values(tmp_path: Path) -> None:
    program = (
        "import sys, dcmrelay.cli as cli\n"
        "def broken(_): raise ValueError('CANARY^PATIENT')\n"
        "cli.find = broken; sys.argv = ['dcmrelay', 'status']; cli.main()\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith("dcmrelay: a bug: ValueError at <string>:2 < cli.py:")
    assert ended.stderr.count("\n") == 1
    assert "CANARY" not in ended.stderr + ended.stdout


def _command_line(pid: str) -> list[str]:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
    except OSError:
        return []
    return words if words[1:3] == ["-m", "dcmrelay"] else []
