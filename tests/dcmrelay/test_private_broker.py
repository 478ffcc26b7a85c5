"""The private RabbitMQ node, as the relay and an administrator meet it."""

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pika
import pika.exceptions
import pytest

from dcmrelay.broker_settings import load_settings
from dcmrelay.private_broker import PrivateBroker
from shared.errors import StartError
from tests.brokers import management
from tests.support import eventually

_STARTS_A_NODE_AND_WAITS = """
import sys, time
from pathlib import Path
from dcmrelay.private_broker import PrivateBroker
node = PrivateBroker(Path(sys.argv[1]))
node.start()
print(node.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def own_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateBroker]:
    """A node that these tests may kill and erase; each of them starts it when it is not running."""
    node = PrivateBroker(tmp_path_factory.mktemp("own") / "data dir with spaces")
    yield node
    node.stop(0)


def test_each_test_has_a_virtual_host_of_its_own(broker_url: str, shared_broker: PrivateBroker) -> None:
    assert _declares_a_quorum_queue(broker_url)
    assert not broker_url.endswith("/")
    assert b'"bells"' not in management(shared_broker, "GET", "/api/queues/%2F")


def test_the_url_file_lets_another_program_in_and_only_its_owner_reads_it(shared_broker: PrivateBroker) -> None:
    file = shared_broker.directory / "url"
    assert _declares_a_quorum_queue(file.read_text().strip())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE((shared_broker.directory / "rabbitmq.conf").stat().st_mode) == 0o600


def test_the_guest_account_does_not_exist(shared_broker: PrivateBroker) -> None:
    stranger = f"amqp://guest:guest@127.0.0.1:{shared_broker.settings.amqp_port}/"
    with pytest.raises(pika.exceptions.ProbableAuthenticationError):
        pika.BlockingConnection(pika.URLParameters(stranger))


def test_the_node_serves_its_metrics(shared_broker: PrivateBroker) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{shared_broker.prometheus_port}/metrics", timeout=10) as answer:
        assert b"rabbitmq_build_info" in answer.read()


def test_the_node_listens_on_loopback_only(shared_broker: PrivateBroker) -> None:
    listening = _listening_addresses(shared_broker.pid)
    assert listening
    assert {address for address, _ in listening} == {"0100007F"}


def test_a_killed_broker_is_seen_as_dead_and_keeps_its_queues_when_started_again(own_node: PrivateBroker) -> None:
    own_node.start()
    url = own_node.url
    assert _declares_a_quorum_queue(url)
    os.kill(own_node.pid, signal.SIGKILL)
    eventually(lambda: not own_node.alive())
    own_node.start()
    assert own_node.url == url
    assert eventually(lambda: _has_queue(url))


def test_a_broker_whose_data_were_erased_starts_empty_under_the_same_url(own_node: PrivateBroker) -> None:
    own_node.start()
    url = own_node.url
    assert _declares_a_quorum_queue(url)
    own_node.stop()
    shutil.rmtree(own_node.directory / "data")
    own_node.start()
    assert own_node.url == url
    assert not _has_queue(url)


def test_the_broker_ends_with_the_program_that_started_it(tmp_path: Path) -> None:
    parent, pid = _program_with_a_node(tmp_path)
    parent.kill()
    parent.communicate()
    eventually(lambda: not _runs(pid))


def test_what_a_killed_relay_left_running_is_ended_by_the_next_start(tmp_path: Path) -> None:
    parent, pid = _program_with_a_node(tmp_path)
    os.kill(pid, signal.SIGSTOP)  # so that it cannot end by itself
    parent.kill()
    parent.communicate()
    node = PrivateBroker(tmp_path)
    node.start()
    try:
        assert not _runs(pid)
        assert node.pid != pid
    finally:
        node.stop(0)


def test_a_second_relay_on_the_same_directory_is_refused(shared_broker: PrivateBroker) -> None:
    second = PrivateBroker(shared_broker.directory)
    with pytest.raises(StartError, match="in use by another dcmrelay"):
        second.start()
    assert shared_broker.alive()


def test_a_port_taken_while_the_node_was_down_is_replaced(tmp_path: Path) -> None:
    before = load_settings(tmp_path / "node.json")
    with socket.create_server(("127.0.0.1", before.amqp_port)):
        after = load_settings(tmp_path / "node.json")
    assert after.amqp_port != before.amqp_port
    assert (after.password, after.prometheus_port) == (before.password, before.prometheus_port)
    assert load_settings(tmp_path / "node.json") == after


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartError, match=r"file/broker.*make it writable"):
        PrivateBroker(tmp_path / "file" / "broker").start()


def test_a_node_that_cannot_boot_names_its_log(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the node wants a folder")
    node = PrivateBroker(tmp_path)
    with pytest.raises(StartError, match=r"did not start; see .*log"):
        node.start()
    assert not node.alive()


def test_a_missing_rabbitmq_names_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DCMRELAY_TOOLS", str(tmp_path / "nothing"))
    monkeypatch.setattr("dcmrelay.tools._SYSTEM_PLACES", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StartError, match="rabbitmq-server is not installed; run `make setup`"):
        PrivateBroker(tmp_path / "broker").start()


def _program_with_a_node(directory: Path) -> tuple[subprocess.Popen[str], int]:
    command = [sys.executable, "-c", _STARTS_A_NODE_AND_WAITS, str(directory)]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    return parent, int(parent.stdout.readline())


def _declares_a_quorum_queue(url: str) -> bool:
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.queue_declare("bells", durable=True, arguments={"x-queue-type": "quorum"})
    return True


def _has_queue(url: str) -> bool:
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        try:
            connection.channel().queue_declare("bells", passive=True)
        except pika.exceptions.ChannelClosedByBroker:
            return False
    return True


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def _listening_addresses(pid: int) -> set[tuple[str, str]]:
    inodes = {target[8:-1] for target in _open_files(pid) if target.startswith("socket:[")}
    rows = [
        row.split() for name in ("tcp", "tcp6") for row in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]
    ]
    return {tuple(row[1].split(":", 1)) for row in rows if row[3] == "0A" and row[9] in inodes}  # type: ignore[misc]


def _open_files(pid: int) -> list[str]:
    return [str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()]
