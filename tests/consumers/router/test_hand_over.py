"""The rules of "no silent second reader", by table: the whole product of what a candidate may have, and each rule."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest

from consumers.router.candidates import Candidates, candidates_of
from consumers.router.hand_over import Answer, Ask, Holding, Move, Situation, Stay, Wait, decide, holding_of
from shared.config.rules import Candidate, Route
from tests.shared.config.examples import small

CONFIG = small("""
[relay]
timezone = "UTC"
[calendar.office]
open = ["mon-fri 08:00-20:00"]
[calendar.night]
open = ["mon-sun 20:00-08:00", "sat-sun 08:00-20:00"]
""")
DAY = Candidate(destination="day", during="office", as_backup="always")
NIGHT = Candidate(destination="night", during="night", as_backup="always")
BOTH = candidates_of(CONFIG, (DAY, NIGHT))
NOON = datetime(2026, 6, 24, 12, 0, tzinfo=UTC)  # a Wednesday
EVENING = NOON.replace(hour=20)
LONG, SHORT = timedelta(minutes=11), timedelta(minutes=9)


def route(**more: Any) -> Route:
    return Route(name="r", one_of=(DAY, NIGHT), **more)


def at_day(*parts: Holding, due_since: datetime = NOON - LONG, **more: Any) -> Situation:
    return Situation(current="day", parts=parts or (Holding(count=3),), due_since=due_since, **more)


def answer(situation: Situation, now: datetime = NOON, candidates: Candidates = BOTH, **more: Any) -> Answer:
    return decide(route(**more), candidates, situation, now)


def word(found: Answer) -> str:
    return "alert" if isinstance(found, Stay) and found.alert else type(found).__name__.lower()


HOLDINGS = [
    Holding(count=3, delivered=d, in_doubt=x, refused=r)
    for d, x, r in product(range(4), repeat=3)
    if d + x + r <= 3
]  # fmt: skip


def expected(parts: tuple[Holding, ...], *, fails: bool, partial: str, mode: str) -> str:
    """The rules as the design words them, asked in its order."""
    there = [part.delivered + part.in_doubt for part in parts]
    if all(part.delivered + part.refused == part.count and part.delivered for part in parts):
        return "stay"  # all but refused instances there: delivered, not moved
    if not fails:
        return "stay"  # progress never counts as failing
    for part, some in zip(parts, there, strict=True):
        if some and some == part.count - part.refused:
            return "alert"  # everything there or in doubt, or an earlier part complete there
    if mode == "ask":
        return "ask"
    if not any(there):
        return "move"  # nothing there, nothing in doubt
    return "move" if partial == "move" else "ask"


@pytest.mark.parametrize(("fails", "partial", "mode"), list(product((True, False), ("move", "hold"), ("auto", "ask"))))
def test_whatever_a_candidate_has_of_two_parts_the_answer_is_that_of_the_design(
    fails: bool, partial: str, mode: str
) -> None:
    for parts in [*((one,) for one in HOLDINGS), *product(HOLDINGS, repeat=2)]:
        situation = at_day(*parts, due_since=NOON - (LONG if fails else SHORT))
        found = answer(situation, when_partial=partial, mode=mode)
        assert word(found) == expected(parts, fails=fails, partial=partial, mode=mode), parts
        assert not isinstance(found, Move) or (found.to == "night" and bool(found.notice) == any(p.some for p in parts))


@pytest.mark.parametrize(
    ("situation", "more", "expected"),
    [
        (at_day(due_since=NOON - timedelta(minutes=10)), {}, "move"),
        (at_day(due_since=NOON - timedelta(minutes=10) + timedelta(seconds=1)), {}, "stay"),
        (at_day(due_since=NOON - timedelta(days=3), last_success=NOON - SHORT), {}, "stay"),
        (at_day(due_since=NOON - timedelta(days=3), last_success=NOON - LONG), {}, "move"),
        (at_day(due_since=NOON - SHORT, last_success=NOON - timedelta(days=3)), {}, "stay"),
        (at_day(due_since=NOON, circuit_open_since=NOON - LONG), {}, "move"),
        (at_day(due_since=NOON - SHORT, circuit_open_since=NOON - SHORT), {}, "stay"),
        (at_day(due_since=NOON - LONG, circuit_open_since=NOON - SHORT), {}, "move"),
        (at_day(due_since=NOON, circuit_open_since=NOON - LONG, last_success=NOON - SHORT), {}, "stay"),
        (at_day(due_since=NOON, probe_at=NOON), {}, "stay"),
        (at_day(due_since=NOON - LONG, probe_at=NOON), {}, "move"),
        (at_day(urgent=True, due_since=NOON - timedelta(minutes=3)), {}, "stay"),
        (
            at_day(urgent=True, due_since=NOON - timedelta(minutes=3)),
            {"hand_over_after_urgent": timedelta(minutes=3)},
            "move",
        ),
        (at_day(due_since=NOON - timedelta(minutes=3)), {"hand_over_after_urgent": timedelta(minutes=3)}, "stay"),
        (at_day(due_since=NOON - timedelta(minutes=3)), {"hand_over_after": timedelta(minutes=2)}, "move"),
    ],
)
def test_a_candidate_fails_when_it_is_silent_or_unreachable_for_so_long(
    situation: Situation, more: dict[str, Any], expected: str
) -> None:
    assert word(answer(situation, **more)) == expected


def test_a_candidate_that_has_time_yet_is_looked_at_when_that_is_over() -> None:
    found = answer(at_day(due_since=NOON - SHORT))
    assert found == Stay(why="it has time yet", look_at=NOON + timedelta(minutes=1))


def test_each_candidate_is_tried_once() -> None:
    found = answer(at_day(tried=frozenset({"night", "day"})))
    assert word(found) == "alert"
    assert found == Stay(why="'day' fails and nobody takes over", look_at=None, alert=True)


def test_a_stand_in_that_comes_later_is_waited_for_while_the_first_is_tried_on() -> None:
    at_night_only = Candidate(destination="night", during="night", as_backup="open")
    found = answer(at_day(), candidates=candidates_of(CONFIG, (DAY, at_night_only)))
    assert found == Stay(why="'day' fails and nobody takes over", look_at=EVENING, alert=True)


def test_a_candidate_that_is_never_a_backup_does_not_take_over() -> None:
    never = Candidate(destination="night", as_backup="never")
    assert word(answer(at_day(), candidates=candidates_of(CONFIG, (DAY, never)))) == "alert"


def test_people_are_told_what_the_old_candidate_has() -> None:
    found = answer(at_day(Holding(count=612, delivered=300), Holding(count=10, in_doubt=1)))
    assert isinstance(found, Move)
    assert found.notice == "'day' has 300 of 622 instances, 1 more in doubt; tell it to discard them"


OPEN_DAY = Candidate(destination="day", during="office", as_backup="open")
OPEN_NIGHT = Candidate(destination="night", during="night", as_backup="open")
NOTHING, SOME, DOUBT = Holding(count=3), Holding(count=3, delivered=1), Holding(count=3, in_doubt=1)
FRESH = EVENING - timedelta(seconds=1)


@pytest.mark.parametrize(
    ("them", "part", "tried", "expected"),
    [
        # nothing sent yet: choose again
        ((OPEN_DAY, OPEN_NIGHT), NOTHING, (), Move),
        ((DAY, NIGHT), NOTHING, (), Move),
        ((OPEN_DAY, NIGHT), Holding(count=3, refused=3), (), Move),
        # begun: to be finished
        ((OPEN_DAY, OPEN_NIGHT), SOME, (), Stay),
        ((OPEN_DAY, OPEN_NIGHT), DOUBT, (), Stay),
        # nobody else may take it: it waits, unless it stands in for itself
        ((OPEN_DAY, OPEN_NIGHT), NOTHING, ("night",), Wait),
        ((DAY, OPEN_NIGHT), NOTHING, ("night",), Stay),
        ((OPEN_DAY,), NOTHING, (), Wait),
        # one that only stands in is no reason to leave one that stands in as well
        ((DAY, Candidate(destination="x", during="office", as_backup="always")), NOTHING, (), Stay),
        ((OPEN_DAY, Candidate(destination="x", during="office", as_backup="always")), NOTHING, (), Move),
    ],
)
def test_when_a_window_closes_on_a_backlog_what_was_not_begun_is_chosen_for_again(
    them: tuple[Candidate, ...], part: Holding, tried: tuple[str, ...], expected: type
) -> None:
    situation = at_day(part, due_since=FRESH, tried=frozenset(tried))
    assert type(answer(situation, EVENING, candidates_of(CONFIG, them))) is expected


def test_what_a_candidate_has_that_is_one_no_more_waits_for_a_person() -> None:
    found = answer(at_day(SOME), candidates=candidates_of(CONFIG, (NIGHT,)))
    assert found == Ask("'day', which has the study, is no candidate of route 'r' any more")


def test_what_nobody_may_take_now_waits_until_somebody_comes() -> None:
    found = answer(at_day(due_since=FRESH), EVENING, candidates_of(CONFIG, (OPEN_DAY,)))
    assert found == Wait(until=EVENING + timedelta(hours=12), why="nobody may take it now")


def test_what_was_begun_is_handed_over_all_the_same_when_it_fails_after_hours() -> None:
    found = answer(at_day(SOME, due_since=EVENING - LONG), EVENING, candidates_of(CONFIG, (OPEN_DAY, OPEN_NIGHT)))
    assert isinstance(found, Move)
    assert found.notice


def test_a_mode_of_ask_does_not_keep_a_study_from_the_next_shift() -> None:
    assert isinstance(answer(at_day(due_since=FRESH), EVENING, mode="ask"), Move)


def test_a_study_of_which_nothing_is_to_be_sent_stays() -> None:
    assert word(answer(at_day(Holding(count=0)))) == "stay"


def test_a_person_is_asked_with_the_reason() -> None:
    assert answer(at_day(SOME), when_partial="hold") == Ask(
        "'day' answered nothing with success for too long; it has 1 of 3 instances, when_partial is hold"
    )
    assert isinstance(answer(replace(at_day(), urgent=True), mode="ask"), Ask)


def by_index(*indexes: int) -> dict[str, str]:
    return {str(index): "" for index in indexes}


@pytest.mark.parametrize(
    ("facts", "unrecorded", "expected"),
    [
        ({}, 0, Holding(count=5)),
        ({"delivered": by_index(0, 1)}, 0, Holding(count=5, delivered=2)),
        ({"failed": by_index(0, 1)}, 0, Holding(count=5)),
        ({"unanswered": by_index(0)}, 0, Holding(count=5, in_doubt=1)),
        ({"unanswered": by_index(0), "delivered": by_index(0)}, 0, Holding(count=5, delivered=1)),
        ({"unanswered": by_index(0), "refused": by_index(0)}, 0, Holding(count=5, refused=1)),
        ({"unanswered": by_index(0), "failed": by_index(0)}, 0, Holding(count=5, in_doubt=1)),
        ({"held": by_index(0), "dropped": by_index(1)}, 0, Holding(count=3)),
        ({"delivered": by_index(2), "held": by_index(0)}, 0, Holding(count=4, delivered=1)),
        ({}, 64, Holding(count=5, in_doubt=5)),
        ({"delivered": by_index(0, 1, 2, 3)}, 64, Holding(count=5, delivered=4, in_doubt=1)),
        ({"delivered": by_index(0), "refused": by_index(1), "unanswered": by_index(2)}, 1,
         Holding(count=5, delivered=1, refused=1, in_doubt=2)),
    ],
)  # fmt: skip
def test_what_a_destination_has_is_read_from_the_records_and_in_doubt_counts_as_there(
    facts: dict[str, Any], unrecorded: int, expected: Holding
) -> None:
    assert holding_of(5, facts, unrecorded=unrecorded) == expected


@pytest.mark.parametrize(
    ("due", "probe", "look_at"),
    [
        (NOON, NOON - LONG, NOON + timedelta(seconds=5)),
        (NOON, NOON + timedelta(minutes=2), NOON + timedelta(minutes=2, seconds=5)),
        (NOON - timedelta(minutes=4), NOON, NOON + timedelta(minutes=2)),
        (NOON - timedelta(minutes=9), NOON, NOON + timedelta(minutes=1)),
    ],
)
def test_a_destination_that_was_away_before_is_looked_at_again_once_it_was_probed(
    due: datetime, probe: datetime, look_at: datetime
) -> None:
    found = answer(at_day(due_since=due, probe_at=probe))
    assert isinstance(found, Stay)
    assert found.look_at == look_at
