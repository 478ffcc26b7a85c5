"""Deliveries that a person orders of a part that was routed before: redirected, by a newer profile, or once more.

The order is a record of the part, which goes to the router once more; the router makes the deliveries. So whoever is
killed in between, the sweep goes on with it.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from producers.replay.allowed import by_rules_now, form_towards, readdressed
from producers.replay.correct import corrections_for, effect_of
from producers.replay.ring import put
from producers.replay.show import brought_by, instances_of, unbrought
from shared.config import Config
from shared.config.rewriting import Edit
from shared.errors import PermanentError
from shared.forms import corrected
from shared.messages import Ring
from shared.spool import states
from shared.spool.corrections import corrections_name
from shared.spool.deliveries import Order, Ordered, order_from_json, ordered_of, ordered_to_json
from shared.spool.keys import edit_key_id, key_id
from shared.spool.parts import Part, read_part
from shared.spool.pins import keep_edit, keep_profile
from shared.spool.spool import Spool
from shared.spool.units import Unit


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where orders are given, and by whom.

    Args:
        spool: the spool.
        config: the configuration in force, kept in the spool.
        by: who gives them.
        why: their words for the record.
    """

    spool: Spool
    config: Config
    by: str
    why: str


def successor(site: Site, unit: Unit, *, to: str = "", profile_now: bool = False, whole: bool = False) -> Ordered:
    """What goes on with the missing instances of a delivery.

    Args:
        site: where.
        unit: the delivery.
        to: its destination; empty: the same one.
        profile_now: in the form that its profile makes now.
        whole: every instance, also those that are there already.

    Raises:
        ValueError: it may not; says why.
    """
    order = _changed(site, order_from_json(unit.order), to, profile_now=profile_now)
    if order.id == unit.id:
        raise ValueError("that is what it is already; `dcmrelay dead replay` sends it again")
    return Ordered(order=order) if whole else _missing(site, unit, order)


def corrected_successor(site: Site, unit: Unit, edit: Edit) -> Ordered:
    """What goes on with the missing instances of a delivery, with elements corrected. Arguments as for `successor`.

    Raises:
        ValueError: it may not, or nothing would come of it; says why.
    """
    order, together = order_from_json(unit.order), corrections_for(site.spool, unit, edit)
    part_of(site.spool, order.part)
    if refused := effect_of(site.spool, order.part, together).refused:
        raise ValueError(refused)
    form = corrected(order.form, corrections_name(site.spool, order.part, together))
    if form == order.form:
        raise ValueError("that is what it is already; `dcmrelay dead replay` sends it again")
    # What a person sends so, no rule takes from there.
    return _missing(site, unit, replace(order, form=form, one_of=False))


def _missing(site: Site, unit: Unit, order: Order) -> Ordered:
    elsewhere = {**unit.facts.get("elsewhere", {}), **dict.fromkeys(brought_by(site.config, unit), unit.id)}
    if instances_of(site.spool, unit) and not unbrought(site.spool, site.config, unit, elsewhere):
        raise ValueError("nothing of it is missing; `dcmrelay dead redirect --whole-study` takes along what is there")
    return Ordered(order=order, elsewhere=elsewhere)


def once_more(site: Site, units: Iterable[Unit], *, to: str = "", profile_now: bool = False) -> Iterator[Ordered | str]:
    """Each delivery of a part once more, whole, or why not; what moved away only where it went, unless that is named.

    Args:
        site: where.
        units: the deliveries of one part.
        to: only to this destination; when none went there, the first that may.
        profile_now: in the form that the profile makes now.
    """
    copies: dict[tuple[str, str], list[Unit]] = defaultdict(list)
    for unit in units:
        if unit.state.outcome == "corrected":
            continue  # that form was wrong; what went on for it is among them
        copies[unit.order["destination"], str(unit.order["form"])].append(unit)
    wanted = [it for (name, _), it in copies.items() if name == to or not (to or _has_moved(it))]
    if wanted:
        yield from (_repeated(site, it, profile_now=profile_now) for it in wanted)
        return
    found = [_first_time(site, it[0], to, profile_now=profile_now) for it in copies.values()]
    yield next((it for it in found if isinstance(it, Ordered)), found[0] if found else "it went nowhere")


def give(site: Site, part_id: str, orders: Iterable[Ordered]) -> Ring | None:
    """Order deliveries of a part; None when all of them were ordered before.

    Raises:
        ValueError: the part cannot take them; says why.
        StorageError: the disk refused; nothing was ordered.
    """
    part, unit = part_of(site.spool, part_id), _closed(site.spool, part_id)
    new = _new(site, unit, orders)
    if not new:
        return None
    for it in new:
        profile = site.config.profile(it.order.form.profile)
        if it.order.form.kind == "deidentified" and profile is not None:
            keep_profile(site.spool, profile)
        if (edit := site.config.edits.get(it.order.form.edit)) is not None:
            keep_edit(site.spool, edit)
    # A sweep finds the part by its marker; without a new record it is only noted once more as finished.
    site.spool.store.put_new(part.marker, b"")
    contents = {it.order.id: ordered_to_json(it) for it in new}
    now, config = site.spool.now(), site.config.hash
    state = states.reopened(unit.state, now=now, by=site.by, why=site.why, config=config, orders=contents)
    ring = put(site.spool, unit, state)
    if ring is None:
        raise ValueError("something else was ordered of its part at the same moment; try again")
    # A sweep may have noted it as finished in between, and taken the marker away.
    site.spool.store.put_new(part.marker, b"")
    return ring


