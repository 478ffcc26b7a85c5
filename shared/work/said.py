"""What is to be published once a unit was settled. No I/O, no clock, no globals."""

from dataclasses import dataclass
from datetime import timedelta

from shared.messages import Bell, Event, Ring, StudyDelivered, StudyFailed, StudyRouted
from shared.outcomes import Done, Outcome, Watched
from shared.spool.deliveries import routing_key
from shared.spool.states import State
from shared.spool.units import Unit
from shared.work.claim import Claim


@dataclass(frozen=True, kw_only=True)
class Said:
    """What is to be published after a bell was answered; bells first, then pointers, then facts.

    Args:
        rings: bells.
        pointer: class of the dead letter that the unit became.
        events: facts, told if possible.
        unit: the unit, as a bell.
        journey: id of the part it all began with.
    """

    rings: tuple[Ring, ...] = ()
    pointer: str = ""
    events: tuple[Event, ...] = ()
    unit: Bell | None = None
    journey: str = ""


def ring_of(unit: Unit | Claim, state: State, wait: timedelta = timedelta(0)) -> Ring:
    """The bell of a unit's record."""
    return Ring(
        routing_key=routing_key(state.stage, unit.order, urgent=state.urgent),
        bell=Bell(unit=unit.id, n=state.n),
        wait=wait,
        journey=journey_of(unit),
    )


def journey_of(unit: Unit | Claim) -> str:
    """Id of the part that it all began with."""
    return str(unit.order.get("part", unit.id))


def said(claim: Claim, state: State, outcome: Outcome | str | None) -> Said:
    """What a settling record makes known: the next bell, a pointer to a dead letter, facts."""
    part, unit = journey_of(claim), Bell(unit=claim.id, n=state.n)
    destination = str(claim.order.get("destination", ""))
    if isinstance(outcome, Watched):
        rings = (*outcome.rings, ring_of(claim, state, outcome.until - state.at))
        routed = StudyRouted(id=claim.id, n=state.n, part=part, deliveries=len(outcome.rings))
        return Said(rings=rings, events=(*outcome.events, routed), unit=unit, journey=part)
    if state.status == "waiting":
        wait = timedelta(0) if state.due is None else state.due - state.at
        return Said(rings=(ring_of(claim, state, wait),), unit=unit, journey=part)
    if state.status == "held":
        word = str(state.dead_letter_class)
        failed = StudyFailed(id=claim.id, n=state.n, part=part, dead_letter_class=word, destination=destination)
        return Said(pointer=word, events=(failed,), unit=unit, journey=part)
    if state.stage == "route":
        rings = outcome.rings if isinstance(outcome, Done) else ()
        routed = StudyRouted(id=claim.id, n=state.n, part=part, deliveries=len(rings))
        return Said(rings=rings, events=(routed,), unit=unit, journey=part)
    count = len(claim.facts.get("delivered", {}))
    late = bool(claim.order.get("addendum", False))
    delivered = StudyDelivered(
        id=claim.id, n=state.n, part=part, destination=destination, instances=count, addendum=late
    )
    return Said(events=(delivered,), unit=unit, journey=part)
