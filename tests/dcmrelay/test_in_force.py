"""Commands about a relay go by what it goes by while the file on disk is refused."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from shared.spool.pauses import newest_pause
from tests.dcmrelay.relays import Command, Prepared

_WARNING = "the configuration file is refused, the one before is in force"


@pytest.fixture
def ingress() -> Iterator[int]:
    """The process id of something that looks like an ingress."""
    with subprocess.Popen([sys.executable, "-c", "input()", "ingress", ""], stdin=subprocess.PIPE) as process:
        yield process.pid
        process.kill()


def _accepted(relay: Prepared, pid: int, refused: str = "") -> None:
    run = relay.config.relay.data_dir / "run"
    run.mkdir(exist_ok=True)
    (run / "accepted.json").write_bytes(relay.config.snapshot())
    (run / "reload.json").write_text(json.dumps({"refused": [refused] if refused else []}), encoding="utf-8")
    (run / "ingress.json").write_text(json.dumps({"pid": pid, "addresses": [["127.0.0.1", 1]]}), encoding="utf-8")


def _spoil(relay: Prepared) -> None:
    path = relay.config.relay.data_dir.parent / "dcmrelay.toml"
    path.write_text(path.read_text(encoding="utf-8") + "[spool]\nretension = 1\n", encoding="utf-8")


def _take_out_archive(relay: Prepared) -> None:
    """What is well by itself, and the relay refused it."""
    path = relay.config.relay.data_dir.parent / "dcmrelay.toml"
    text = path.read_text(encoding="utf-8").replace('name = "archive"', 'name = "other"')
    path.write_text(text.replace('to = ["archive", "reading"]', 'to = ["reading"]'), encoding="utf-8")


@pytest.mark.parametrize("change", [_spoil, _take_out_archive])
def test_a_person_acts_while_the_file_is_refused(
    relay: Prepared, command: Command, ingress: int, change: Callable[[Prepared], None]
) -> None:
    (delivery, _) = relay.routed(relay.part(), "archive", "reading")
    relay.held(delivery, "A700 out of resources", "refused")
    _accepted(relay, ingress, refused="[spool] retension: unknown")
    change(relay)
    listed = command("dead", "list")
    assert (listed.code, listed.out.count("archive")) == (1, 1)
    for words in (("studies",), ("show", delivery), ("pause", "archive"), ("resume", "archive"), ("knocked",)):
        said = command(*words)
        assert (said.code, said.err.count(_WARNING), said.err.count("\n")) == (0, 1, 1), words
    assert listed.err.count(_WARNING) == 1


def test_nothing_is_said_where_the_file_is_in_force(relay: Prepared, command: Command, ingress: int) -> None:
    _accepted(relay, ingress)
    assert command("dead", "list").err == ""


def test_names_are_hidden_while_the_file_is_refused(relay: Prepared, command: Command, ingress: int) -> None:
    (delivery, _) = relay.routed(relay.part(), "archive", "reading")
    relay.held(delivery, "READING is not known here", "refused")
    _accepted(relay, ingress, refused="[spool] retension: unknown")
    _spoil(relay)
    assert "READING" in command("dead", "list").out
    assert "READING" not in command("dead", "list", "--no-phi").out


def test_what_an_ended_relay_went_by_does_not_count(relay: Prepared, command: Command, ingress: int) -> None:
    _accepted(relay, ingress)
    (relay.config.relay.data_dir / "run/ingress.json").unlink()
    _spoil(relay)
    assert command("pause", "archive").code == 2


def test_a_file_that_no_relay_goes_beside_is_what_counts(relay: Prepared, command: Command, ingress: int) -> None:
    _accepted(relay, ingress, refused="[spool] retension: unknown")
    (relay.config.relay.data_dir / "run/ingress.json").unlink()
    _take_out_archive(relay)
    said = command("pause", "archive")
    assert (said.code, _WARNING in said.err) == (1, False)
    _spoil(relay)
    (relay.config.relay.data_dir / "run/accepted.json").unlink()
    said = command("dead", "list")
    assert said.code == 2
    assert "retension" in said.err


def test_times_are_read_and_told_in_the_zone_that_the_relay_names(relay: Prepared, command: Command) -> None:
    path = relay.config.relay.data_dir.parent / "dcmrelay.toml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("[relay]", '[relay]\ntimezone = "Asia/Tokyo"', 1), encoding="utf-8")
    said = command("pause", "archive", "--until", "2099-01-01 07:00")
    assert "until 2099-01-01 07:00:00" in said.out
    pause = newest_pause(relay.spool, "archive")
    assert pause is not None
    assert pause.until == datetime(2098, 12, 31, 22, 0, tzinfo=UTC)
