"""A study that one of several candidates gets: chosen by the clock, handed over by the rules, once."""

import contextlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count as count_from
from pathlib import Path
from typing import Any

import pytest

from consumers.janitor.sweep import sweep
from consumers.router.handler import Router
from consumers.router.standing import candidate_in, delivery_to
from producers.replay.correct import correct_part, correction_of
from producers.replay.show import dead_letters
from shared.dimse import CommitmentReport
from shared.errors import SupersededError
from shared.messages import StudyHandedOver
from shared.notices.happened import of_happenings
from shared.outcomes import Done, Held, Outcome
from shared.spool import states
from shared.spool.circuits import Circuit, put_circuit
from shared.spool.copies import copies
from shared.spool.deliveries import order_from_json
from shared.spool.diverts import Divert, put_divert
from shared.spool.parts import is_finished
from shared.spool.pauses import Pause, put_pause
from shared.spool.pins import Pin, newest_pin, pinned_profile, put_handed_over, study_pins
from shared.spool.progress import Progress
from shared.spool.verifications import put_report, transaction_uid
from shared.work import Claim, Said
from tests.consumers.bench import RELAY, STUDY, Bench, bench, data_set

MINUTES = timedelta(minutes=1)
NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)  # a Wednesday
TEXT = (
    RELAY.replace('data_dir = "var"', 'data_dir = "var"\ntimezone = "UTC"')
    + """
[calendar.office]
open = ["mon-fri 08:00-20:00"]
[calendar.night]
open = ["mon-sun 20:00-08:00", "sat-sun 08:00-20:00"]
[[route]]
name = "outside"
one_of = [
  { destination = "archive", during = "office", as_backup = "AS" },
  { destination = "reading", during = "night", as_backup = "AS" },
]
"""
)


@pytest.fixture
def hospital(tmp_path: Path) -> Bench:
    return bench(tmp_path, TEXT.replace("AS", "always"))


def look(it: Bench, part: str) -> Said:
    return it.look(part, Router(it.spool).handle)


def pin(it: Bench) -> Pin:
    found = newest_pin(it.spool, study_pins(STUDY, "DCMRELAY"), "outside")
    assert found is not None
    return found


def at(it: Bench, part: str, destination: str) -> str:
    """The delivery of a part to a candidate, whoever made it."""
    found = [d for d in it.spool.deliveries.ids() if _order(it, d) == (part, destination)]
    assert len(found) == 1, found
    return found[0]


def _order(it: Bench, delivery: str) -> tuple[str, str]:
    order = it.spool.deliveries.order(delivery)
    assert order is not None
    return order["part"], order["destination"]


def record(it: Bench, delivery: str, facts: dict[str, Any], **more: Any) -> None:
    """What a sender puts on record while it works."""
    state = it.spool.deliveries.newest(delivery)
    assert state is not None
    working = states.claimed(state, owner="x", now=it.now, lease=100 * MINUTES, faults=0)
    it.spool.deliveries.append(delivery, working)
    it.spool.deliveries.append(delivery, states.advanced(working, now=it.now, lease=100 * MINUTES, facts=facts))


def by_index(*indexes: int) -> dict[str, str]:
    return {str(index): "0000" for index in indexes}


def state(it: Bench, unit: str) -> states.State:
    found = it.spool.units(unit).newest(unit)
    assert found is not None
    return found


def routed(it: Bench, count: int = 3, **more: Any) -> str:
    part = it.part(*(data_set(n) for n in range(1, count + 1)), **more)
    look(it, part)
    return part


def test_a_study_goes_to_who_is_on_duty(hospital: Bench) -> None:
    part = hospital.part(data_set())
    said = look(hospital, part)
    assert [ring.routing_key for ring in said.rings] == ["send.archive", "route"]
    assert (pin(hospital).choices[0].destination, pin(hospital).epoch) == ("archive", 0)
    assert state(hospital, part).outcome == "routed"
    assert state(hospital, part).due == NOON + 10 * MINUTES


def test_a_study_goes_to_the_other_at_night(hospital: Bench) -> None:
    hospital.now = NOON.replace(hour=21)
    part = routed(hospital)
    assert state(hospital, at(hospital, part, "reading")).due is None


