"""`pause`, `resume` and `urgent` on prepared spools."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from dcmrelay.person import who
from shared.outcomes import Done, Paused
from shared.spool.pauses import newest_pause
from tests.dcmrelay.relays import Command, Prepared

LATER = datetime.now(UTC) + timedelta(days=1)


def test_a_pause_is_recorded_and_shown_with_who_why_and_the_command_that_ends_it(
    relay: Prepared, command: Command
) -> None:
    assert "archive is paused until `dcmrelay resume archive`" in command("pause", "archive", "--why", "upgrade").out
    pause = newest_pause(relay.spool, "archive")
    assert pause is not None
    assert (pause.paused, pause.by, pause.why, pause.until) == (True, who(), "upgrade", None)
    assert f"archive: paused by {who()} (upgrade); `dcmrelay resume archive` ends it" in command("status").out


def test_somebody_is_needed_when_work_waits_for_a_pause_without_an_end(relay: Prepared, command: Command) -> None:
    relay.routed(relay.part(), "archive")
    command("pause", "archive")
    facts = json.loads(command("status", "--json").out)
    assert any(line.endswith(": `dcmrelay resume archive`") for line in facts["problems"])
    command("pause", "archive", "--for", "2h")
    facts = json.loads(command("status", "--json").out)
    assert not any("archive" in line for line in facts["problems"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--for", "2h", "--until", "2099-01-01"), "give --until or --for, not both"),
        (("--until", "2001-01-01"), "is over"),
        (("--for", "soon"), "--for: 'soon' is not a duration"),
    ],
)
def test_a_pause_needs_an_end_to_come(relay: Prepared, command: Command, options: tuple[str, ...], words: str) -> None:
    said = command("pause", "archive", *options)
    assert said.code == 1
    assert words in said.err
    assert newest_pause(relay.spool, "archive") is None
    assert command("pause", "archiv").code == 1


def test_resume_lets_what_waited_for_it_go_on_and_nothing_else(relay: Prepared, command: Command) -> None:
    archive, reading = relay.routed(relay.part(), "archive", "reading")
    (failed,) = relay.routed(relay.part("1.9"), "archive")
    command("pause", "archive")
    for delivery in (archive, reading):
        relay.settle(delivery, Paused("paused by ann", LATER))
    relay.failed(failed, "away")
    assert command("resume", "archive").out.startswith("archive goes on: 1 delivery\n")
    states = [relay.spool.deliveries.newest(it) for it in (archive, reading, failed)]
    assert [state.due is None for state in states if state] == [True, False, False]
    assert command("resume", "archive").out.startswith("archive was not paused: 0 deliveries")
    assert f"resumed by {who()}" in command("show", archive).out


def test_what_was_made_urgent_while_its_destination_was_paused_is_said_to_be_so_and_resumed_later(
    relay: Prepared, command: Command
) -> None:
    (archive,) = relay.routed(relay.part(), "archive")
    command("pause", "archive")
    relay.settle(archive, Paused("paused by ann", LATER))
    said = command("urgent", "1.2.3.4")
    assert (said.code, said.out.splitlines()[1]) == (0, "archive is paused: `dcmrelay resume archive` lets it go on")
    relay.settle(archive, Paused("paused by ann", LATER))
    command("resume", "archive")
    told = [line for line in command("show", archive).out.splitlines() if f"by {who()}" in line]
    assert [("made urgent" in line, "resumed" in line) for line in told] == [(True, False), (False, True)]


def test_a_study_made_urgent_overtakes_from_its_next_bell_on(relay: Prepared, command: Command) -> None:
    archive, reading = relay.routed(relay.part(), "archive", "reading")
    relay.failed(archive, "away")
    relay.settle(reading, Done(outcome="delivered"))
    said = command("urgent", "1.2.3.4", "--why", "stroke")
    assert (said.code, said.out.splitlines()[0]) == (0, "urgent: 1 delivery to archive")
    state = relay.spool.deliveries.newest(archive)
    assert state is not None
    assert (state.urgent, state.due, state.tries, state.by, state.reason) == (True, None, 1, who(), "stroke")
    assert f"made urgent by {who()}" in command("show", archive).out
    assert "waiting, tried 1 times, urgent" in command("studies").out
    assert command("urgent", "1.2.3.4").code == 1
    assert command("urgent", "1.2.3.5").code == 1


def test_a_pause_ends_although_its_destination_is_configured_no_more(relay: Prepared, command: Command) -> None:
    command("pause", "archive")
    path = relay.config.relay.data_dir.parent / "dcmrelay.toml"
    text = path.read_text(encoding="utf-8").replace('name = "archive"', 'name = "other"')
    path.write_text(text.replace('to = ["archive", "reading"]', 'to = ["reading"]'), encoding="utf-8")
    assert command("resume", "archive").code == 0
    pause = newest_pause(relay.spool, "archive")
    assert pause is not None
    assert not pause.paused
    assert "known: other, reading" in command("resume", "archive").err
