"""`init` writes a first configuration that `check` accepts, or says what it lacks."""

from pathlib import Path

import pytest

from dcmrelay import beginning
from shared.config import load
from tests.dcmrelay.relays import Command

CT, ARCHIVE = "ct-1=CT1@10.0.0.0/8", "archive=ARCHIVE@pacs.example:104"


def test_what_is_given_on_the_command_line_is_written_and_passes_check(tmp_path: Path, command: Command) -> None:
    given = ["--source", CT, "--source", "mr=MR 1", "--destination", ARCHIVE, "--destination", "six=SIX@[::1]:11112"]
    said = command("init", *given, "--ae-title", "RELAY", "--timezone", "Europe/Lisbon", "--listen", "[::1]:11112")
    assert (said.code, "is written; look at it" in said.out) == (0, True)
    config = load(tmp_path / "dcmrelay.toml")
    assert [(it.name, it.ae_title, *map(str, it.hosts)) for it in config.sources] == [
        ("ct-1", "CT1", "10.0.0.0/8"),
        ("mr", "MR 1"),
    ]
    assert [(it.host, it.port) for it in config.destinations] == [("pacs.example", 104), ("::1", 11112)]
    assert config.routes[0].to == ("archive", "six")
    assert (config.relay.ae_title, config.relay.timezone) == ("RELAY", "Europe/Lisbon")
    assert command("check").code == 0


def test_off_loopback_the_file_says_that_the_network_must_be_trusted(tmp_path: Path, command: Command) -> None:
    said = command("init", "--source", CT, "--destination", ARCHIVE, "--listen", "0.0.0.0:104")
    assert "warning: it listens without TLS" in said.out
    assert 'plain = "vpn"' in (tmp_path / "dcmrelay.toml").read_text()
    assert command("check").code == 0


def test_a_person_is_asked_for_the_rest(tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["", "127.0.0.1:104", "UTC", CT, "", ARCHIVE, ""])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr(beginning.typer, "prompt", lambda _, default: next(answers) or default)
    assert command("init").code == 0
    config = load(tmp_path / "dcmrelay.toml")
    assert (config.relay.ae_title, config.ingress.listen[0].port) == ("DCMRELAY", 104)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (
            [],
            "give --source NAME=AE_TITLE[@ADDRESS] and --destination NAME=AE_TITLE@HOST:PORT, or run it at a terminal",
        ),
        (["--source", "ct-1", "--destination", ARCHIVE], "--source 'ct-1' must be written NAME=AE_TITLE[@ADDRESS]"),
        (["--source", CT, "--destination", "a=B@h"], "--destination 'a=B@h' must be written NAME=AE_TITLE@HOST:PORT"),
        (["--source", "Ct 1=CT1", "--destination", ARCHIVE], "not written: source 'Ct 1' key name"),
        (["--source", CT, "--destination", "a=B@h:70000"], "not written: destination 'a' key port: 70000 must be at"),
        (["--source", CT, "--destination", ARCHIVE, "--timezone", "Mars"], "not written: [relay] key timezone"),
    ],
)
def test_what_cannot_be_written_is_said_and_no_file_is_made(
    tmp_path: Path, command: Command, given: list[str], why: str
) -> None:
    said = command("init", *given)
    assert said.code in (1, 2)
    assert why in said.err
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_is_left_as_it_is(tmp_path: Path, command: Command) -> None:
    (tmp_path / "dcmrelay.toml").write_text("mine")
    assert "is there: it is left as it is" in command("init", "--source", CT, "--destination", ARCHIVE).err
    assert (tmp_path / "dcmrelay.toml").read_text() == "mine"