def test_what_nobody_may_take_waits_until_somebody_comes(tmp_path: Path) -> None:
    one = TEXT.replace("AS", "open").replace(
        '  { destination = "reading", during = "night", as_backup = "open" },\n', ""
    )
    it = bench(tmp_path, one)
    it.now = NOON.replace(hour=21)
    first = routed(it)
    eight = datetime(2026, 3, 5, 8, tzinfo=UTC)
    assert state(it, at(it, first, "archive")).due == eight
    later = it.part(data_set(9))
    look(it, later)
    assert state(it, at(it, later, "archive")).due == eight
    assert not sweep(it.spool, it.config.hash).rings


def test_a_silent_candidate_is_left_for_the_next_when_its_time_is_up(hospital: Bench) -> None:
    part = routed(hospital)
    old = at(hospital, part, "archive")
    said = look(hospital, part)
    assert hospital.now == NOON + 10 * MINUTES
    new = at(hospital, part, "reading")
    assert (state(hospital, old).outcome, state(hospital, old).facts["moved_to"]) == ("handed_over", "reading")
    assert set(hospital.facts(old)["elsewhere"].values()) == {new}
    assert hospital.facts(new) == {"moved_from": "archive"}
    assert (pin(hospital).epoch, pin(hospital).tried) == (1, ("archive",))
    assert [ring.bell.unit for ring in said.rings if ring.routing_key == "send.reading"] == [new]
    (event,) = [it for it in said.events if isinstance(it, StudyHandedOver)]
    assert (event.destination, event.to, event.delivered, event.instances) == ("archive", "reading", 0, 3)
    assert not is_finished(hospital.spool, part)
    assert not list(copies(hospital.spool))


def test_a_hand_over_is_noted_for_persons_once_for_all_parts_with_what_the_old_one_has(hospital: Bench) -> None:
    first, second = routed(hospital), routed(hospital)
    record(hospital, at(hospital, first, "archive"), {"delivered": by_index(0)})
    for part in (first, second, second):
        look(hospital, part)
    (noted,) = of_happenings(hospital.spool)
    assert (noted.occasion, noted.about, len(noted.members)) == ("handed_over", "outside", 1)
    assert noted.command == f"dcmrelay show {first[:10]}"
    assert noted.facts["why"][0].startswith("archive to reading: 'archive' answered nothing with success")
    assert "'archive' has 1 of 3 instances; tell it to discard them" in noted.facts["why"][0]


def test_a_sender_that_hangs_is_fenced_by_the_hand_over(hospital: Bench) -> None:
    part = routed(hospital)
    old = at(hospital, part, "archive")
    record(hospital, old, {"delivered": by_index(0)})
    claim = hospital.claim(old)
    look(hospital, part)
    assert state(hospital, old).outcome == "handed_over"
    assert "'archive' has 1 of 3 instances; tell it to discard them" in state(hospital, old).reason
    (copy,) = copies(hospital.spool)
    assert copy.sentence == "archive has 1 of 3 instances of a study that reading was given"
    assert [(it.occasion, it.about, len(it.members)) for it in of_happenings(hospital.spool)] == [
        ("handed_over", "outside", 1)
    ]
    with pytest.raises(SupersededError):
        claim.check()
    with pytest.raises(SupersededError):
        claim.record({"delivered": by_index(1)})


@pytest.mark.parametrize(
    ("facts", "moves"),
    [
        ({}, True),
        ({"delivered": by_index(0)}, True),
        ({"delivered": by_index(0), "unanswered": by_index(1)}, True),
        ({"refused": by_index(0, 1, 2)}, True),
        ({"unanswered": by_index(0, 1, 2)}, False),
        ({"delivered": by_index(0, 1), "unanswered": by_index(2)}, False),
        ({"delivered": by_index(0), "under_way": 64}, False),
        ({"under_way": 64}, False),
        ({"under_way": 0}, True),
    ],
)
def test_what_may_be_there_whole_never_moves_by_itself(hospital: Bench, facts: dict[str, Any], moves: bool) -> None:
    part = routed(hospital)
    old = at(hospital, part, "archive")
    record(hospital, old, facts)
    look(hospital, part)
    assert (state(hospital, old).outcome == "handed_over") == moves
    assert (pin(hospital).epoch == 1) == moves
    assert bool(state(hospital, part).facts.get("alert")) != moves


def test_progress_puts_the_hand_over_off(hospital: Bench) -> None:
    part = routed(hospital)
    hospital.now += 9 * MINUTES
    record(hospital, at(hospital, part, "archive"), {"delivered": by_index(0)})
    hospital.now += MINUTES
    look(hospital, part)
    assert pin(hospital).epoch == 0
    assert state(hospital, part).due == NOON + 19 * MINUTES
    look(hospital, part)
    assert pin(hospital).epoch == 1


