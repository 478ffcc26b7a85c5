"""`dead redirect`, `dead replay --profile-now`, `resend`: what goes on as another delivery, on prepared spools."""

import json
import threading
from dataclasses import replace
from datetime import timedelta
from itertools import count, pairwise
from pathlib import Path

import pytest

from consumers.janitor.sweep import sweep
from consumers.router.handler import Router
from dcmrelay.person import who
from producers.replay import redirect as redirecting
from producers.replay.orders import Site, give, successor
from producers.replay.redirect import Way
from producers.replay.show import brought_by
from shared.errors import StorageError
from shared.messages import Bell
from shared.outcomes import Done, Next
from shared.spool import states
from shared.spool.deliveries import Ordered, create_delivery, order_to_json
from shared.spool.parts import decided_deliveries, is_finished
from shared.spool.spool import Spool
from shared.spool.states import Retry, State
from shared.spool.units import Unit
from shared.work import Worker
from tests.dcmrelay.relays import NOW, Command, Prepared, prepared
from tests.shared.spool.examples import Killed, Steps

_THIRD = """
[[destination]]
name = "third"
ae_title = "THIRD"
host = "127.0.0.1"
port = 104
[[route]]
name = "more"
match = { source = "ct-1", Modality = "XX" }
to = ["third"]
"""


@pytest.fixture
def letter(relay: Prepared) -> str:
    """A delivery to `archive`, refused in part: 1 of 3 instances is there."""
    (archive,) = relay.routed(relay.part(instances=3), "archive")
    relay.progress(archive, {"delivered": {"0": "0000"}})
    relay.held(archive, "2 of 3 instances refused (0122 SOP class not supported); 1 delivered", "refused")
    return archive


def route_again(relay: Prepared) -> None:
    """Lets a router work on every part that waits for it."""
    worker = Worker(relay.spool, Router(relay.spool).handle, Retry(), threading.Event())
    for part in relay.spool.parts.ids():
        state = relay.spool.parts.newest(part)
        if state is not None and state.status == "waiting":
            worker.look(Bell(unit=part, n=state.n))


def deliveries(relay: Prepared, part: str) -> list[Unit]:
    found = [relay.spool.deliveries.load(it) for it in decided_deliveries(relay.spool, part) or ()]
    return [unit for unit in found if unit is not None]


def part_of(relay: Prepared, delivery: str) -> str:
    unit = relay.spool.deliveries.load(delivery)
    assert unit is not None
    return str(unit.order["part"])


def test_only_what_is_missing_goes_to_the_other_destination(relay: Prepared, letter: str, command: Command) -> None:
    said = command("dead", "redirect", letter, "--to", "reading", "--why", "archive is full")
    assert (said.code, said.out.splitlines()[0]) == (0, "redirected: 1")
    route_again(relay)
    old, new = deliveries(relay, part_of(relay, letter))
    assert (old.state.status, old.state.outcome, old.state.facts) == (
        "final",
        "redirected",
        {"elsewhere": {"1": new.id, "2": new.id}},
    )
    assert (old.state.by, old.state.reason) == (who(), "archive is full")
    assert (new.order["destination"], new.state.status, new.facts) == (
        "reading",
        "waiting",
        {"elsewhere": {"0": letter}},
    )
    assert relay.spool.store.list("active/deliveries") == [new.id]
    story = command("show", letter).out
    assert f"ordered again by {who()}" in story
    assert "to reading (as received); archive is full" in story
    assert f"redirected by {who()}" in story


def test_a_dry_run_says_what_would_go_where_and_changes_nothing(relay: Prepared, letter: str, command: Command) -> None:
    (row,) = json.loads(command("dead", "redirect", letter, "--to", "reading", "--dry-run", "--json").out)
    assert (row["missing"], row["instances"], row["destination"]) == (2, 3, "archive")
    assert row["would"].startswith("goes on to reading as d")
    assert row["would"].endswith("; 1 are at archive and stay there")
    said = command("dead", "replay", letter, "--dry-run")
    assert "2 of 3" in said.out
    assert said.out.endswith("Nothing was changed.\n")
    assert len(deliveries(relay, part_of(relay, letter))) == 1
    assert relay.spool.deliveries.newest(letter).status == "held"  # type: ignore[union-attr]


