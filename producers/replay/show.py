"""The dead letters that a spool holds, and what its records say of one."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, pairwise
from typing import Any

from producers.replay.choose import DeadLetter
from shared.config import Config
from shared.errors import DataSetError
from shared.spool.commitments import active_commitments
from shared.spool.deliveries import active_deliveries, ordered_of
from shared.spool.outlines import Outlines
from shared.spool.parts import active_parts, decided_deliveries, read_manifest, read_part
from shared.spool.spool import Spool
from shared.spool.states import State
from shared.spool.units import Unit


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One turn in the life of a dead letter.

    Args:
        at: when.
        what: `failed`, `stopped`, or what a person did.
        why: the peer's answer, the reason, or the person's words.
    """

    at: datetime
    what: str
    why: str


def dead_letters(spool: Spool, beginnings: tuple[str, ...] = ()) -> Iterator[DeadLetter]:
    """Every part, delivery and request for commitment that waits for a person; reads unfinished work only.

    Args:
        spool: the spool.
        beginnings: of ids of dead letters or their parts; only what may be meant is read then.
    """
    for unit in Outlines(spool).told(_meant(spool, beginnings), "held"):
        yield letter_of(unit.id, unit.order, unit.state)


def scheduled_until(spool: Spool) -> datetime | None:
    """When the last that persons scheduled and that still waits is due: who goes on with a rate goes on behind it."""
    kept = Outlines(spool)
    waiting = (it.state for it in kept.told(active_deliveries(spool), "waiting"))
    # Only an order of a person makes a delivery that is due later than at once.
    made = (state.due for state in waiting if state.n == 0 or state.facts.get("replayed"))
    parts = kept.told(active_parts(spool), "waiting")
    ordered = (it.due for part in parts for it in ordered_of(part.state.facts).values())
    return max((due for due in chain(made, ordered) if due), default=None)


def letter_of(unit: str, order: Mapping[str, Any], state: State) -> DeadLetter:
    """A held unit as a dead letter.

    Args:
        unit: its id.
        order: of the unit.
        state: its `held` record.
    """
    return DeadLetter(
        id=unit,
        n=state.n,
        part=order.get("part", unit),
        stage=state.stage,
        destination=order.get("destination", ""),
        source=order.get("source", ""),
        since=state.at,
        dead_letter_class=state.dead_letter_class or "bug",
        reason=state.reason,
    )


def attempts(history: Iterable[State]) -> list[Attempt]:
    """What was tried, in the order of time: each try with its answer, each stop, what persons did."""
    return [attempt for before, state in pairwise(history) if (attempt := _attempt(before, state))]


def missing_of(spool: Spool, unit: Unit) -> list[str]:
    """Indices of the instances of a delivery's part that neither it nor another one has brought or dropped by rule."""
    there = {index for word in ("delivered", "dropped", "elsewhere") for index in unit.facts.get(word, ())}
    return [str(index) for index in range(instances_of(spool, unit)) if str(index) not in there]


def brought_by(config: Config, unit: Unit) -> Mapping[str, str]:
    """What a delivery brought for certain, by index; where it is asked whether it was kept, only what was found."""
    destination = config.destination(unit.order["destination"])
    is_asked = destination is not None and destination.verify != "none"
    is_asked = is_asked or unit.state.stage == "verify" or "verified" in unit.facts  # or was, when it was sent
    brought: Mapping[str, str] = unit.facts.get("verified" if is_asked else "delivered", {})
    return brought


def unbrought(spool: Spool, config: Config, unit: Unit, elsewhere: Collection[str]) -> list[str]:
    """Indices of the instances that a delivery neither brought for certain nor dropped by rule.

    Args:
        spool: the spool.
        config: the configuration in force.
        unit: the delivery.
        elsewhere: indices of instances that others brought.
    """
    there = {*brought_by(config, unit), *unit.facts.get("dropped", ()), *elsewhere}
    return [str(index) for index in range(instances_of(spool, unit)) if str(index) not in there]


def instances_of(spool: Spool, unit: Unit) -> int:
    """How many instances the part of a unit has."""
    manifest = read_manifest(spool, unit.order.get("part", unit.id))
    return 0 if manifest is None else len(manifest.instances)


def is_of_study(spool: Spool, part_id: str, study: str) -> bool:
    """Whether a part is of a study, named by its Study Instance UID or accession number (PS3.3 C.7.2.1)."""
    part = read_part(spool, part_id)
    if part is None or part.study_instance_uid == study:
        return part is not None
    is_uid = "." in study and study.replace(".", "").isdigit()
    return not is_uid and _accession_number(spool, part_id) == study


def _accession_number(spool: Spool, part_id: str) -> str:
    from shared.headers import read_header  # and pydicom with it: listings have no need of them

    manifest = read_manifest(spool, part_id)
    for instance in manifest.instances[:1] if manifest else ():
        try:
            header = read_header(spool.store.path(instance.file), ("AccessionNumber",))
        except DataSetError:
            return ""
        return str(header.get("AccessionNumber", "") or "").strip()
    return ""


def _attempt(before: State, state: State) -> Attempt | None:
    if state.by:
        return Attempt(at=state.at, what=f"{deed(state)} by {state.by}", why=state.reason)
    if state.status == "held":
        return Attempt(at=state.at, what="stopped", why=state.reason)
    if state.status == "waiting" and state.tries > before.tries:
        return Attempt(at=state.at, what=f"try {state.tries} failed", why=state.reason)
    return None


def deed(state: State) -> str:
    """What a person did with a record that says who: `replayed`, `corrected`, `discarded`, `made urgent`, ..."""
    if state.status == "final":
        return state.outcome
    if state.facts.get("ordered"):
        return "ordered again"
    if state.facts.get("replayed"):
        return "corrected" if state.facts.get("corrected") else "replayed"
    return "made urgent" if state.urgent and not state.facts.get("resumed") else "resumed"


def _meant(spool: Spool, beginnings: tuple[str, ...]) -> Iterator[str]:
    """Ids of unfinished units: all, or those that a beginning may mean."""
    unfinished = chain(active_parts(spool), active_deliveries(spool), active_commitments(spool))
    if not beginnings:
        yield from unfinished
        return
    ids = list(unfinished)
    parts = [it for it in spool.parts.ids() if it.startswith(beginnings)]
    of_parts = {it for part in parts for it in decided_deliveries(spool, part) or ()}
    yield from (it for it in ids if it.startswith(beginnings) or it in of_parts)
