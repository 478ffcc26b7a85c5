"""`divert` on prepared spools."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from dcmrelay.person import who
from shared.spool.diverts import divert_in_force, newest_divert
from shared.spool.spool import Spool
from tests.dcmrelay.relays import Command, Prepared, prepared

CHOOSING = """
[[route]]
name = "outside"
match = { source = "ct-1" }
one_of = [{ destination = "archive" }, { destination = "reading", as_backup = "always" }]
"""


@pytest.fixture
def relay(tmp_path: Path) -> Prepared:
    return prepared(tmp_path, more=CHOOSING)


def test_a_divert_is_recorded_and_shown_until_it_is_ended(relay: Prepared, command: Command) -> None:
    said = command("divert", "outside", "reading", "--for", "2h", "--why", "their line is down")
    assert said.out.startswith("new studies of outside go to reading until ")
    assert said.out.endswith("; `dcmrelay divert outside --end` ends it. What was chosen before stays where it is\n")
    order = newest_divert(relay.spool, "outside")
    assert order is not None
    assert (order.destination, order.by, order.why) == ("reading", who(), "their line is down")
    assert order.until - order.at == timedelta(hours=2)
    (duty,) = json.loads(command("status", "--json").out)["duty"]
    assert (duty["on_duty"], duty["why"].startswith("diverted until ")) == ("reading", True)
    status = command("status").out
    assert "outside: reading is on duty until " in status
    assert "`dcmrelay divert outside --end` ends it" in status
    (shift,) = json.loads(command("duty", "--json").out)
    assert (shift["on_duty"], shift["why"]) == ("reading", order.sentence)
    assert command("divert", "outside", "--end").out == "outside: the calendars decide again\n"
    assert divert_in_force(relay.spool, "outside") is None
    assert "outside: archive is on duty (" in command("status").out
    assert command("divert", "outside", "--end").out == "outside was not diverted\n"


def test_a_divert_ends_by_itself(relay: Prepared, command: Command) -> None:
    command("divert", "outside", "reading", "--for", "2h")
    order = newest_divert(relay.spool, "outside")
    assert order is not None
    for ago, is_in_force in ((timedelta(seconds=1), True), (timedelta(0), False)):
        then = Spool(relay.spool.store.root, clock=lambda ago=ago: order.until - ago)  # type: ignore[misc]
        assert (divert_in_force(then, "outside") is not None) == is_in_force


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("outside", "reading"), "say until when: --until 2026-03-04T06:00, or --for 2h"),
        (("outside", "reading", "--until", "2001-01-01"), "is over"),
        (("outside", "reading", "--for", "2h", "--until", "2099-01-01"), "give --until or --for, not both"),
        (("outside", "--for", "2h"), "route 'outside' chooses between archive, reading; name one of them, or --end"),
        (("outside", "nobody", "--for", "2h"), "route 'outside' chooses between archive, reading"),
        (("all", "archive", "--for", "2h"), "route 'all' does not choose, it has no one_of; `dcmrelay pause`"),
        (("outsid", "archive", "--for", "2h"), "outside"),
        (("outside", "reading", "--end"), "--end stands alone"),
    ],
)
def test_a_divert_needs_a_route_that_chooses_a_candidate_of_it_and_an_end(
    relay: Prepared, command: Command, arguments: tuple[str, ...], words: str
) -> None:
    said = command("divert", *arguments)
    assert said.code == 1
    assert words in said.err
    assert newest_divert(relay.spool, "outside") is None