def test_a_redirect_that_was_killed_half_way_is_finished_by_the_next(
    relay: Prepared, letter: str, command: Command
) -> None:
    site = Site(spool=relay.spool, config=relay.config, by="ann@pacs", why="archive is full")
    relay.spool.keep_config(relay.config.snapshot(), relay.config.hash)
    unit = redirecting.load_delivery(relay.spool, letter)
    assert give(site, part_of(relay, letter), [successor(site, unit, to="reading")]) is not None
    route_again(relay)
    assert command("dead", "redirect", letter, "--to", "reading").code == 0
    old, new = deliveries(relay, part_of(relay, letter))
    assert (old.state.outcome, new.state.n) == ("redirected", 0)
    assert command("dead", "redirect", letter, "--to", "reading").code == 1


def test_a_redirect_killed_at_any_step_and_given_again_makes_one_delivery(relay: Prepared, command: Command) -> None:
    for kill_at in count(1):
        (letter,) = relay.routed(relay.part(f"1.7.{kill_at}", instances=2), "archive")
        relay.held(letter, "gave up", "unreachable")
        if _redirects_killed_at(relay, letter, kill_at):
            break
        route_again(relay)
        command("dead", "redirect", letter, "--to", "reading")
        route_again(relay)
        old, new = deliveries(relay, part_of(relay, letter))
        assert (old.state.outcome, old.facts) == ("redirected", {"elsewhere": {"0": new.id, "1": new.id}})
        assert (new.order["destination"], new.state.status, new.state.n) == ("reading", "waiting", 0)
        sweep(relay.spool, "")
        assert letter not in relay.spool.store.list("active/deliveries")
    assert kill_at > 6


def _redirects_killed_at(relay: Prepared, letter: str, kill_at: int) -> bool:
    """Redirects a dead letter in a process that is killed at that step; True when it had fewer steps."""
    spool = Spool(relay.spool.store.root, clock=relay.spool.now, step=Steps([], kill_at))
    site, way = Site(spool=spool, config=relay.config, by="ann@pacs", why=""), Way(to="reading")
    try:
        redirecting.carried_out(site, redirecting.planned(site, [redirecting.load_delivery(spool, letter)], way), way)
    except Killed:
        return False
    return True


def test_a_destination_with_a_delivery_of_its_own_gets_no_second_one(relay: Prepared, command: Command) -> None:
    archive, reading = relay.routed(relay.part(), "archive", "reading")
    relay.held(archive, "gave up", "unreachable")
    said = command("dead", "redirect", archive, "--to", "reading")
    assert said.code == 1
    assert f"reading has a delivery of its own of this part, {reading[:10]}" in said.err
    assert relay.spool.deliveries.newest(archive).status == "held"  # type: ignore[union-attr]


@pytest.mark.parametrize("to", ["archive", "nowhere"])
def test_what_may_not_go_there_stays_a_dead_letter(relay: Prepared, letter: str, command: Command, to: str) -> None:
    said = command("dead", "redirect", letter, "--to", to)
    assert said.code == 1
    assert said.err.startswith(f"{letter[:10]}: ")
    assert relay.spool.deliveries.newest(letter).status == "held"  # type: ignore[union-attr]
    assert command("dead", "replay", letter, "--profile-now").code == 1


def test_a_whole_study_takes_all_its_parts_and_instances_along(relay: Prepared, letter: str, command: Command) -> None:
    later, other = relay.part(), relay.part("1.9")
    (waiting,) = relay.routed(later, "archive")
    (untouched,) = relay.routed(other, "archive")
    done = relay.part()
    (delivered,) = relay.routed(done, "archive")
    relay.settle(delivered, Done(outcome="delivered"))
    assert command("dead", "redirect", letter, "--to", "reading", "--whole-study").code == 0
    route_again(relay)
    for part, old in ((part_of(relay, letter), letter), (later, waiting), (done, delivered)):
        before, after = deliveries(relay, part)
        assert before.id == old
        assert (before.state.status, after.order["destination"], after.facts) == ("final", "reading", {})
    assert relay.spool.deliveries.newest(waiting).outcome == "redirected"  # type: ignore[union-attr]
    assert relay.spool.deliveries.newest(delivered).outcome == "delivered"  # type: ignore[union-attr]
    assert len(deliveries(relay, other)) == 1
    assert relay.spool.deliveries.newest(untouched).status == "waiting"  # type: ignore[union-attr]