def test_all_parts_of_a_study_move_together(hospital: Bench) -> None:
    first = routed(hospital)
    hospital.now += MINUTES
    second = hospital.part(data_set(11), data_set(12))
    look(hospital, second)
    old = at(hospital, second, "archive")
    said = look(hospital, first)
    assert state(hospital, old).stage == "hand_over"
    assert [ring.bell.n for ring in said.rings if ring.bell.unit == second] == [state(hospital, second).n]
    look(hospital, second)
    assert state(hospital, old).outcome == "handed_over"
    assert state(hospital, at(hospital, second, "reading")).status == "waiting"
    assert pin(hospital).epoch == 1


def test_what_is_handed_over_stays_urgent_and_an_addendum(hospital: Bench) -> None:
    first = routed(hospital)
    record(hospital, at(hospital, first, "archive"), {"delivered": by_index(0)})
    hospital.now += MINUTES
    later = hospital.part(data_set(21))
    look(hospital, later)
    hurried = states.hurried(state(hospital, old := at(hospital, later, "archive")), now=hospital.now, by="ann", why="")
    hospital.spool.deliveries.append(old, hurried)
    hospital.now += 20 * MINUTES
    for part in (first, later, later):
        look(hospital, part)
    order = hospital.spool.deliveries.order(at(hospital, later, "reading")) or {}
    assert (order["addendum"], order["urgent"]) == (True, True)
    assert (hospital.spool.deliveries.order(at(hospital, first, "reading")) or {})["addendum"] is False


def test_a_delivery_that_was_fenced_when_a_person_moved_its_study_goes_on(hospital: Bench) -> None:
    part = routed(hospital)
    fenced = states.fenced(state(hospital, delivery := at(hospital, part, "archive")), now=hospital.now)
    hospital.spool.deliveries.append(delivery, fenced)
    before = pin(hospital)
    choices = tuple(replace(it, one_of=False) for it in before.choices)
    put_handed_over(hospital.spool, study_pins(STUDY, "DCMRELAY"), replace(before, epoch=1, choices=choices))
    said = look(hospital, part)
    assert (state(hospital, delivery).stage, state(hospital, delivery).status) == ("send", "waiting")
    assert "send.archive" in [ring.routing_key for ring in said.rings]
    look(hospital, part)
    assert state(hospital, part).status == "final"


def test_late_parts_follow_the_hand_over(hospital: Bench) -> None:
    look(hospital, routed(hospital))
    late = hospital.part(data_set(21))
    look(hospital, late)
    assert at(hospital, late, "reading")


def test_late_parts_of_a_study_that_is_whole_there_stay_and_a_person_is_told(hospital: Bench) -> None:
    first = routed(hospital)
    record(hospital, old := at(hospital, first, "archive"), {"delivered": by_index(0, 1, 2)})
    _finish(hospital, old)
    late = hospital.part(data_set(21))
    look(hospital, late)
    hospital.now += 15 * MINUTES
    look(hospital, late)
    assert pin(hospital).epoch == 0
    assert state(hospital, late).facts == {"alert": True}
    assert "has, or may have, a part of it whole" in state(hospital, late).reason


def _finish(it: Bench, delivery: str) -> None:
    _settle(it, delivery, Done(outcome="delivered"))


def _settle(it: Bench, delivery: str, outcome: Outcome) -> None:
    settled = states.settled(state(it, delivery), outcome, now=it.now, retry=states.Retry(), jitter=0)
    it.spool.deliveries.append(delivery, settled)


def test_a_person_is_asked_with_the_commands_that_help(tmp_path: Path) -> None:
    it = bench(tmp_path, TEXT.replace("AS", "always") + 'mode = "ask"\n')
    part = routed(it)
    look(it, part)
    held = state(it, old := at(it, part, "archive"))
    assert (held.status, held.dead_letter_class) == ("held", "policy")
    assert f"dcmrelay dead redirect {old[:10]} --to NAME --whole-study" in held.reason
    n = held.n
    look(it, part)
    assert state(it, old).n == n


