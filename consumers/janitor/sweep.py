"""One look at all unfinished work: what to ring for, what waits, what needs a person. Costs by unfinished work only."""

import contextlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import structlog

from consumers.janitor.outdated import lost_to
from shared.config import Config
from shared.errors import UNREADABLE, SupersededError
from shared.messages import Bell, Ring
from shared.outcomes import Held
from shared.spool.closing import close_part
from shared.spool.commitments import active_commitments
from shared.spool.deliveries import active_deliveries, marker, routing_key
from shared.spool.parts import Part, active_parts, decided_deliveries, is_closed, is_finished, read_part
from shared.spool.runs import is_running, run_of
from shared.spool.spool import Spool
from shared.spool.states import HAND_OVER, Retry, State, settled, watched_out
from shared.spool.units import Unit

log = structlog.get_logger()
# A bell is on its way for a while; then it counts as lost.
GRACE = timedelta(seconds=5)
# An open part whose run ended is the next run's; the janitor takes it when none came. So it does with a closing that
# was begun and not finished.
ORPHANED_AFTER = timedelta(minutes=2)


@dataclass
class Found:
    """What a sweep found.

    Attributes:
        rings: by routing key, bells of units that are due and that nobody works on.
        waiting: by destination, deliveries that are neither final nor dead letters.
        oldest: by destination, when the oldest of them was made.
        parts_waiting: closed parts that are neither routed nor dead letters.
        dead: by class, dead letters as bells.
        unfinished: outlines of closed parts and deliveries that are not final, dead letters among them, and of
            requests for commitment that are dead letters.
        unreadable: unfinished units whose records cannot be read, or that the disk refused to finish.
    """

    rings: dict[str, list[Ring]] = field(default_factory=lambda: defaultdict(list))
    waiting: Counter[str] = field(default_factory=Counter)
    oldest: dict[str, datetime] = field(default_factory=dict)
    parts_waiting: int = 0
    dead: dict[str, set[Bell]] = field(default_factory=lambda: defaultdict(set))
    unfinished: list[Unit] = field(default_factory=list)
    unreadable: int = 0


def sweep(spool: Spool, config: str, current: Config | None = None) -> Found:
    """Look at every unfinished part and delivery; finish what a crash left half finished.

    Args:
        spool: the spool.
        config: hash of the configuration in force, for parts that are closed now.
        current: the same, whole; what waits and names something that is not there any more is held. None: nothing is.
    """
    found, begun = Found(), spool.now()
    for part_id in list(active_parts(spool)):
        with _one_by_one(found, part_id):
            _look_at_part(spool, part_id, config, found)
    for delivery in list(active_deliveries(spool)):
        with _one_by_one(found, delivery):
            _look_at_delivery(spool, delivery, current, found, begun)
    for commitment in list(active_commitments(spool)):
        with _one_by_one(found, commitment):
            _look_at_commitment(spool, commitment, found)
    return found


@contextmanager
def _one_by_one(found: Found, unit: str) -> Iterator[None]:
    """A unit whose records are damaged blocks none of the others."""
    try:
        yield
    except UNREADABLE as error:
        found.unreadable += 1
        log.error("unreadable_record", unit=unit, error=type(error).__name__)


def _look_at_part(spool: Spool, part_id: str, config: str, found: Found) -> None:
    state = spool.parts.newest(part_id)
    if state is None:
        part = read_part(spool, part_id)
        if part is not None and _is_orphaned(spool, part):
            log.warning("closes_orphaned_part", part=part_id)
            for unit in close_part(spool, part, config=config):
                found.rings["route"].append(_ring("route", unit, 0, unit))
    elif state.status == "waiting" and state.outcome == "routed" and _is_settled(spool, part_id):
        with contextlib.suppress(SupersededError):
            spool.parts.append(part_id, watched_out(state, now=spool.now()))
    elif state.status == "final":
        if is_finished(spool, part_id):
            finish(spool, part_id)
    else:
        found.parts_waiting += state.status != "held" and state.outcome != "routed"
        found.unfinished.append(Unit(id=part_id, order={}, state=state, made_at=state.at, facts={}))
        _note(spool, part_id, state, "route", part_id, found)