def test_a_part_that_no_route_wants_is_not_redirected(relay: Prepared, command: Command) -> None:
    relay.held(part := relay.part())
    said = command("dead", "redirect", part, "--to", "reading")
    assert said.code == 1
    assert "is not routed: `dcmrelay dead replay` decides it anew" in said.err


def test_a_finished_study_is_sent_again_whole_and_is_finished_again(relay: Prepared, command: Command) -> None:
    part = relay.part()
    (archive,) = relay.routed(part, "archive")
    relay.settle(archive, Done(outcome="delivered"))
    assert is_finished(relay.spool, part)
    assert command("resend", "1.2.3.4", "--why", "they lost it").code == 0
    assert not is_finished(relay.spool, part)
    route_again(relay)
    _, again = deliveries(relay, part)
    assert (again.order["again"], again.facts, again.state.status) == (1, {}, "waiting")
    refused = command("resend", part)
    assert refused.code == 1
    assert f"archive: {again.id[:10]} is still to be delivered" in refused.err
    relay.settle(again.id, Done(outcome="delivered"))
    assert is_finished(relay.spool, part)


def test_a_study_is_sent_again_to_another_destination_only_in_its_form(relay: Prepared, command: Command) -> None:
    part = relay.part()
    (archive,) = relay.routed(part, "archive")
    relay.settle(archive, Done(outcome="delivered"))
    plan = command("resend", part, "--to", "reading", "--dry-run")
    assert "would go to reading, as received" in plan.out
    assert len(deliveries(relay, part)) == 1
    assert command("resend", part, "--to", "reading").code == 0
    route_again(relay)
    assert [unit.order["destination"] for unit in deliveries(relay, part)] == ["archive", "reading"]
    assert command("resend", part, "--to", "nowhere").code == 1


def test_what_retention_took_is_not_ordered_again(relay: Prepared, command: Command) -> None:
    part = relay.part()
    (archive,) = relay.routed(part, "archive")
    relay.settle(archive, Done(outcome="delivered"))
    relay.spool.put_json(f"tombstones/{part}.json", {})
    said = command("resend", part)
    assert said.code == 1
    assert "deleted after spool.retention" in said.err