def test_a_person_who_is_asked_and_a_destination_that_is_asked_for_commitment_are_told_apart(tmp_path: Path) -> None:
    it = bench(tmp_path, TEXT.replace("AS", "always") + 'mode = "ask"\n')
    part = routed(it)
    look(it, part)
    delivery = at(it, part, "archive")
    answer = CommitmentReport(transaction_uid=transaction_uid(delivery, 1), committed=(), failed={})
    assert not put_report(it.spool, "archive", answer), "nobody asked it yet"
    held = state(it, delivery)
    it.spool.deliveries.append(delivery, states.released(held, now=it.now, by="ann", why=""))
    record(it, delivery, {"asked": {"1": it.now.isoformat()}})
    it.spool.deliveries.append(delivery, states.asked(state(it, delivery), "verify", now=it.now, why="again"))
    assert put_report(it.spool, "archive", answer)


def test_what_a_person_is_to_redirect_moves_to_nobody_by_itself(hospital: Bench) -> None:
    part = routed(hospital)
    held_at = at(hospital, part, "archive")
    _settle(hospital, held_at, Held("destination 'archive' was changed", "policy"))
    hospital.now += 60 * MINUTES
    look(hospital, part)
    assert (pin(hospital).epoch, state(hospital, held_at).status) == (0, "held")
    hospital.spool.deliveries.append(
        held_at, states.released(state(hospital, held_at), now=hospital.now, by="ann", why="it is right")
    )
    hospital.now += 60 * MINUTES
    look(hospital, part)
    assert (pin(hospital).epoch, state(hospital, held_at).outcome) == (1, "handed_over")


def test_what_the_profile_withholds_of_one_part_keeps_no_other_part_there(hospital: Bench) -> None:
    withheld = routed(hospital, 1)
    record(hospital, first := at(hospital, withheld, "archive"), {"held": {"0": "a secondary capture"}})
    _settle(hospital, first, Held("1 of 1 instances held", "policy"))
    other = hospital.part(data_set(7), data_set(8))
    look(hospital, other)
    hospital.now += 60 * MINUTES
    for part in (withheld, other):
        look(hospital, part)
    assert pin(hospital).epoch == 1


@pytest.mark.parametrize("failed_after", [None, 1])
def test_a_circuit_that_was_open_before_counts_once_the_destination_failed_again(
    hospital: Bench, failed_after: int | None
) -> None:
    opened = NOON - 60 * MINUTES
    away = Circuit(destination="archive", identity="x", open=True, since=opened, failed_at=opened, probe_at=opened)
    put_circuit(hospital.spool, away)
    part = routed(hospital)
    assert pin(hospital).epoch == 0
    assert state(hospital, part).due == NOON + timedelta(seconds=5)
    if failed_after:
        put_circuit(hospital.spool, replace(away, failed_at=NOON + timedelta(seconds=failed_after)))
    look(hospital, part)
    assert pin(hospital).epoch == (1 if failed_after else 0)


def test_when_partial_is_hold_a_person_decides(tmp_path: Path) -> None:
    it = bench(tmp_path, TEXT.replace("AS", "always") + 'when_partial = "hold"\n')
    part = routed(it)
    record(it, old := at(it, part, "archive"), {"delivered": by_index(0)})
    look(it, part)
    assert state(it, old).dead_letter_class == "policy"
    assert pin(it).epoch == 0


def test_what_was_not_begun_when_its_window_closes_goes_to_the_next_shift(tmp_path: Path) -> None:
    it = bench(tmp_path, TEXT.replace("AS", "open"))
    it.now = NOON.replace(hour=19, minute=55)
    part = routed(it)
    assert state(it, part).due == NOON.replace(hour=20)
    look(it, part)
    assert at(it, part, "reading")


def test_what_was_begun_when_its_window_closes_is_finished(tmp_path: Path) -> None:
    it = bench(tmp_path, TEXT.replace("AS", "open"))
    it.now = NOON.replace(hour=19, minute=55)
    part = routed(it)
    record(it, at(it, part, "archive"), {"delivered": by_index(0)})
    look(it, part)
    assert pin(it).epoch == 0


def test_each_candidate_is_tried_once(hospital: Bench) -> None:
    part = routed(hospital)
    look(hospital, part)
    for _ in range(3):
        look(hospital, part)
    assert pin(hospital).epoch == 1
    assert state(hospital, part).facts == {"alert": True}


def test_a_pause_by_a_person_is_no_failing(hospital: Bench) -> None:
    part = routed(hospital)
    put_pause(hospital.spool, Pause(destination="archive", paused=True, at=NOON, until=None, by="ann", why=""))
    look(hospital, part)
    look(hospital, part)
    assert pin(hospital).epoch == 0


