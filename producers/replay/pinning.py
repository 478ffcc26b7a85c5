"""Pins of a study that a person sends elsewhere whole, so that its later parts go there too. Source: ADR 0016."""

from dataclasses import replace

from producers.replay.allowed import readdressed
from producers.replay.orders import Site, part_of
from shared.config import Config
from shared.forms import corrected
from shared.spool.deliveries import Order
from shared.spool.parts import Part
from shared.spool.pins import Choice, Pin, live_pins, newest_pin, put_handed_over, put_pin, study_pins
from shared.spool.spool import Spool


def move_pins(site: Site, part: Part, old: Order, new: Order) -> None:
    """Put one destination in the place of another in every pin of a part's study; nothing when that was done before.

    What a route chose that is not configured any more is pinned to the route that names the new destination.

    Args:
        site: where, who and why.
        part: of the study.
        old: a delivery to the destination, in the form, that the study leaves.
        new: the same as it goes on.

    Raises:
        StorageError: the disk refused; the same may be done again.
    """
    folder = study_pins(part.study_instance_uid, part.called_ae_title)
    form = corrected(new.form, "")  # what was corrected in one part says nothing of later ones
    choice = Choice(destination=new.destination, identity=new.identity, form=form, optional=old.optional)
    for route in live_pins(site.spool, folder, site.config.relay.follow):
        if site.config.route(route) is None and _names(site.spool, folder, route, old):
            _add(site, folder, new, choice)
            _replace(site, folder, route, old, ())
        else:
            _replace(site, folder, route, old, (choice,))


def moved_elsewhere(site: Site, part_id: str, to: str) -> list[tuple[Order, Order]]:
    """For a part that is held because its study's pins cannot be followed any more: what each would have it deliver.

    Args:
        site: where.
        part_id: the part.
        to: the destination instead.

    Returns:
        Each delivery as it is pinned, and as it would go on.

    Raises:
        ValueError: it may not go there, or that is not why it is held.
    """
    part = part_of(site.spool, part_id)
    folder = study_pins(part.study_instance_uid, part.called_ae_title)
    pins = live_pins(site.spool, folder, site.config.relay.follow).values()
    lost = [_order(part, pin, it) for pin in pins for it in pin.choices if _is_lost(pin.route, it, site.config)]
    if not lost:
        raise ValueError("it is not routed: `dcmrelay dead replay` decides it anew")
    return [(old, readdressed(old, to, part=part, config=site.config)) for old in lost]


def _is_lost(route: str, choice: Choice, config: Config) -> bool:
    destination = config.destination(choice.destination)
    return config.route(route) is None or destination is None or destination.identity != choice.identity


def _order(part: Part, pin: Pin, choice: Choice) -> Order:
    return Order(
        part=part.id,
        route=pin.route,
        destination=choice.destination,
        identity=choice.identity,
        calling_ae_title="",
        form=choice.form,
        source=part.source,
        optional=choice.optional,
        urgent=pin.urgent,
    )


def _is_meant(choice: Choice, old: Order) -> bool:
    return (choice.destination, choice.form.label) == (old.destination, corrected(old.form, "").label)


def _names(spool: Spool, folder: str, route: str, old: Order) -> bool:
    pin = newest_pin(spool, folder, route)
    return pin is not None and any(_is_meant(it, old) for it in pin.choices)


def _replace(site: Site, folder: str, route: str, old: Order, choices: tuple[Choice, ...]) -> None:
    """Make a pin's next epoch, with these in the place of one; again when somebody else made that epoch."""
    while _names(site.spool, folder, route, old) and (pin := newest_pin(site.spool, folder, route)) is not None:
        before = next(it for it in pin.choices if _is_meant(it, old))
        if choices == (before,):
            return
        others = tuple(it for it in pin.choices if it != before)
        wanted = _next(site, pin, (*others, *choices))
        put_handed_over(site.spool, folder, replace(wanted, tried=(*pin.tried, before.destination)))


def _next(site: Site, pin: Pin, choices: tuple[Choice, ...]) -> Pin:
    now, config = site.spool.now(), site.config.hash
    return replace(pin, epoch=pin.epoch + 1, made_at=now, choices=choices, config=config, why=_why(site))


def _why(site: Site) -> str:
    return f"by {site.by}: {site.why}"


def _add(site: Site, folder: str, new: Order, choice: Choice) -> None:
    """Have the route that names the new destination choose it for the study, beside what it chose before."""
    first = Pin(
        route=new.route,
        epoch=0,
        made_at=site.spool.now(),
        choices=(choice,),
        urgent=new.urgent,
        config=site.config.hash,
        why=_why(site),
    )
    standing = put_pin(site.spool, folder, first, site.config.relay.follow)
    while choice not in standing.choices:
        put_handed_over(site.spool, folder, _next(site, standing, (*standing.choices, choice)))
        standing = newest_pin(site.spool, folder, new.route) or standing
