"""Which record follows which."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.outcomes import Done, Held, Later, Next, Outcome, Paused
from shared.spool import states
from shared.spool.states import Retry, State, from_json, to_json

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
LEASE = timedelta(minutes=5)
RETRY = Retry(first=timedelta(seconds=2), longest=timedelta(seconds=30), give_up=timedelta(hours=1), faults=3)
WAITING = State(n=4, stage="send", status="waiting", at=NOW, due=NOW, tries=2, faults=1, since=NOW, reason="away",
                config="c")  # fmt: skip
WORKING = states.claimed(WAITING, owner="me", now=NOW, lease=LEASE, faults=1)


def settled(outcome: Outcome, after: timedelta = timedelta(0), state: State = WORKING) -> State:
    return states.settled(state, outcome, now=NOW + after, retry=RETRY, jitter=0)


def test_a_claim_names_its_owner_and_lease_and_keeps_the_tries() -> None:
    assert to_json(WORKING) == {
        "n": 5, "stage": "send", "status": "working", "at": NOW.isoformat(), "tries": 2, "faults": 1,
        "since": NOW.isoformat(), "owner": "me", "lease": (NOW + LEASE).isoformat(), "reason": "away", "config": "c",
    }  # fmt: skip


def test_the_first_claim_begins_the_time_after_which_a_unit_is_given_up() -> None:
    fresh = State(n=0, stage="send", status="waiting", at=NOW)
    first = states.claimed(fresh, owner="me", now=NOW, lease=LEASE, faults=0)
    again = states.claimed(first, owner="you", now=NOW + LEASE, lease=LEASE, faults=1)
    assert (first.since, again.since, again.faults) == (NOW, NOW, 1)


def test_a_slice_renews_the_lease_and_brings_its_facts() -> None:
    later = NOW + timedelta(minutes=3)
    state = states.advanced(WORKING, now=later, lease=LEASE, facts={"delivered": {"0": "0000"}})
    assert (state.n, state.status, state.owner, state.lease) == (6, "working", "me", later + LEASE)
    assert state.facts == {"delivered": {"0": "0000"}}


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Done(outcome="delivered", facts={"count": 3}),
         {"status": "final", "outcome": "delivered", "facts": {"count": 3}, "tries": 2, "faults": 1}),
        (Next("send"), {"status": "waiting", "stage": "send"}),
        (Next("render"), {"status": "waiting", "stage": "render"}),
        (Later("the peer is away"),
         {"status": "waiting", "tries": 3, "faults": 1, "due": (NOW + timedelta(seconds=8)).isoformat(),
          "since": NOW.isoformat(), "reason": "the peer is away"}),
        (Held("no route wants it", "policy"),
         {"status": "held", "tries": 2, "faults": 1, "reason": "no route wants it", "dead_letter_class": "policy"}),
    ],
)  # fmt: skip
def test_each_outcome_has_its_record(outcome: Outcome, expected: dict[str, Any]) -> None:
    common = {"n": 6, "stage": "send", "at": NOW.isoformat(), "config": "c"}
    kept = {} if isinstance(outcome, Next) else {"since": NOW.isoformat()}
    assert to_json(settled(outcome)) == {**common, **kept, **expected}


@pytest.mark.parametrize(
    ("after", "status", "dead_letter_class"),
    [
        (RETRY.give_up - timedelta(microseconds=1), "waiting", None),
        (RETRY.give_up, "held", "unreachable"),
        (RETRY.give_up * 9, "held", "unreachable"),
    ],
)
def test_a_unit_is_given_up_when_its_time_is_used(after: timedelta, status: str, dead_letter_class: str) -> None:
    state = settled(Later("away"), after)
    assert (state.status, state.dead_letter_class) == (status, dead_letter_class)
    assert state.reason == ("away" if status == "waiting" else "gave up: away")


def test_success_counts_even_when_the_time_is_used() -> None:
    assert settled(Done(outcome="delivered"), RETRY.give_up * 2).status == "final"
    assert settled(Next("send"), RETRY.give_up * 2).status == "waiting"


@pytest.mark.parametrize(("before", "status", "faults"), [(0, "waiting", 1), (1, "waiting", 2), (2, "held", 3)])
def test_what_breaks_its_worker_is_held_as_a_bug_at_the_limit(before: int, status: str, faults: int) -> None:
    working = states.claimed(WAITING, owner="me", now=NOW, lease=LEASE, faults=before)
    state = states.broke(working, "KeyError at handler.py:7", now=NOW, retry=RETRY, jitter=0)
    assert (state.status, state.faults, state.reason) == (status, faults, "KeyError at handler.py:7")
    assert state.dead_letter_class == ("bug" if status == "held" else None)


def test_a_unit_handed_back_waits_without_a_failure() -> None:
    state = states.handed_back(WORKING, now=NOW)
    assert (state.n, state.status, state.owner, state.lease, state.due) == (6, "waiting", "", None, None)
    assert (state.tries, state.faults) == (2, 1)


def test_a_replayed_dead_letter_begins_anew_at_its_stage() -> None:
    held = settled(Held("refused", "refused"))
    assert to_json(states.released(held, now=NOW, by="ann", why="mended")) == {
        "n": 7, "stage": "send", "status": "waiting", "at": NOW.isoformat(), "reason": "mended", "config": "c",
        "facts": {"replayed": True}, "by": "ann",
    }  # fmt: skip
    assert states.released(held, now=NOW, by="ann", why="", config="new").config == "new"


def test_a_discarded_dead_letter_is_final_and_says_by_whom() -> None:
    state = states.discarded(settled(Held("refused", "refused")), now=NOW, by="ann", why="not ours")
    assert (state.status, state.outcome, state.reason, state.by) == ("final", "discarded", "not ours", "ann")


@pytest.mark.parametrize(("tries", "seconds"), [(0, 2), (1, 4), (2, 8), (3, 16), (4, 30), (5, 30), (1000, 30)])
def test_the_wait_doubles_up_to_the_longest(tries: int, seconds: float) -> None:
    assert RETRY.wait(tries, 0) == timedelta(seconds=seconds)


@given(
    first=st.timedeltas(timedelta(milliseconds=1), timedelta(days=2)),
    longest=st.timedeltas(timedelta(milliseconds=1), timedelta(days=30)),
    tries=st.integers(0, 10_000),
    jitter=st.floats(0, 1),
)
def test_a_wait_is_shortened_by_a_quarter_at_most(
    first: timedelta, longest: timedelta, tries: int, jitter: float
) -> None:
    retry = Retry(first=first, longest=longest)
    whole = retry.wait(tries, 0)
    assert min(first, longest) <= whole <= longest
    assert whole * 0.7499 <= retry.wait(tries, jitter) <= whole


_zones = st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30)), timezone(-timedelta(hours=3))])
_times = st.datetimes(timezones=_zones)
_facts = st.dictionaries(st.text(), st.dictionaries(st.text(), st.text()) | st.integers() | st.booleans(), max_size=3)
_states = st.builds(
    State,
    n=st.integers(0, 10**8 - 1),
    stage=st.sampled_from(["route", "render", "send"]),
    status=st.sampled_from(["waiting", "working", "held", "final"]),
    at=_times,
    due=st.none() | _times,
    tries=st.integers(0, 10**6),
    faults=st.integers(0, 10),
    since=st.none() | _times,
    owner=st.text(),
    lease=st.none() | _times,
    reason=st.text(),
    dead_letter_class=st.none() | st.sampled_from(["unreachable", "refused", "invalid", "policy", "bug"]),
    config=st.text(),
    outcome=st.text(),
    facts=_facts,
    by=st.text(),
)


@given(state=_states)
def test_a_record_reads_as_it_was_written(state: State) -> None:
    assert from_json(json.loads(json.dumps(to_json(state)))) == state


def test_what_a_later_version_wrote_beside_is_passed_over() -> None:
    assert from_json({**to_json(WORKING), "colour": "red", "order": {}}) == WORKING


@pytest.mark.parametrize("record", [{}, {"n": 1}, {**to_json(WORKING), "at": "yesterday"}])
def test_a_damaged_record_is_not_read(record: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError)):
        from_json(record)


def test_a_pause_counts_no_try_and_its_time_not_towards_giving_up() -> None:
    until = NOW + timedelta(hours=8)
    paused = settled(Paused("paused by ann", until), state=replace(WORKING, tries=0))
    assert (paused.status, paused.due, paused.tries, paused.since) == ("waiting", until, 0, None)
    tried = settled(Paused("paused by ann", until))
    assert (tried.tries, tried.faults, tried.since, tried.reason) == (2, 1, until, "paused by ann")
    again = states.claimed(tried, owner="me", now=until, lease=LEASE, faults=1)
    assert states.settled(again, Later("away"), now=until, retry=RETRY, jitter=0).status == "waiting"


def test_what_a_unit_becomes_when_its_time_is_used_may_be_said_beforehand() -> None:
    later = Later("0110", Held("1 of 3 instances not delivered", "refused"))
    state = settled(later, RETRY.give_up)
    assert (state.reason, state.dead_letter_class) == ("gave up: 1 of 3 instances not delivered", "refused")
    assert settled(later).reason == "0110"


def test_what_a_person_did_is_told_of_no_later_record() -> None:
    hurried = states.hurried(WAITING, now=NOW, by="ann", why="stroke")
    assert (hurried.n, hurried.due, hurried.urgent, hurried.by) == (5, None, True, "ann")
    working = states.claimed(hurried, owner="me", now=NOW, lease=LEASE, faults=1)
    waiting = states.settled(working, Later("away"), now=NOW, retry=RETRY, jitter=0)
    assert (working.by, waiting.by, waiting.urgent) == ("", "", True)
    assert states.settled(hurried, Held("gone", "policy"), now=NOW, retry=RETRY, jitter=0).by == ""


def test_a_delivery_that_goes_on_as_another_says_so() -> None:
    moved = states.moved(WAITING, now=NOW, by="ann", why="moved", outcome="redirected", to="d2", missing="3")
    assert (moved.status, moved.outcome, moved.due) == ("final", "redirected", None)
    assert moved.facts == {"elsewhere": {"3": "d2"}}