def _is_settled(spool: Spool, part_id: str) -> bool:
    """Whether a part that the router watches has nothing left that could go to another candidate."""
    states = [spool.deliveries.newest(delivery) for delivery in decided_deliveries(spool, part_id) or ()]
    return all(it is not None and it.status == "final" for it in states)


def _look_at_delivery(spool: Spool, delivery: str, current: Config | None, found: Found, begun: datetime) -> None:
    unit = spool.deliveries.outline(delivery)
    if unit is None:
        return
    if unit.state.status == "final":
        spool.store.delete(marker(delivery))
        return
    destination = str(unit.order["destination"])
    # What is newer than this sweep may be decided under a newer configuration than it knows; what is fenced is the
    # router's to decide.
    is_free = unit.state.status == "waiting" and unit.state.stage != HAND_OVER
    if is_free and current is not None and unit.state.at <= begun:
        unit = replace(unit, state=_held_if_lost(spool, unit, current))
    found.unfinished.append(unit)
    if unit.state.status != "held":
        found.waiting[destination] += 1
        since = unit.made_at
        found.oldest[destination] = min(since, found.oldest.get(destination, since))
    key = routing_key(unit.state.stage, unit.order, urgent=unit.state.urgent)
    _note(spool, delivery, unit.state, key, str(unit.order["part"]), found)


def _look_at_commitment(spool: Spool, commitment: str, found: Found) -> None:
    """A request that was given up waits for a person; the others are looked after elsewhere."""
    unit = spool.commitments.outline(commitment, "held")
    if unit is not None:
        found.unfinished.append(unit)
        found.dead[str(unit.state.dead_letter_class)].add(Bell(unit=commitment, n=unit.state.n))


def _held_if_lost(spool: Spool, unit: Unit, current: Config) -> State:
    """The record that holds a delivery by something that is gone; where that is its destination, nobody else would."""
    part = str(unit.order["part"])
    why = lost_to(unit.order, unit.state, current, lambda: _routes_of(spool, part))
    if not why:
        return unit.state
    held = settled(unit.state, Held(why, "policy"), now=spool.now(), retry=Retry(), jitter=0)
    try:
        spool.deliveries.append(unit.id, held)
    except SupersededError:
        return unit.state
    log.warning("held", delivery=unit.id, why=why)
    return held


def _routes_of(spool: Spool, part: str) -> tuple[str, ...]:
    return tuple((spool.read_json(f"parts/{part}/decision.json") or {}).get("routes", ()))


def _note(spool: Spool, unit: str, state: State, key: str, journey: str, found: Found) -> None:
    if state.stage == HAND_OVER:
        return  # its part's record says who goes on
    if state.status == "held":
        found.dead[str(state.dead_letter_class)].add(Bell(unit=unit, n=state.n))
    elif state.status == "working":
        if spool.is_abandoned(state):
            found.rings[key].append(_ring(key, unit, state.n, journey))
    elif spool.lapsed(state.due or state.at, GRACE):
        found.rings[key].append(_ring(key, unit, state.n, journey))


def _is_orphaned(spool: Spool, part: Part) -> bool:
    """Whether nobody goes on with a part: its run ended, or began to close it and forgot."""
    begun = is_closed(spool, part.id)
    if not begun and is_running(spool, run_of(spool, part)):
        return False
    touched = spool.store.path(f"parts/{part.id}/" + ("manifest.json" if begun else "instances"))
    last = datetime.fromtimestamp(touched.stat().st_mtime, UTC) if touched.exists() else part.opened_at
    return spool.lapsed(last, ORPHANED_AFTER)


def finish(spool: Spool, part_id: str) -> None:
    """Nothing is left to do for a part: noted under its day, for retention; no sweep looks at it again.

    Unless a person made new work of it meanwhile: then its marker is put back.
    """
    part = read_part(spool, part_id)
    spool.store.put_new(f"done/{spool.now():%Y-%m-%d}/{part_id}", b"")
    if part is None:
        return
    spool.store.delete(part.marker)
    state = spool.parts.newest(part_id)
    if state is not None and state.status != "final":
        spool.store.put_new(part.marker, b"")


def _ring(key: str, unit: str, n: int, journey: str) -> Ring:
    return Ring(routing_key=key, bell=Bell(unit=unit, n=n), journey=journey)
