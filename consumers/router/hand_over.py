"""Whether a study stays with the candidate that has it, moves to another, waits, or needs a person.

No I/O, no clock, no globals. Nothing can be withdrawn from a DICOM peer, so no rule here moves a study of which the
candidate may have a part of it whole: in doubt counts as there. Source: design, "No silent second reader".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from consumers.router.candidates import Candidates, next_duty, next_stand_in, on_duty, stand_in
from shared.config.rules import Candidate, Route

_A_PROBE = timedelta(seconds=5)


@dataclass(frozen=True, kw_only=True)
class Holding:
    """What a candidate has of one part.

    Args:
        count: instances it should get: those of the part without what the profile or a rule withholds.
        delivered: answered with success or a warning.
        in_doubt: sent, or perhaps sent, and not answered.
        refused: answered with a refusal.
    """

    count: int
    delivered: int = 0
    in_doubt: int = 0
    refused: int = 0

    @property
    def some(self) -> bool:
        """Whether something of the part is there, or may be."""
        return self.delivered + self.in_doubt > 0

    @property
    def whole(self) -> bool:
        """Whether the part is there but for what was refused, or may be."""
        return self.some and self.delivered + self.in_doubt + self.refused >= self.count

    @property
    def settled(self) -> bool:
        """Whether every instance was answered and some were taken; or there is none to be sent."""
        return self.in_doubt == 0 and self.delivered + self.refused >= self.count and (self.some or not self.count)


def holding_of(count: int, facts: Mapping[str, Any], *, unrecorded: int = 0) -> Holding:
    """What the records of a delivery say its destination has of the part.

    Args:
        count: instances of the part.
        facts: of the delivery: `delivered`, `refused`, `held`, `dropped`, `unanswered`, by index. An index in
            `unanswered` was sent without an answer once; no later failure takes that back, only a success or a refusal.
        unrecorded: instances that a worker that died may have sent since its last record.
    """
    delivered, refused = set(facts.get("delivered", ())), set(facts.get("refused", ()))
    withheld = set(facts.get("held", ())) | set(facts.get("dropped", ()))
    in_doubt = set(facts.get("unanswered", ())) - delivered - refused - withheld
    to_be_sent = count - len(withheld - delivered)
    left = max(0, to_be_sent - len(delivered | refused | in_doubt))
    return Holding(
        count=to_be_sent,
        delivered=len(delivered),
        in_doubt=len(in_doubt) + min(unrecorded, left),
        refused=len(refused - delivered),
    )


@dataclass(frozen=True, kw_only=True)
class Situation:
    """How things stand between a study and the candidate that has it.

    Args:
        current: the candidate's destination.
        parts: what it has of each part of the study that this route gave it, finished parts too.
        due_since: when the oldest of its unfinished deliveries became due; time in which it was not its turn, because
            a window was closed, does not count.
        last_success: when it last answered an instance of the study with success; None: never.
        circuit_open_since: since when nothing but probes goes to the destination, of which one failed after the study
            was due; None: it is not so.
        probe_at: when the next probe may go out to a destination of which nobody has tried since then whether it is
            still away; None: it was tried, or works.
        tried: the destinations of all epochs of the pin, `current` among them.
        urgent: the study is.
    """

    current: str
    parts: Sequence[Holding]
    due_since: datetime
    last_success: datetime | None = None
    circuit_open_since: datetime | None = None
    probe_at: datetime | None = None
    tried: frozenset[str] = frozenset()
    urgent: bool = False

    @property
    def gone(self) -> frozenset[str]:
        """Who does not get it any more by itself: each candidate is tried once."""
        return self.tried | {self.current}


@dataclass(frozen=True, kw_only=True)
class Stay:
    """Go on with the candidate.

    Args:
        why: for the record.
        look_at: when to decide again, if nothing happens before; None: only when something happens.
        alert: the candidate fails and nobody takes over; a person is told.
    """

    why: str
    look_at: datetime | None = None
    alert: bool = False


@dataclass(frozen=True, kw_only=True)
class Move:
    """Give the whole study to another candidate: the pin's next epoch, and every unfinished delivery with it.

    Args:
        to: the destination.
        why: for the record.
        notice: what people at the old candidate must be told; empty when it has nothing.
    """

    to: str
    why: str
    notice: str = ""


@dataclass(frozen=True)
class Ask:
    """Hold it, class policy: a person decides."""

    why: str


@dataclass(frozen=True, kw_only=True)
class Wait:
    """Nobody may take it now: nothing is sent until then; None: no calendar opens within 400 days."""

    until: datetime | None
    why: str


Answer = Stay | Move | Ask | Wait


def patience(route: Route, *, urgent: bool) -> timedelta:
    """How long a candidate may go without success before it counts as failing."""
    return route.hand_over_after_urgent or route.hand_over_after if urgent else route.hand_over_after


def decide(route: Route, candidates: Candidates, situation: Situation, now: datetime) -> Answer:
    """What becomes of a study at the candidate that has it.

    Args:
        route: gives `hand_over_after`, `when_partial`, `mode`.
        candidates: of the route.
        situation: what the candidate has and since when it is silent.
        now: aware.
    """
    parts = situation.parts
    if all(part.settled for part in parts):
        return Stay(why="everything was answered")
    current = candidates.named(situation.current)
    if current is None:
        return Ask(f"'{situation.current}', which has the study, is no candidate of route '{route.name}' any more")
    started, whole = any(part.some for part in parts), any(part.whole for part in parts)
    if not started and not candidates.hours(current, now).is_open:
        closed = _outside_its_hours(candidates, current, situation, now)
        if closed is not None:
            return closed
    fails_at = _fails_at(route, situation)
    if now < fails_at:
        return Stay(why="it has time yet", look_at=min(fails_at, _probed_at(situation, now) or fails_at))
    if whole:
        return Stay(why=f"'{situation.current}' has, or may have, a part of it whole", alert=True)
    return _failing(route, candidates, situation, started=started, now=now)


def _outside_its_hours(
    candidates: Candidates, current: Candidate, situation: Situation, now: datetime
) -> Move | Wait | None:
    """Nothing was sent and the candidate's window is closed: choose again among those not tried; None: it goes on."""
    stays = current.as_backup == "always"
    found = on_duty(candidates, now, situation.gone)
    there = candidates.named(found.destination)
    if there is not None and (not stays or candidates.hours(there, now).is_open):
        return Move(to=found.destination, why=f"'{situation.current}' is closed and nothing was sent; {found.why}")
    if stays:
        return None
    return Wait(until=next_duty(candidates, now, situation.gone - {situation.current}), why="nobody may take it now")