def check_may_be_given(site: Site, part_id: str, orders: Iterable[Ordered]) -> None:
    """Asked before something else is done for it.

    Raises:
        ValueError: the part cannot take these orders now, as `give` would say.
    """
    part_of(site.spool, part_id)
    _new(site, _closed(site.spool, part_id), orders)


def part_of(spool: Spool, part_id: str) -> Part:
    """A part whose images are there.

    Raises:
        ValueError: they are not.
    """
    part = read_part(spool, part_id)
    if part is None or spool.store.read(f"tombstones/{part_id}.json") is not None:
        raise ValueError("its images were deleted after spool.retention")
    return part


def _closed(spool: Spool, part_id: str) -> Unit:
    unit = spool.parts.load(part_id)
    if unit is None:
        raise ValueError("it is still being received")
    return unit


def _new(site: Site, part: Unit, orders: Iterable[Ordered]) -> list[Ordered]:
    """Those of the orders that were not given before."""
    known = ordered_of(part.facts)
    new = [it for it in orders if not _is_known(site, part, known.get(it.order.id), it)]
    if new:
        _check_free(site.spool, part, new)
    return new


def _changed(site: Site, order: Order, to: str, *, profile_now: bool) -> Order:
    keys = partial(_key_id, key_id, site.config), partial(_key_id, edit_key_id, site.config)
    if profile_now:
        order = replace(order, form=by_rules_now(order.form, site.config, *keys))
    if to:
        order = replace(order, form=form_towards(order, to, site.config, *keys))
        order = readdressed(order, to, part=part_of(site.spool, order.part), config=site.config)
    return order


def _has_moved(copies: list[Unit]) -> bool:
    """Whether another destination, or the same in another form, was given what these were to bring."""
    newest = max(copies, key=lambda unit: unit.order.get("again", 0))
    return newest.state.outcome in ("handed_over", "redirected", "replaced")


def _repeated(site: Site, copies: list[Unit], *, profile_now: bool) -> Ordered | str:
    """The next copy of a delivery; not while one is on its way."""
    order = order_from_json(max(copies, key=lambda unit: unit.order.get("again", 0)).order)
    unfinished = [unit.id[:10] for unit in copies if unit.state.status != "final"]
    if unfinished:
        return f"{order.destination}: {unfinished[0]} is still to be delivered"
    try:
        changed = _changed(site, order, order.destination, profile_now=profile_now)
    except ValueError as error:
        return f"{order.destination}: {error}"
    return Ordered(order=replace(changed, again=order.again + 1))


def _first_time(site: Site, unit: Unit, to: str, *, profile_now: bool) -> Ordered | str:
    try:
        order = _changed(site, order_from_json(unit.order), to, profile_now=profile_now)
    except ValueError as error:
        return f"{to}: {error}"
    return Ordered(order=replace(order, again=0))


def _is_known(site: Site, part: Unit, before: Ordered | None, wanted: Ordered) -> bool:
    """Whether a delivery of a part was ordered before, and brings, or has brought, all that is wanted of it."""
    if before is None:
        return False
    short = f"{wanted.order.id[:10]} to {wanted.order.destination}"
    if not before.elsewhere.keys() <= wanted.elsewhere.keys():
        raise ValueError(f"{short} was ordered before, without some of these instances")
    made = site.spool.deliveries.load(wanted.order.id)
    if made is None and part.state.status == "final":  # so the router never came to make it
        raise ValueError(f"{short} was given up with its part ({part.state.outcome}); have it sent again by the source")
    if made is not None and made.state.status == "final":
        outcome = made.state.outcome
        if outcome != "delivered" and unbrought(site.spool, site.config, made, wanted.elsewhere):
            raise ValueError(f"{short} was given up ({outcome}); use `dcmrelay resend`")
    elif before.order.optional and not wanted.order.optional:
        raise ValueError(
            f"{short} is an optional copy, which may fail; wait until it is delivered, or redirect elsewhere"
        )
    return True


def _check_free(spool: Spool, unit: Unit, new: list[Ordered]) -> None:
    if unit.state.status == "held":
        raise ValueError("its part is a dead letter itself: `dcmrelay dead list`")
    if unit.state.status != "final" and not (unit.state.status == "waiting" and unit.state.outcome == "routed"):
        raise ValueError("its part is with the router just now; try again in a moment")
    if unit.state.outcome != "routed":
        raise ValueError(f"its part was {unit.state.outcome}")
    for it in new:
        if spool.deliveries.newest(it.order.id) is not None:
            raise ValueError(f"{it.order.destination} has a delivery of its own of this part, {it.order.id[:10]}")


def _key_id(ask: Callable[[Config, str], str], config: Config, name: str) -> str:
    try:
        return ask(config, name)
    except PermanentError as error:
        raise ValueError(error.reason) from None
