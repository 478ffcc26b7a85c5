"""`dead list`, `show`, `replay` and `discard` on prepared spools."""

import json

import pytest

from consumers.janitor.sweep import sweep
from dcmrelay.person import who
from shared.spool.parts import active_parts, is_finished
from tests.dcmrelay.relays import Command, Prepared


@pytest.fixture
def letters(relay: Prepared) -> tuple[str, str, str]:
    """A part that no route wants, and a study refused by `archive` and unreachable `reading`."""
    part = relay.part("1.9")
    relay.held(part)
    archive, reading = relay.routed(relay.part(), "archive", "reading")
    relay.held(archive, "1 of 1 instances refused (0122 SOP class not supported); 0 delivered", "refused")
    relay.held(reading, "gave up: cannot connect", "unreachable")
    return part, archive, reading


def test_dead_letters_are_listed_with_class_reason_and_next_command(letters: tuple[str, ...], command: Command) -> None:
    said = command("dead", "list")
    assert said.code == 1
    assert len(said.out.splitlines()) == 4
    row = next(line for line in said.out.splitlines() if line.startswith(letters[1][:10]))
    for words in ("refused", "archive", "ct-1", "0122 SOP class", f"dcmrelay dead show {letters[1][:10]}"):
        assert words in row


def test_an_empty_list_of_dead_letters_needs_nobody(relay: Prepared, command: Command) -> None:
    assert relay.part()
    said = command("dead", "list")
    assert (said.code, said.out) == (0, "No dead letters.\n")


def test_dead_letters_are_narrowed_by_class_and_destination(letters: tuple[str, ...], command: Command) -> None:
    part, _, reading = letters
    assert _ids(command("dead", "list", "--class", "policy", "--json").out) == [part]
    assert _ids(command("dead", "list", "--destination", "reading", "--json").out) == [reading]
    assert _ids(command("dead", "list", "--destination", "reading", "--class", "bug", "--json").out) == []


def test_showing_a_dead_letter_tells_its_study_and_what_to_do(letters: tuple[str, ...], command: Command) -> None:
    said = command("dead", "show", letters[2][:8])
    assert "dead letter, class unreachable" in said.out
    assert "gave up: cannot connect" in said.out
    assert f"dcmrelay dead replay {letters[2][:10]}" in said.out


def test_a_replayed_delivery_waits_at_its_stage_as_if_never_tried(
    relay: Prepared, letters: tuple[str, ...], command: Command
) -> None:
    said = command("dead", "replay", letters[1], "--why", "they mended it")

    state = relay.spool.deliveries.newest(letters[1])
    assert said.code == 0
    assert said.out.splitlines()[0] == "replayed: 1"
    assert state is not None
    assert (state.status, state.stage, state.tries, state.dead_letter_class) == ("waiting", "send", 0, None)
    assert (state.by, state.reason) == (who(), "they mended it")
    assert state.config == relay.config.hash


def test_without_a_broker_a_replay_says_that_the_sweep_will_ring(letters: tuple[str, ...], command: Command) -> None:
    assert "the sweep rings for them within a minute" in command("dead", "replay", letters[1]).out


def test_a_replayed_part_is_decided_under_the_configuration_in_force(
    relay: Prepared, letters: tuple[str, ...], command: Command
) -> None:
    command("dead", "replay", letters[0])
    state = relay.spool.parts.newest(letters[0])
    assert state is not None
    assert (state.status, state.stage, state.config) == ("waiting", "route", relay.config.hash)
    assert relay.spool.config(relay.config.hash) == relay.config.snapshot()


def test_a_dry_run_lists_and_changes_nothing(relay: Prepared, letters: tuple[str, ...], command: Command) -> None:
    assert _ids(command("dead", "replay", "--all", "--dry-run", "--json").out) == sorted(letters)
    assert _ids(command("dead", "discard", "--all", "--dry-run", "--json").out) == sorted(letters)
    assert _ids(command("dead", "list", "--json").out) == sorted(letters)


def test_a_discarded_delivery_is_final_and_no_longer_unfinished(
    relay: Prepared, letters: tuple[str, ...], command: Command
) -> None:
    assert command("dead", "discard", letters[1][:12], "--why", "not ours").out == "discarded: 1\n"
    state = relay.spool.deliveries.newest(letters[1])
    assert state is not None
    assert (state.status, state.outcome, state.reason) == ("final", "discarded", "not ours")
    assert letters[1] not in relay.spool.store.list("active/deliveries")
    assert f"discarded by {who()}" in command("show", letters[1]).out


def test_a_discarded_part_is_finished(relay: Prepared, letters: tuple[str, ...], command: Command) -> None:
    command("dead", "discard", letters[0], "--why", "phantom")
    assert _ids(command("dead", "list", "--json").out) == sorted(letters[1:])
    assert is_finished(relay.spool, letters[0])
    sweep(relay.spool, "")
    assert letters[0] not in active_parts(relay.spool)
    assert [letters[0]] in [relay.spool.store.list(f"done/{day}") for day in relay.spool.store.list("done")]


def test_replaying_twice_does_nothing_the_second_time(letters: tuple[str, ...], command: Command) -> None:
    command("dead", "replay", letters[1])
    said = command("dead", "replay", letters[1])
    assert said.code == 1
    assert "no dead letter has an id that begins with" in said.err


@pytest.mark.parametrize("action", ["replay", "discard"])
def test_nothing_is_decided_for_all_dead_letters_by_omission(
    action: str, letters: tuple[str, ...], command: Command
) -> None:
    said = command("dead", action, "--why", "all of it")
    assert said.code == 1
    assert said.err.startswith("dcmrelay: say which: ids, --destination, --class, ")
    assert _ids(command("dead", "list", "--json").out) == sorted(letters)


def _ids(listed: str) -> list[str]:
    return sorted(letter["id"] for letter in json.loads(listed))


@pytest.mark.usefixtures("letters")
def test_a_mistyped_filter_is_not_good_news(command: Command) -> None:
    assert command("dead", "list", "--class", "refusd").code == 2
    said = command("dead", "list", "--destination", "archiv")
    assert said.code == 1
    assert "no destination 'archiv' is configured; known: archive" in said.err
    assert "no source 'ct-9' is configured" in command("studies", "--source", "ct-9").err


def test_a_discard_says_why(letters: tuple[str, ...], command: Command) -> None:
    said = command("dead", "discard", letters[1])
    assert said.code == 1
    assert '--why "..."' in said.err