def test_the_sweep_ends_the_watch_over_a_part_that_was_delivered(hospital: Bench) -> None:
    part = routed(hospital)
    _finish(hospital, at(hospital, part, "archive"))
    sweep(hospital.spool, hospital.config.hash)
    assert (state(hospital, part).status, state(hospital, part).outcome) == ("final", "routed")
    sweep(hospital.spool, hospital.config.hash)
    assert is_finished(hospital.spool, part)


def test_what_another_route_gives_the_candidate_anyway_is_not_taken_from_it(tmp_path: Path) -> None:
    it = bench(tmp_path, TEXT.replace("AS", "always") + '[[route]]\nname = "too"\nto = ["archive"]\n')
    part = it.part(data_set())
    look(it, part)
    assert state(it, part).status == "final"


def test_a_delivery_has_the_id_that_its_choice_gives_it(hospital: Bench) -> None:
    part = routed(hospital)
    choice = candidate_in(pin(hospital))
    assert choice is not None
    assert delivery_to(hospital.spool, part, choice) == at(hospital, part, "archive")


class Killed(BaseException):
    """kill -9."""


def test_killed_at_any_step_of_a_hand_over_it_is_decided_once_and_nothing_is_lost(tmp_path: Path) -> None:
    for k in count_from(1):
        (tmp_path / str(k)).mkdir()
        it = bench(tmp_path / str(k), TEXT.replace("AS", "always"))
        first = routed(it)
        it.now += MINUTES
        second = it.part(data_set(11))
        look(it, second)
        record(it, at(it, first, "archive"), {"delivered": by_index(0)})
        count = 0

        def step(_: str, k: int = k) -> None:
            nonlocal count
            count += 1
            if count == k:
                raise Killed

        it.spool.store._step = step
        it.now = NOON + 15 * MINUTES
        with contextlib.suppress(Killed):
            look(it, first)
        it.spool.store._step = lambda _: None
        it.now += 20 * MINUTES  # the lease of the dead one has run out
        for _ in range(3):
            for part in (first, second):
                if state(it, part).status != "final":
                    look(it, part)
        assert pin(it).epoch == 1, k
        for part in (first, second):
            assert state(it, at(it, part, "archive")).outcome == "handed_over", k
            assert state(it, at(it, part, "reading")).status == "waiting", k
            assert at(it, part, "reading") in it.facts(part)["ordered"], k
        if count < k:
            break
    assert k > 20


def test_two_routers_that_race_decide_once(hospital: Bench) -> None:
    part = routed(hospital)
    hospital.now += 10 * MINUTES
    raced: list[Said] = []

    def other(claim: Claim) -> Outcome:
        if not raced:
            raced.append(Said())
            hospital.now += 6 * MINUTES  # this one hangs for longer than its lease
            raced.append(look(hospital, part))
        return Router(hospital.spool).handle(claim)

    hospital.look(part, other)
    assert pin(hospital).epoch == 1
    assert state(hospital, at(hospital, part, "archive")).outcome == "handed_over"
    assert state(hospital, at(hospital, part, "reading")).status == "waiting"


OWN_PROFILES = (
    TEXT.replace("[profile.basic]", '[profile.basic]\n[profile.other]\nkey_file = "other.key"')
    .replace('during = "office", as_backup = "AS"', 'during = "office", as_backup = "always", profile = "basic"')
    .replace('during = "night", as_backup = "AS"', 'during = "night", as_backup = "always", profile = "other"')
)


def test_each_candidate_gets_the_study_by_its_own_profile(tmp_path: Path) -> None:
    it = bench(tmp_path, OWN_PROFILES)
    part = routed(it)
    old = at(it, part, "archive")
    assert _profile(it, old) == "basic"
    it.spool.deliveries.append(old, replace(state(it, old), n=1, stage="send"))  # its rendition is made
    look(it, part)
    look(it, part)
    new = at(it, part, "reading")
    assert (state(it, old).outcome, _profile(it, new), state(it, new).stage) == ("handed_over", "other", "render")
    form = order_from_json(it.spool.deliveries.order(new) or {}).form
    kept = pinned_profile(it.spool, form.profile_hash)
    assert kept is not None
    assert kept.hash == it.config.profiles["other"].hash
    late = it.part(data_set(21))
    look(it, late)
    assert _profile(it, at(it, late, "reading")) == "other"


