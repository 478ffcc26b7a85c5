"""What is wrong is said in one clear line with an exit code, and costs nothing that is right."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from dcmrelay.private_broker import PrivateBroker
from tests.peers import StoreScp, dcmsend, echoscu, store_scp
from tests.support import eventually
from tests.system.images import ct_study, hashes
from tests.system.relay import Relay, destination, relay_in, route

_MANY_PROBLEMS = """
[relay]
ae_title = "A TITLE THAT IS TOO LONG"
timezone = "Europe/Lissabon"
[[source]]
name = "ct-1"
ae_titel = "CT1"
[[destination]]
name = "archive"
ae_title = "ARCHIVE"
host = "127.0.0.1"
port = 104000
[[route]]
name = "all"
to = ["archiv"]
"""


@dataclass
class Running:
    """A relay in order, for those who do something wrong to it."""

    relay: Relay
    archive: StoreScp


@pytest.fixture(scope="module")
def running(
    tmp_path_factory: pytest.TempPathFactory, module_broker: str, refused: dict[str, Relay]
) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("bad-input")
    with store_scp(folder, ae_title="ARCHIVE") as archive, relay_in(folder / "relay", module_broker) as relay:
        relay.configure(destination("archive", archive.port), route("archive", "archive"))
        relay.start()
        yield Running(relay, archive)
        relay.stop()


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory, shared_broker: PrivateBroker) -> Iterator[dict[str, Relay]]:
    """Relays that cannot start, all started at once, as each is tried a few times."""
    folder = tmp_path_factory.mktemp("refused")
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        relay_in(folder / "port", shared_broker.url) as port,
        relay_in(folder / "password") as password,
    ):
        port.port = taken.getsockname()[1]
        port.configure("", "")
        _with_wrong_password(password, shared_broker)
        for relay in (port, password):
            relay.launch()
        yield {"port": port, "password": password}


def _with_wrong_password(relay: Relay, node: PrivateBroker) -> None:
    url = urlsplit(node.url)
    (relay.folder / "password").write_text("wrong-secret\n")
    broker = f'[broker]\nurl = "amqp://{url.username}@127.0.0.1:{url.port}/%2F"\npassword_file = "password"\n'
    relay.configure("", broker)


def _ended(relay: Relay) -> tuple[int, str]:
    """Exit code of an `up` that gives up, and the last line it printed."""
    return relay.ended(seconds=40), relay.log.splitlines()[-1]


def test_every_problem_of_a_broken_configuration_is_named(tmp_path: Path) -> None:
    with relay_in(tmp_path) as relay:
        relay.config.write_text(_MANY_PROBLEMS)
        said = [relay.run(command) for command in ("check", "up", "status")]
    assert [one.returncode for one in said] == [2, 2, 2]
    lines = said[0].stderr.splitlines()
    for word in ("A TITLE THAT IS TOO LONG", "Europe/Lissabon", "key ae_titel", "104000", "'archiv'"):
        assert sum(word in line for line in lines) == 1, word
    assert {one.stderr for one in said} == {said[0].stderr}
    assert "Traceback" not in said[0].stderr
    assert not relay.data.exists()


def test_up_says_that_the_port_is_in_use_and_ends(refused: dict[str, Relay]) -> None:
    relay = refused["port"]
    code, line = _ended(relay)
    assert code == 1
    assert f"127.0.0.1:{relay.port}" in line
    assert "in use" in line
    assert "Traceback" not in relay.log
    assert not relay.pids()


def test_up_says_that_the_broker_refuses_the_password_and_ends(refused: dict[str, Relay]) -> None:
    relay = refused["password"]
    code, line = _ended(relay)
    assert code == 1
    assert "password_file" in line
    assert "refused user 'dcmrelay'" in line
    assert "wrong-secret" not in relay.log
    assert "Traceback" not in relay.log
    assert not relay.pids()


def test_up_says_that_another_volume_is_mounted(tmp_path: Path) -> None:
    with relay_in(tmp_path) as relay:
        relay.configure("", "")
        (relay.data / "holiday-photos").mkdir(parents=True)
        said = relay.run("up")
    assert said.returncode == 1
    (line,) = said.stderr.splitlines()
    assert str(relay.data) in line
    assert "holiday-photos" in line
    assert "right volume" in line
    assert [path.name for path in relay.data.iterdir()] == ["holiday-photos"]


def test_up_says_that_the_data_folder_cannot_be_written(tmp_path: Path) -> None:
    with relay_in(tmp_path) as relay:
        relay.configure("", "")
        relay.data.mkdir(mode=0o555)
        said = relay.run("up", obeying_modes=True)
    assert said.returncode == 1
    (line,) = said.stderr.splitlines()
    assert str(relay.data) in line
    assert "Permission denied" in line
    assert "writable" in line


def test_an_unknown_ae_title_is_rejected_and_logged_without_its_text(running: Running) -> None:
    before = running.relay.log.count("refused")
    asked = echoscu(running.relay.port, calling="\x1b[31mEVIL")
    assert asked.returncode != 0
    assert "Calling AE Title Not Recognized" in asked.stderr
    eventually(lambda: running.relay.log.count("refused") == before + 1)
    assert "\x1b" not in running.relay.log
    assert "EVIL" not in running.relay.log


def test_an_unknown_called_ae_title_is_rejected(running: Running) -> None:
    assert "Called AE Title Not Recognized" in echoscu(running.relay.port, calling="CT1", called="WHO").stderr


def test_send_hands_over_what_is_whole_and_names_what_is_not(running: Running, tmp_path: Path) -> None:
    files = ct_study(tmp_path, 4)
    (tmp_path / "notes.dcm").write_text("not an image")
    files[1].write_bytes(files[1].read_bytes()[:-1000])
    said = running.relay.run("send", "--source", "ct-1", *files, tmp_path / "notes.dcm")
    assert said.returncode == 1
    assert [line.partition(": ")[2].partition(":")[0] for line in said.stderr.splitlines()] == [
        str(files[1]), str(tmp_path / "notes.dcm"),
    ]  # fmt: skip
    assert "truncated" in said.stderr.splitlines()[0]
    assert "not a DICOM file" in said.stderr.splitlines()[1]
    assert said.stdout.startswith("3 sent (3 success (0000)), 2 not sent")
    whole = hashes([files[0], *files[2:]])
    running.relay.comes_to_rest()
    assert whole.items() <= hashes(running.archive.files()).items()


def test_echo_to_an_unknown_destination_names_those_that_are_known(running: Running) -> None:
    said = running.relay.run("echo", "archiv")
    assert said.returncode == 1
    assert said.stderr == "dcmrelay: there is no destination 'archiv' in the configuration; it has: archive\n"


def test_a_second_up_on_the_same_data_folder_is_refused(running: Running) -> None:
    said = running.relay.run("up")
    assert said.returncode == 1
    assert f"{running.relay.data} is in use by another `dcmrelay up`" in said.stderr
    assert running.relay.status()["ingress"]


def test_nothing_is_accepted_while_the_volume_is_not_mounted(running: Running, tmp_path: Path) -> None:
    marker = running.relay.data / "dcmrelay-volume.json"
    marker.rename(marker.with_suffix(".away"))
    try:
        sent = dcmsend(running.relay.port, *ct_study(tmp_path, 1), calling="CT1")
        assert "DUL Association Rejected" in sent.stderr
    finally:
        marker.with_suffix(".away").rename(marker)
    assert echoscu(running.relay.port, calling="CT1").returncode == 0