def test_a_full_disk_changes_nothing_and_says_so(
    relay: Prepared, letter: str, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise StorageError("cannot make a name in the spool: No space left on device")

    monkeypatch.setattr("shared.spool.units.Units.append", refuse)
    said = command("dead", "redirect", letter, "--to", "reading")
    assert said.code == 1
    assert "No space left on device" in said.err
    monkeypatch.undo()
    assert relay.spool.deliveries.newest(letter).status == "held"  # type: ignore[union-attr]


def test_orders_for_one_destination_leave_out_only_what_none_of_them_misses(relay: Prepared) -> None:
    first, second = relay.routed(relay.part(), "archive", "reading")
    site = Site(spool=relay.spool, config=relay.config, by="ann@pacs", why="")
    order = successor(site, redirecting.load_delivery(relay.spool, first), to="reading").order
    left_out = ({"0": first, "1": first}, {"1": second})
    (merged,) = redirecting._merged([Ordered(order=order, elsewhere=elsewhere) for elsewhere in left_out])
    assert merged.elsewhere == {"1": first}


@pytest.fixture
def third(tmp_path: Path) -> Prepared:
    """A relay with one destination more, `third`."""
    return prepared(tmp_path, more=_THIRD)


def _redirect(relay: Prepared, to: str, *letters: str) -> list[str]:
    """Redirects dead letters of one part and lets the router make what was ordered; why each was refused, if it was."""
    relay.spool.keep_config(relay.config.snapshot(), relay.config.hash)
    site, way = Site(spool=relay.spool, config=relay.config, by="ann@pacs", why=""), Way(to=to)
    units = [redirecting.load_delivery(relay.spool, it) for it in letters]
    _, steps = redirecting.carried_out(site, redirecting.planned(site, units, way), way)
    route_again(relay)
    return [step.refused for step in steps]


def _two_letters(relay: Prepared, *, optional: str = "") -> tuple[str, str, str]:
    """A part of three instances and its dead letters to `archive` and `reading`."""
    part = relay.part(instances=3)
    decided = [relay._order(part, name) for name in ("archive", "reading")]
    orders = [replace(it, optional=it.destination == optional) for it in decided]
    decision = {"config": "", "routes": ["all"], "deliveries": [order_to_json(it) for it in orders]}
    relay.spool.put_json(f"parts/{part}/decision.json", decision)
    for order in orders:
        create_delivery(relay.spool, order, "0" * 64)
        relay.held(order.id, "gave up", "unreachable")
    relay.settle(part, Done(outcome="routed"))
    archive, reading = (it.id for it in orders)
    return part, archive, reading


def _newest(relay: Prepared, delivery: str) -> State:
    state = relay.spool.deliveries.newest(delivery)
    assert state is not None
    return state


def _status(relay: Prepared, delivery: str) -> str:
    state = _newest(relay, delivery)
    return state.outcome or state.status


def _given_up(relay: Prepared, delivery: str) -> None:
    relay.held(delivery, "gave up", "unreachable")
    held = _newest(relay, delivery)
    relay.spool.deliveries.append(delivery, states.discarded(held, now=NOW, by="ann@pacs", why="no"))


def test_nothing_is_redirected_to_a_delivery_that_was_given_up(third: Prepared) -> None:
    part, archive, reading = _two_letters(third)
    assert _redirect(third, "third", archive) == [""]
    new = deliveries(third, part)[-1]
    _given_up(third, new.id)
    (refused,) = _redirect(third, "third", reading)
    assert refused == f"{new.id[:10]} to third was given up (discarded); use `dcmrelay resend`"
    assert _status(third, reading) == "held"


def test_a_delivery_that_brought_all_before_it_was_given_up_is_redirected_to(third: Prepared) -> None:
    part, archive, reading = _two_letters(third)
    assert _redirect(third, "third", archive) == [""]
    new = deliveries(third, part)[-1]
    third.progress(new.id, {"delivered": {"0": "0000", "1": "0000", "2": "0000"}})
    _given_up(third, new.id)
    assert _redirect(third, "third", reading) == [""]
    assert _status(third, reading) == "redirected"


@pytest.mark.parametrize("optional", ["archive", "reading"])
def test_a_primary_and_an_optional_copy_redirected_together_are_primary(third: Prepared, optional: str) -> None:
    part, archive, reading = _two_letters(third, optional=optional)
    assert _redirect(third, "third", archive, reading) == ["", ""]
    assert not deliveries(third, part)[-1].order["optional"]


def test_a_primary_copy_is_not_redirected_to_an_optional_one_on_its_way(third: Prepared) -> None:
    part, archive, reading = _two_letters(third, optional="archive")
    assert _redirect(third, "third", archive) == [""]
    new = deliveries(third, part)[-1]
    (refused,) = _redirect(third, "third", reading)
    assert refused.startswith(f"{new.id[:10]} to third is an optional copy, which may fail")
    assert _status(third, reading) == "held"
    third.settle(new.id, Done(outcome="delivered"))
    assert _redirect(third, "third", reading) == [""]
    assert _status(third, reading) == "redirected"


def test_what_is_urgent_for_one_is_urgent_for_all_it_is_merged_with(relay: Prepared) -> None:
    (first,) = relay.routed(relay.part(), "archive")
    site = Site(spool=relay.spool, config=relay.config, by="ann@pacs", why="")
    order = successor(site, redirecting.load_delivery(relay.spool, first), to="reading").order
    both = [Ordered(order=order, elsewhere={}), Ordered(order=replace(order, urgent=True), elsewhere={})]
    for orders in (both, both[::-1]):
        (merged,) = redirecting._merged(orders)
        assert merged.order.urgent


def test_what_was_answered_but_not_found_there_goes_on_too(relay: Prepared, letter: str) -> None:
    relay.progress(letter, {"delivered": {"1": "0000", "2": "0000"}, "verified": {"1": "C-FIND"}})
    _held_at_verify(relay, letter)
    assert _redirect(relay, "reading", letter) == [""]
    old, new = deliveries(relay, part_of(relay, letter))
    assert old.state.facts == {"elsewhere": {"0": new.id, "2": new.id}}
    assert new.facts == {"elsewhere": {"1": letter}}


def _held_at_verify(relay: Prepared, delivery: str) -> None:
    """Makes a dead letter that stopped while its destination was asked what it keeps."""
    relay.spool.deliveries.append(delivery, states.released(_newest(relay, delivery), now=NOW, by="", why=""))
    relay.settle(delivery, Next("verify"))
    relay.held(delivery, "gave up: cannot connect", "unreachable")


def test_a_dead_letter_that_misses_nothing_is_redirected_as_a_whole_study_only(
    relay: Prepared, letter: str, command: Command
) -> None:
    every = ("0", "1", "2")
    relay.progress(letter, {"delivered": dict.fromkeys(every, "0000"), "verified": dict.fromkeys(every, "C-FIND")})
    _held_at_verify(relay, letter)
    (refused,) = _redirect(relay, "reading", letter)
    assert "nothing of it is missing" in refused
    assert "--whole-study" in refused
    assert _status(relay, letter) == "held"
    assert command("dead", "redirect", letter, "--to", "reading", "--whole-study").code == 0


@pytest.mark.parametrize("is_made", [True, False])
def test_redirects_at_a_rate_go_on_behind_earlier_ones(relay: Prepared, command: Command, is_made: bool) -> None:
    parts = []
    for study in ("1.1", "1.2"):
        parts.append(relay.part(study))
        (delivery,) = relay.routed(parts[-1], "archive")
        relay.held(delivery, "gave up", "unreachable")
        assert command("dead", "redirect", delivery, "--to", "reading", "--rate", "1/h").code == 0
        if is_made:
            route_again(relay)
    route_again(relay)
    first, second = (deliveries(relay, part)[-1].state.due for part in parts)
    assert first is not None
    assert second is not None
    assert second - first >= timedelta(hours=1)


def test_a_rate_goes_on_behind_what_was_scheduled_before(relay: Prepared, command: Command) -> None:
    for study in ("1.1", "1.2", "1.3"):
        (delivery,) = relay.routed(relay.part(study), "archive")
        relay.held(delivery, "gave up", "unreachable")
    first, *rest = [row["id"] for row in json.loads(command("dead", "list", "--json").out)]
    assert command("dead", "replay", first, "--rate", "1/h").code == 0
    assert command("dead", "replay", *rest, "--rate", "1/h").code == 0
    due = [state.due for it in (first, *rest) if (state := relay.spool.deliveries.newest(it)) and state.due]
    apart = [later - earlier for earlier, later in pairwise(due)]
    assert len(due) == 3
    assert all(timedelta(hours=1) <= it < timedelta(hours=1, seconds=1) for it in apart)
    assert due[0] > NOW
    assert command("dead", "replay", "--all", "--rate", "10").code == 1


def test_what_was_ordered_of_a_part_that_was_discarded_before_it_was_made_is_given_up(third: Prepared) -> None:
    part, archive, reading = _two_letters(third)
    site, way = Site(spool=third.spool, config=third.config, by="ann@pacs", why=""), Way(to="third")
    redirecting.carried_out(
        site, redirecting.planned(site, [redirecting.load_delivery(third.spool, archive)], way), way
    )
    third.held(part, "broken", "bug")
    held = third.spool.parts.newest(part)
    assert held is not None
    third.spool.parts.append(part, states.discarded(held, now=NOW, by="ann@pacs", why="not wanted"))
    (refused,) = _redirect(third, "third", reading)
    assert "was given up with its part (discarded)" in refused
    assert _status(third, reading) == "held"


def test_where_a_destination_is_asked_what_it_keeps_only_what_was_found_counts_as_brought(
    relay: Prepared, letter: str
) -> None:
    archive = relay.config.destinations[0]
    asked = relay.config.model_copy(update={"destinations": (archive.model_copy(update={"verify": "c-find"}),)})
    assert relay.config.destination("archive") == archive
    unit = redirecting.load_delivery(relay.spool, letter)
    assert dict(brought_by(relay.config, unit)) == {"0": "0000"}
    assert dict(brought_by(asked, unit)) == {}
