"""What must not start does not: `up` and a worker say why in one line, end with an error, and leave nothing running."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from dcmrelay.private_broker import PrivateBroker
from shared.config import load
from shared.spool.volume import prepare
from tests.brokers import management
from tests.peers import free_port
from tests.system.relay import PROFILE, Relay, destination, route

Spoil = Callable[[Relay, PrivateBroker], None]


def no_folder(relay: Relay, node: PrivateBroker) -> None:
    relay.data.write_text("a file stands where the volume should be")


def not_writable(relay: Relay, node: PrivateBroker) -> None:
    prepare(load(relay.config))
    (relay.data / "spool/tmp").chmod(0o500)


def not_mounted(relay: Relay, node: PrivateBroker) -> None:
    relay.data.mkdir()
    (relay.data / "what-the-volume-hides").touch()


def wrong_password(relay: Relay, node: PrivateBroker) -> None:
    relay.broker_url = relay.broker_url.replace(node.settings.password, "mistyped")


def other_arguments(relay: Relay, node: PrivateBroker) -> None:
    vhost = relay.broker_url.rpartition("/")[2]
    queue = {"durable": True, "arguments": {"x-queue-type": "classic"}}
    management(node, "PUT", f"/api/queues/{vhost}/dcmrelay.route", json.dumps(queue).encode())


def unknown_key(relay: Relay, node: PrivateBroker) -> None:
    relay.config.write_text(relay.config.read_text().replace("[relay]", "[relay]\nretension = '9d'"))


def missing_key_file(relay: Relay, node: PrivateBroker) -> None:
    prepare(load(relay.config))
    (relay.data / "pseudonym.key").unlink()


@pytest.mark.parametrize(
    ("spoil", "words", "code"),
    [
        (no_folder, "check that it is mounted and writable", 1),
        (not_writable, "check its owner and the mount", 1),
        (not_mounted, "is the right volume mounted?", 1),
        (wrong_password, "check [broker] url and password_file", 1),
        (other_arguments, "see docs/queues.md", 1),
        (unknown_key, "retension", 2),
        (missing_key_file, "restore it from a backup", 1),
    ],
    ids=lambda it: getattr(it, "__name__", ""),
)
def test_a_start_is_refused_in_one_line(
    tmp_path: Path, broker_url: str, shared_broker: PrivateBroker, spoil: Spoil, words: str, code: int
) -> None:
    relay = Relay(tmp_path, broker_url)
    archive = destination("archive", free_port())
    relay.configure(archive, PROFILE + route("all", "archive", more='profile = "reading"'))
    spoil(relay, shared_broker)
    before = sorted(tmp_path.rglob("parts/*"))
    started = [relay.begin(command) for command in ("up", "ingress")]
    for program in started:
        out, err = program.communicate(timeout=90)
        told = [line for line in err.splitlines() if line.startswith("dcmrelay") or str(relay.config) in line]
        assert (program.returncode, len(told)) == (code, 1), err
        assert words in told[0]
        assert "READY" not in out
        assert not any(word in out + err for word in ("Traceback", "mistyped", shared_broker.settings.password))
    assert relay.pids() == []
    assert sorted(tmp_path.rglob("parts/*")) == before
