"""What a route's choice is for a study: destinations and form. No I/O, no clock, no globals."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace

from shared.config import Config
from shared.config.peers import Destination
from shared.config.profiles import Profile
from shared.config.rules import Route
from shared.errors import PermanentError
from shared.forms import ENGINE_VERSION, RECEIVED, Form, corrected, edited
from shared.spool.deliveries import Order
from shared.spool.parts import Part
from shared.spool.pins import Choice, Pin

KeyId = Callable[[str], str]


def _no_key(edit: str) -> str:
    raise PermanentError(f"nobody said which key edit '{edit}' has", "bug")


def choices_of(
    route: Route, config: Config, issuer: str, key_id: KeyId, candidate: str = "", edit_key_id: KeyId = _no_key
) -> tuple[Choice, ...]:
    """The destinations of a route, as they are configured now, and the form they get.

    Args:
        route: the route.
        config: the configuration it stands in.
        issuer: the source's domain of patient IDs.
        key_id: gives the public name of a profile's key.
        candidate: the destination of `one_of` whose turn it is; empty when the route has none.
        edit_key_id: gives the public name of an edit's key.
    """
    form = _form(route, config, issuer, key_id, edit_key_id)
    them = tuple(
        Choice(
            destination=name, identity=_destination(config, name).identity, form=form, optional=name in route.optional
        )
        for name in (*route.to, *route.optional)
    )
    return (*them, candidate_choice(route, config, issuer, key_id, candidate, edit_key_id)) if candidate else them


def candidate_choice(
    route: Route, config: Config, issuer: str, key_id: KeyId, candidate: str, edit_key_id: KeyId = _no_key
) -> Choice:
    """One candidate of a route, as it is configured now, and the form it gets. Arguments as for `choices_of`."""
    identity = _destination(config, candidate).identity
    form = _form(route.towards(candidate), config, issuer, key_id, edit_key_id)
    return Choice(destination=candidate, identity=identity, form=form, one_of=True)


def orders_of(
    part: Part,
    pins: Mapping[str, Pin],
    config: Config,
    source_ae_title: str,
    late: Collection[str] = (),
    corrections: str = "",
) -> Iterator[Order]:
    """The deliveries that the pins of a part's routes ask for.

    A destination in the same form on two routes is one delivery: not optional if either says so, urgent if either does,
    and not left for another candidate when either gives it to this one anyway.

    Args:
        part: the part.
        pins: by route.
        config: the configuration it is decided under.
        source_ae_title: calling AE title of its source.
        late: routes that were given the study before.
        corrections: name of what a person corrected in the part; the pins, which later parts follow, do not have it.
    """
    orders: dict[str, Order] = {}
    for pin in pins.values():
        for choice in pin.choices:
            order = order_of(part, pin, choice, config, source_ae_title, corrections)
            order = replace(order, addendum=pin.route in late)
            before = orders.setdefault(order.id, order)
            optional, urgent = before.optional and order.optional, before.urgent or order.urgent
            one_of, addendum = before.one_of and order.one_of, before.addendum or order.addendum
            orders[order.id] = replace(before, optional=optional, urgent=urgent, one_of=one_of, addendum=addendum)
    yield from orders.values()


def changed(pin: Pin, config: Config) -> str:
    """Why a pinned choice cannot be followed under a configuration; empty when it can.

    A destination that is gone or is another peer now, or a profile that is gone, holds the work. A profile whose
    content was changed is followed as it was pinned, and an edit also when it is gone.
    """
    for choice in pin.choices:
        destination = config.destination(choice.destination)
        if destination is None or destination.identity != choice.identity:
            return (
                f"destination '{choice.destination}' of route '{pin.route}' is gone or was changed since it was chosen"
            )
        if choice.form.kind == "deidentified" and config.profile(choice.form.profile) is None:
            return f"profile '{choice.form.profile}' of route '{pin.route}' is gone since it was chosen"
    return ""


def order_of(
    part: Part, pin: Pin, choice: Choice, config: Config, source_ae_title: str, corrections: str = ""
) -> Order:
    """The delivery of a part that one choice of a pin asks for. Arguments as for `orders_of`."""
    ours = _destination(config, choice.destination).calling_ae_title
    return Order(
        part=part.id,
        route=pin.route,
        destination=choice.destination,
        identity=choice.identity,
        calling_ae_title=source_ae_title if ours == "{source}" else ours,
        form=corrected(choice.form, corrections) if corrections else choice.form,
        source=part.source,
        optional=choice.optional,
        urgent=pin.urgent,
        one_of=choice.one_of,
    )


def _form(route: Route, config: Config, issuer: str, key_id: KeyId, edit_key_id: KeyId) -> Form:
    return _edited(_unedited(route, config, issuer, key_id), route, config, edit_key_id)


def _unedited(route: Route, config: Config, issuer: str, key_id: KeyId) -> Form:
    if route.profile is None:
        return RECEIVED
    profile = _profile(config, route.profile)
    return Form(
        kind="deidentified",
        profile=route.profile,
        profile_hash=profile.hash,
        key_id=key_id(route.profile),
        engine_version=ENGINE_VERSION,
        issuer=issuer,
    )


def _edited(form: Form, route: Route, config: Config, edit_key_id: KeyId) -> Form:
    """The form with the route's edit before it."""
    if (name := route.edit) is None:
        return form
    return edited(
        form,
        edit=name,
        edit_hash=config.edits[name].hash,
        edit_key_id=lambda: edit_key_id(name),
        correction=route.correction,
    )


def _destination(config: Config, name: str) -> Destination:
    destination = config.destination(name)
    if destination is None:
        raise PermanentError(f"destination '{name}' is not configured any more", "policy")
    return destination


def _profile(config: Config, name: str) -> Profile:
    profile = config.profile(name)
    if profile is None:
        raise PermanentError(f"profile '{name}' is not configured any more", "policy")
    return profile