def test_what_a_person_corrected_in_a_part_stays_corrected_when_the_study_is_handed_over(hospital: Bench) -> None:
    part = hospital.part(data_set())
    hospital.look(part, lambda _: Held("no route wants it", "policy"))
    (letter,) = dead_letters(hospital.spool)
    edit = correction_of(["PatientID=4712"])
    correct_part(hospital.spool, letter, edit, by="A", why="", config=hospital.config.hash)
    look(hospital, part)
    old = at(hospital, part, "archive")
    assert _label(hospital, old) == "corrected"
    hospital.spool.deliveries.append(old, replace(state(hospital, old), n=1, stage="send"))  # its rendition is made
    look(hospital, part)
    look(hospital, part)
    new = at(hospital, part, "reading")
    assert (state(hospital, old).outcome, _label(hospital, new)) == (
        "handed_over",
        "corrected",
    )
    late = hospital.part(data_set(2))
    look(hospital, late)
    assert _label(hospital, at(hospital, late, "reading")) == "as received"


def _label(it: Bench, delivery: str) -> str:
    return order_from_json(it.spool.deliveries.order(delivery) or {}).form.label


def _profile(it: Bench, delivery: str) -> str:
    order = it.spool.deliveries.order(delivery)
    assert order is not None
    return str(order["form"]["profile"])


def divert(it: Bench, destination: str, hours: int = 2) -> None:
    until = it.now + timedelta(hours=hours)
    put_divert(it.spool, Divert(route="outside", destination=destination, at=it.now, until=until, by="ann", why="line"))


def test_new_studies_go_where_a_person_diverts_the_route_while_that_lasts(tmp_path: Path) -> None:
    it = bench(tmp_path, TEXT.replace("AS", "open"))  # at noon `reading` is closed
    before = routed(it)
    divert(it, "reading")
    part = it.part(data_set(1, study="1.9"), study="1.9")
    look(it, part)
    assert at(it, before, "archive")
    assert state(it, at(it, part, "reading")).due is None
    decision = it.spool.read_json(f"parts/{part}/decision.json") or {}
    assert decision["why"] == {"outside": "diverted until 2026-03-04T14:00+00:00 by ann (line)"}
    late = it.part(data_set(21))
    look(it, late)
    assert at(it, late, "archive")
    it.now += timedelta(hours=2)
    look(it, after := it.part(data_set(1, study="1.10"), study="1.10"))
    assert at(it, after, "archive")


def test_what_was_not_begun_when_a_divert_ends_goes_to_who_is_on_duty(tmp_path: Path) -> None:
    it = bench(tmp_path, TEXT.replace("AS", "open"))
    divert(it, "reading")
    part = routed(it)
    put_pause(it.spool, Pause(destination="reading", paused=True, at=NOON, until=None, by="ann", why=""))
    look(it, part)
    assert pin(it).epoch == 0
    divert(it, "")
    look(it, part)
    assert (pin(it).epoch, pin(it).choices[0].destination) == (1, "archive")


def test_a_service_that_a_route_is_diverted_to_is_left_when_it_fails(hospital: Bench) -> None:
    divert(hospital, "reading")
    part = routed(hospital)
    look(hospital, part)
    assert state(hospital, at(hospital, part, "reading")).outcome == "handed_over"
    assert at(hospital, part, "archive")


def test_a_divert_to_one_that_is_no_candidate_is_passed_over(hospital: Bench) -> None:
    divert(hospital, "third")
    assert at(hospital, routed(hospital), "archive")


def test_what_waits_behind_others_at_a_service_that_gets_on_stays(hospital: Bench) -> None:
    part, sent = routed(hospital), Progress(hospital.spool, "archive")
    for _ in range(3):
        hospital.now += 9 * MINUTES
        sent.note()
        look(hospital, part)
        assert pin(hospital).epoch == 0
    for _ in range(2):
        look(hospital, part)
    assert pin(hospital).epoch == 1


def test_a_study_that_had_its_turn_is_judged_by_its_own_progress(hospital: Bench) -> None:
    part, sent = routed(hospital), Progress(hospital.spool, "archive")
    record(hospital, at(hospital, part, "archive"), {"failed": by_index(0)})
    for _ in range(2):
        hospital.now += 9 * MINUTES
        sent.note()
        look(hospital, part)
    assert pin(hospital).epoch == 1
