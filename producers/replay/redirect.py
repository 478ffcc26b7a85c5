"""Deliveries that go on as others: to another destination, or in the form that the profile makes now."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import reduce

from producers.replay.correct import corrections_for
from producers.replay.orders import Site, check_may_be_given, corrected_successor, give, part_of, successor
from producers.replay.pinning import move_pins
from producers.replay.ring import put
from producers.replay.show import instances_of, unbrought
from shared.config.rewriting import Edit
from shared.messages import Ring
from shared.spool import states
from shared.spool.copies import PartialCopy, put_copy
from shared.spool.corrections import keep_corrections
from shared.spool.deliveries import Ordered, marker, order_from_json
from shared.spool.spool import Spool
from shared.spool.units import Unit


@dataclass(frozen=True, kw_only=True)
class Way:
    """How deliveries go on.

    Args:
        to: name of the destination; empty: the same one.
        profile_now: in the form that the profile makes now.
        whole: every instance, also those that are at the old destination.
        correction: with these elements corrected; None: as they are.
    """

    to: str = ""
    profile_now: bool = False
    whole: bool = False
    correction: Edit | None = None

    @property
    def outcome(self) -> str:
        """What becomes of the old delivery."""
        return "redirected" if self.to else "corrected" if self.correction else "replaced"


@dataclass(frozen=True, kw_only=True)
class Step:
    """What becomes of one delivery; either it goes on as another, or there is a reason why not."""

    unit: Unit
    ordered: Ordered | None = None
    refused: str = ""


def planned(site: Site, units: Sequence[Unit], way: Way) -> list[Step]:
    """What would become of deliveries; nothing is changed."""
    return [_step(site, unit, way) for unit in units]


def carried_out(
    site: Site, steps: Sequence[Step], way: Way, due: datetime | None = None
) -> tuple[Ring | None, list[Step]]:
    """Order what goes on of one part's deliveries, then end those that it goes on for.

    In this order: whoever is killed in between orders the same again and ends them then. Before a whole study goes, its
    pins are moved: what comes of it meanwhile goes along.

    Returns:
        The bell of the part, if it needs one, and what became of each delivery.

    Raises:
        StorageError: the disk refused; the same may be done again.
    """
    going = [step for step in steps if step.ordered is not None]
    if not going:
        return None, list(steps)
    part, orders = str(going[0].unit.order["part"]), _merged([step.ordered for step in going if step.ordered])
    try:
        if way.whole:
            check_may_be_given(site, part, orders)
            _move_pins(site, part, going)
        if way.correction is not None:
            for step in going:
                keep_corrections(site.spool, part, corrections_for(site.spool, step.unit, way.correction))
        ring = give(site, part, [replace(ordered, due=due) for ordered in orders])
    except ValueError as error:
        return None, [step if step.refused else replace(step, ordered=None, refused=str(error)) for step in steps]
    return ring, [_ended(site, step, way) for step in steps]


def _move_pins(site: Site, part_id: str, going: Sequence[Step]) -> None:
    part = part_of(site.spool, part_id)
    for step in going:
        if step.ordered is not None:
            move_pins(site, part, order_from_json(step.unit.order), step.ordered.order)


def _step(site: Site, unit: Unit, way: Way) -> Step:
    try:
        if way.correction is not None:
            ordered = corrected_successor(site, unit, way.correction)
        else:
            ordered = successor(site, unit, to=way.to, profile_now=way.profile_now, whole=way.whole)
    except ValueError as error:
        return Step(unit=unit, refused=str(error))
    return Step(unit=unit, ordered=ordered)


def _merged(orders: Sequence[Ordered]) -> list[Ordered]:
    """One order per delivery; it leaves out only what none of them misses, and is as weighty as the weightiest."""
    by_id: dict[str, list[Ordered]] = {}
    for it in orders:
        by_id.setdefault(it.order.id, []).append(it)
    return [reduce(_both, same) for same in by_id.values()]


def _both(one: Ordered, other: Ordered) -> Ordered:
    optional, urgent = one.order.optional and other.order.optional, one.order.urgent or other.order.urgent
    elsewhere = {i: by for i, by in one.elsewhere.items() if i in other.elsewhere}
    return replace(one, order=replace(one.order, optional=optional, urgent=urgent), elsewhere=elsewhere)


def _ended(site: Site, step: Step, way: Way) -> Step:
    unit, now = step.unit, site.spool.now()
    if step.ordered is not None and way.whole and way.to:
        _note_copy(site, unit, way.to)
    if step.ordered is None or unit.state.status == "final":
        return step
    if unit.state.status == "working":
        return replace(step, refused="it is being worked on just now and goes on too")
    to = step.ordered.order.id
    left = unbrought(site.spool, site.config, unit, unit.facts.get("elsewhere", {}))
    final = states.moved(unit.state, now=now, by=site.by, why=site.why, outcome=way.outcome, to=to, missing=left)
    if put(site.spool, unit, final) is None:
        return replace(step, refused="somebody else let it go on at the same moment; both go on")
    site.spool.store.delete(marker(unit.id))
    return step


def _note_copy(site: Site, unit: Unit, to: str) -> None:
    """For people: what the old destination has of a study that another one is given whole."""
    delivered, count = len(unit.facts.get("delivered", ())), instances_of(site.spool, unit)
    if delivered:
        put_copy(
            site.spool,
            PartialCopy(
                delivery=unit.id,
                part=str(unit.order["part"]),
                route=str(unit.order["route"]),
                destination=str(unit.order["destination"]),
                to=to,
                at=site.spool.now(),
                delivered=delivered,
                in_doubt=len(unit.facts.get("unanswered", {}).keys() - unit.facts["delivered"].keys()),
                instances=count,
            ),
        )


def load_delivery(spool: Spool, delivery: str) -> Unit:
    """A delivery with its facts.

    Raises:
        ValueError: there is none.
    """
    unit = spool.deliveries.load(delivery)
    if unit is None:
        raise ValueError(f"there is no delivery {delivery}")
    return unit
