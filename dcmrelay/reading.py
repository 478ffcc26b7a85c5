"""Facts for people, read from the spool; of unfinished work only the newest record, so that thousands are quick."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import chain
from typing import Any, TypeVar

import structlog

from producers.replay.show import is_of_study
from shared import owner
from shared.errors import UNREADABLE
from shared.spool.commitments import active_commitments
from shared.spool.deliveries import active_deliveries
from shared.spool.epochs import newest_epoch
from shared.spool.outlines import Outlines
from shared.spool.parts import Manifest, Part, active_parts, decided_deliveries, read_manifest, read_part
from shared.spool.runs import is_running
from shared.spool.spool import Spool
from shared.spool.states import State
from shared.spool.units import Unit

log = structlog.get_logger()
R = TypeVar("R")


@dataclass(frozen=True, kw_only=True)
class Journey:
    """One part and everything that was made of it.

    Args:
        part: what it is.
        manifest: what it holds; None while it is open.
        unit: its records merged; None while it is open.
        history: its records, oldest first.
        deliveries: each with its records, in the order they were decided.
        decision: as the router wrote it; None while it has not.
    """

    part: Part
    manifest: Manifest | None
    unit: Unit | None
    history: tuple[State, ...]
    deliveries: tuple[tuple[Unit, tuple[State, ...]], ...]
    decision: Mapping[str, Any] | None


def unfinished_deliveries(spool: Spool) -> Iterator[Unit]:
    """Every delivery that is not final, dead letters among them."""
    return (unit for unit in Outlines(spool).told(active_deliveries(spool)) if unit.state.status != "final")


def unfinished_parts(spool: Spool) -> Iterator[tuple[str, Unit | None]]:
    """Every part that is not routed yet or not to be: its id, and None while it is still being received."""
    for part in active_parts(spool):
        brief = _brief(spool.parts.outline, part)
        if brief is None or brief.state.status != "final":
            yield part, brief


def commitments(spool: Spool) -> Iterator[Unit]:
    """Every request for storage commitment that is not answered, dead letters among them."""
    briefs = (_brief(spool.commitments.outline, unit) for unit in active_commitments(spool))
    return (brief for brief in briefs if brief is not None and brief.state.status != "final")


def owner_alive(spool: Spool, destination: str) -> bool | None:
    """Whether the process that owns a destination lives: None when that cannot be seen from here."""
    epoch = newest_epoch(spool, destination)
    facts = spool.read_json(f"owners/{destination}/{epoch:08}.json")
    return owner.is_alive(facts["owner"]) if facts else False


def ingress_elsewhere(spool: Spool) -> bool:
    """Whether an ingress goes on, perhaps in another container or on another machine."""
    return any(is_running(spool, run) for run in spool.store.list("runs"))


def parts(spool: Spool, *, since: datetime | None = None) -> list[Part]:
    """Every part there is, the newest first; those opened before `since` are left out."""
    found = (readable(partial(read_part, spool, part), part) for part in spool.parts.ids())
    kept = (part for part in found if part is not None and (since is None or part.opened_at >= since))
    return sorted(kept, key=lambda part: part.opened_at, reverse=True)


def journey(spool: Spool, part: Part) -> Journey:
    """Everything the records say about a part."""
    ids = decided_deliveries(spool, part.id) or ()
    loaded = ((spool.deliveries.load(unit), tuple(spool.deliveries.history(unit))) for unit in ids)
    return Journey(
        part=part,
        manifest=read_manifest(spool, part.id),
        unit=spool.parts.load(part.id),
        history=tuple(spool.parts.history(part.id)),
        deliveries=tuple((unit, history) for unit, history in loaded if unit is not None),
        decision=spool.read_json(f"parts/{part.id}/decision.json"),
    )


def find_parts(spool: Spool, what: str) -> list[Part]:
    """The parts a person means, oldest first: by an id of a part or delivery, Study Instance UID or accession number.

    The accession number is read from the images of every part that the spool still has.
    """
    if "." in what:
        return [part for part in reversed(parts(spool)) if part.study_instance_uid == what]
    ids = [unit for unit in spool.parts.ids() if unit.startswith(what)]
    for delivery in chain(unit for unit in spool.deliveries.ids() if unit.startswith(what)):
        brief = _brief(spool.deliveries.outline, delivery)
        ids += [brief.order["part"]] if brief else []
    ids = ids or [unit for unit in spool.parts.ids() if is_of_study(spool, unit, what)]
    found = (read_part(spool, unit) for unit in dict.fromkeys(ids))
    return sorted((part for part in found if part is not None), key=lambda part: part.opened_at)


def waited(unit: Unit, now: datetime) -> timedelta:
    """How long ago a unit was made."""
    return now - unit.made_at


def _brief(outline: Callable[[str], Unit | None], unit: str) -> Unit | None:
    """A unit by its first and its newest record; None when it has none that can be read."""
    return readable(lambda: outline(unit), unit)


def readable(read: Callable[[], R], unit: str) -> R | None:
    """What is read, or None with a warning when its records are damaged: one unit does not hide the others."""
    try:
        return read()
    except UNREADABLE as error:
        log.warning("unreadable_record", unit=unit, error=type(error).__name__, remedy="check the disk of the spool")
        return None