def _fails_at(route: Route, situation: Situation) -> datetime:
    """When the candidate counts as failing: silent for long enough, or not reachable for so long."""
    limit = patience(route, urgent=situation.urgent)
    success, opened = situation.last_success, situation.circuit_open_since
    silent_since = situation.due_since if success is None else max(situation.due_since, success)
    if opened is not None and (success is None or opened >= success):  # progress never counts as failing
        return min(silent_since, opened) + limit
    return silent_since + limit


def _probed_at(situation: Situation, now: datetime) -> datetime | None:
    """When it is likely known whether a destination that took nothing lately is still away; seldomer by and by."""
    if situation.probe_at is None:
        return None
    return max(situation.probe_at, now) + max(_A_PROBE, (now - situation.due_since) / 2)


def _failing(route: Route, candidates: Candidates, situation: Situation, *, started: bool, now: datetime) -> Answer:
    found = stand_in(candidates, now, situation.gone)
    if not found.destination:
        return Stay(
            why=f"'{situation.current}' fails and nobody takes over",
            look_at=next_stand_in(candidates, now, situation.gone),
            alert=True,
        )
    why = f"'{situation.current}' answered nothing with success for too long"
    if route.mode == "ask":
        return Ask(f"{why}; '{found.destination}' could take over, mode is ask")
    if started and route.when_partial == "hold":
        return Ask(f"{why}; it has {_share(situation)}, when_partial is hold")
    notice = f"'{situation.current}' has {_share(situation)}; tell it to discard them" if started else ""
    return Move(to=found.destination, why=f"{why}; {found.why}", notice=notice)


def _share(situation: Situation) -> str:
    there, count = (sum(getattr(part, word) for part in situation.parts) for word in ("delivered", "count"))
    doubt = sum(part.in_doubt for part in situation.parts)
    return f"{there} of {count} instances" + (f", {doubt} more in doubt" if doubt else "")
