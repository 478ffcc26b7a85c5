"""The records of a unit and the rules by which one follows another. No I/O, no clock, no globals."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from shared.errors import DeadLetterClass
from shared.outcomes import Done, Held, Later, Next, Outcome, Paused, Watched

Status = Literal["waiting", "working", "held", "final"]
# A delivery at this stage is nobody's to work on: the router decides whether another candidate gets the study.
HAND_OVER = "hand_over"
TIMES = ("at", "due", "since", "lease")
"""Which fields of a record are times."""


@dataclass(frozen=True, kw_only=True)
class State:
    """One record `<unit>/<n>.json`; the highest n is what is true now.

    Args:
        n: number of the record, from 0.
        stage: `route` (a part), `render`, `send`, `verify`, `hand_over` (a delivery).
        status: `waiting` for a worker, `working`, `held` for a person (a dead letter), `final`.
        at: when the record was written.
        due: a waiting unit is not to be worked on before.
        tries: failed tries at this stage.
        faults: workers that died or broke at this stage.
        since: when this stage was first tried; `give_up` counts from here.
        owner: who works, as `shared.owner` writes it.
        lease: a `working` record counts as abandoned after this, also when its owner lives: it may hang.
        reason: why it waits or is held, without patient data.
        dead_letter_class: of a held unit.
        config: hash of the configuration in force for it.
        outcome: what became of it, when final; a part that is `routed` and waits is looked at again when due.
        facts: what this record adds: progress of a slice, counts; merged over all records in `Units.facts`.
        by: who made this record, when a person did: replayed, discarded, made urgent, ordered more, ...
        urgent: a person let it overtake routine work to the same destination.
    """

    n: int
    stage: str
    status: Status
    at: datetime
    due: datetime | None = None
    tries: int = 0
    faults: int = 0
    since: datetime | None = None
    owner: str = ""
    lease: datetime | None = None
    reason: str = ""
    dead_letter_class: DeadLetterClass | None = None
    config: str = ""
    outcome: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    by: str = ""
    urgent: bool = False


FIELDS = frozenset(State.__dataclass_fields__)


@dataclass(frozen=True, kw_only=True)
class Retry:
    """How long to wait between tries, and how long to try.

    Args:
        first: the first wait; doubles.
        longest: no wait is longer.
        give_up: a dead letter after this, counted from the first try.
        faults: a dead letter, class bug, after so many workers died or broke at it.
    """

    first: timedelta = timedelta(seconds=1)
    longest: timedelta = timedelta(minutes=5)
    give_up: timedelta = timedelta(days=5)
    faults: int = 5

    def wait(self, tries: int, jitter: float) -> timedelta:
        """The wait after so many failed tries (from 0), shortened by up to a quarter; jitter is in 0..1."""
        doubled: timedelta = min(self.first * (1 << min(tries, 20)), self.longest)
        return doubled * (1 - jitter / 4)


def claimed(state: State, *, owner: str, now: datetime, lease: timedelta, faults: int) -> State:
    """The record that says `owner` works on the unit from now; written before the work, so that a crash counts."""
    return replace(
        state,
        n=state.n + 1,
        status="working",
        at=now,
        due=None,
        since=state.since or now,
        owner=owner,
        lease=now + lease,
        faults=faults,
        facts={},
        by="",
    )


def advanced(state: State, *, now: datetime, lease: timedelta, facts: Mapping[str, Any]) -> State:
    """The record of one slice done by the one who works on the unit."""
    return replace(state, n=state.n + 1, at=now, lease=now + lease, facts=facts)


def settled(state: State, outcome: Outcome, *, now: datetime, retry: Retry, jitter: float) -> State:
    """The record that an outcome makes of a unit that was worked on.

    Args:
        state: the `working` record.
        outcome: what the handler answered.
        now: the time.
        retry: waits and limits of this stage.
        jitter: 0..1, drawn by the caller.
    """
    free = replace(state, n=state.n + 1, at=now, owner="", lease=None, facts={}, reason="", by="")
    match outcome:
        case Done(outcome=word, facts=facts):
            return replace(free, status="final", outcome=word, facts=facts)
        case Next(stage):
            return replace(free, status="waiting", stage=stage, tries=0, faults=0, since=None)
        case Held(reason, dead_letter_class):
            return replace(free, status="held", reason=reason, dead_letter_class=dead_letter_class)
        case Paused(reason, until):
            since = state.since + (until - now) if state.tries and state.since else None
            return replace(free, status="waiting", due=until, reason=reason, since=since, facts={"paused": True})
        case Watched(outcome=word, until=until, reason=reason, alert=alert):
            facts = {"alert": True} if alert else {}
            watched = replace(free, status="waiting", tries=0, faults=0, since=None, dead_letter_class=None)
            return replace(watched, outcome=word, due=until, reason=reason, facts=facts)
        case Later(reason, given_up) if state.since is not None and now - state.since >= retry.give_up:
            held = given_up or Held(reason, "unreachable")
            word = held.dead_letter_class
            return replace(free, status="held", reason=f"gave up: {held.reason}", dead_letter_class=word)
        case Later(reason):
            due = now + retry.wait(state.tries, jitter)
            return replace(free, status="waiting", tries=state.tries + 1, due=due, reason=reason)


def broke(state: State, reason: str, *, now: datetime, retry: Retry, jitter: float) -> State:
    """The record after the handler raised what nobody foresaw: tried again, a limited number of times."""
    counted = replace(state, faults=state.faults + 1)
    if counted.faults >= retry.faults:
        return settled(counted, Held(reason, "bug"), now=now, retry=retry, jitter=jitter)
    return settled(counted, Later(reason), now=now, retry=retry, jitter=jitter)


def handed_back(state: State, *, now: datetime) -> State:
    """The record of a worker that was told to stop: the unit waits as if it had not begun; no failure."""
    return replace(state, n=state.n + 1, status="waiting", at=now, owner="", lease=None, facts={})


def released(
    state: State,
    *,
    now: datetime,
    by: str,
    why: str,
    config: str = "",
    due: datetime | None = None,
    corrections: str = "",
) -> State:
    """The record of a replayed dead letter: as if never tried, at the stage where it stopped.

    Args:
        state: the `held` record.
        now: the time.
        by: who replayed it.
        why: their words for the record.
        config: hash of the configuration to decide under; empty keeps the old one.
        due: not to be worked on before.
        corrections: of a part, the name under which is kept what they corrected in it; empty: nothing more.
    """
    corrected = {"corrected": True, "corrections": corrections} if corrections else {}
    return replace(
        state,
        n=state.n + 1,
        status="waiting",
        at=now,
        due=due,
        tries=0,
        faults=0,
        since=None,
        reason=why,
        dead_letter_class=None,
        config=config or state.config,
        facts={"replayed": True, **corrected},
        by=by,
    )


def discarded(state: State, *, now: datetime, by: str, why: str) -> State:
    """The record of a dead letter that a person gave up."""
    return replace(state, n=state.n + 1, status="final", at=now, outcome="discarded", reason=why, facts={}, by=by)


def failed(state: State, *, now: datetime, why: str) -> State:
    """The record of an optional delivery that is given up, so that it fails nothing else."""
    free = replace(state, n=state.n + 1, status="final", at=now, due=None, dead_letter_class=None)
    return replace(free, outcome="failed", reason=why, facts={}, by="")


def moved(
    state: State, *, now: datetime, by: str, why: str, outcome: str, to: str, missing: Iterable[str] = ()
) -> State:
    """The final record of a delivery whose missing instances another one brings.

    Args:
        state: the newest record; nobody works on it.
        now: the time.
        by: who ordered it.
        why: their words for the record.
        outcome: `redirected`, `replaced`, `corrected`.
        to: id of the delivery that goes on.
        missing: indices of the instances that it brings.
    """
    final = replace(state, n=state.n + 1, status="final", at=now, due=None, by=by)
    return replace(final, outcome=outcome, reason=why, facts={"elsewhere": dict.fromkeys(missing, to)})


def fenced(state: State, *, now: datetime) -> State:
    """The record that takes a delivery from whoever works on it, while the router decides who gets the study."""
    free = replace(state, n=state.n + 1, status="waiting", at=now, due=None, owner="", lease=None, by="")
    return replace(free, stage=HAND_OVER, dead_letter_class=None, facts={"fenced_at": state.stage})


def unfenced(state: State, stage: str, *, now: datetime, due: datetime | None = None, why: str = "") -> State:
    """The record of a delivery that stays where it was, to be worked on at once or when due.

    Args:
        state: the newest record; a delivery that is put off need not be fenced.
        stage: where it goes on.
        now: the time.
        due: nobody may take it before.
        why: for people.
    """
    free = replace(state, n=state.n + 1, status="waiting", at=now, due=due, owner="", lease=None, by="")
    facts = {"put_off": True} if due else {}
    return replace(free, stage=stage, since=None if due else state.since, reason=why or state.reason, facts=facts)


def asked(state: State, stage: str, *, now: datetime, why: str) -> State:
    """The record of a delivery whose route asks a person before another candidate gets the study."""
    free = replace(state, n=state.n + 1, status="held", at=now, due=None, owner="", lease=None, by="", stage=stage)
    return replace(free, reason=why, dead_letter_class="policy", facts={"person_asked": True})


def handed_over(
    state: State, stage: str, *, now: datetime, why: str, to: str, by: str, missing: Iterable[str]
) -> State:
    """The final record of a delivery whose study another candidate gets.

    Args:
        state: the newest record.
        stage: where it stopped.
        now: the time.
        why: with what the old candidate has.
        to: name of the destination that gets it.
        by: id of the delivery that goes on.
        missing: indices of the instances that were not delivered.
    """
    final = moved(state, now=now, by="", why=why, outcome="handed_over", to=by, missing=missing)
    free = replace(final, stage=stage, owner="", lease=None, dead_letter_class=None)
    return replace(free, facts={**final.facts, "moved_to": to})


def looked_at(state: State, *, now: datetime) -> State:
    """The record of a watched part that is to be looked at now."""
    return replace(state, n=state.n + 1, at=now, due=None, facts={}, by="")


def watched_out(state: State, *, now: datetime) -> State:
    """The final record of a watched part of which everything was delivered or given up."""
    return replace(state, n=state.n + 1, status="final", at=now, due=None, reason="", facts={}, by="")


def reopened(state: State, *, now: datetime, by: str, why: str, config: str, orders: Mapping[str, Any]) -> State:
    """The record of a routed part that a person ordered deliveries of: it goes to the router once more, to make them.

    Args:
        state: the final record.
        now: the time.
        by: who ordered them.
        why: their words for the record.
        config: hash of the configuration in force, under which they were found to be allowed.
        orders: what they ordered, by delivery id, as `shared.spool.deliveries.ordered_to_json` writes it.
    """
    waiting = replace(state, n=state.n + 1, status="waiting", at=now, due=None, tries=0, faults=0, since=None)
    return replace(waiting, outcome="", reason=why, facts={"ordered": orders}, by=by, config=config)


def hurried(state: State, *, now: datetime, by: str, why: str) -> State:
    """The record of a waiting delivery that a person made urgent: it is due now, before routine work."""
    return replace(state, n=state.n + 1, at=now, due=None, reason=why, facts={}, by=by, urgent=True)


def resumed(state: State, *, now: datetime, by: str) -> State:
    """The record of a delivery that waited for the end of a pause: it is due now."""
    return replace(state, n=state.n + 1, at=now, due=None, reason="", facts={"resumed": True}, by=by)


def to_json(state: State) -> dict[str, Any]:
    """A record as it is written: only what differs from the default; times in ISO 8601 with their zone."""
    written = {key: value for key, value in vars(state).items() if value not in (None, "", 0, {}) or key == "n"}
    return {key: value.isoformat() if key in TIMES else value for key, value in written.items()}


def from_json(record: Mapping[str, Any]) -> State:
    """A record as it was written; keys of other versions are passed over."""
    known = {key: value for key, value in record.items() if key in FIELDS}
    for key in TIMES:
        if key in known:
            known[key] = datetime.fromisoformat(known[key])
    return State(**known)
