"""Where a delivery may go instead, and in which form. No I/O, no clock, no globals."""

from collections.abc import Callable
from dataclasses import replace

from shared.config import Config
from shared.config.conditions import satisfied
from shared.config.rules import Route
from shared.forms import ENGINE_VERSION, Form, edited
from shared.spool.deliveries import Order
from shared.spool.parts import Part


def readdressed(order: Order, to: str, *, part: Part, config: Config) -> Order:
    """A delivery's order with another destination: only one that a route of its source names, in the same form.

    Args:
        order: of the delivery.
        to: name of the destination.
        part: what it is a delivery of.
        config: the configuration in force.

    Raises:
        ValueError: it may not go there; says why and what would change that.
    """
    destination, source = config.destination(to), config.source(part.source)
    if destination is None:
        raise ValueError(
            f"no destination '{to}' is configured; known: {', '.join(it.name for it in config.destinations)}"
        )
    if source is None:
        raise ValueError(f"source '{part.source}' is not configured any more")
    if destination.deidentified_only and order.form.kind != "deidentified":
        raise ValueError(f"'{to}' takes nothing without proof of de-identification, and this goes {order.form.label}")
    route = _route(order.form, to, part, config)
    ours = destination.calling_ae_title
    return replace(
        order,
        destination=to,
        identity=destination.identity,
        route=route.name,
        calling_ae_title=source.ae_title if ours == "{source}" else ours,
        one_of=False,  # where a person sends it, no rule takes it from
    )


def form_towards(
    order: Order, to: str, config: Config, key_id: Callable[[str], str], edit_key_id: Callable[[str], str]
) -> Form:
    """The form of a delivery that goes on to another candidate of its route, as the route gives that one; else its own.

    What was to be de-identified goes without in no case.

    Args:
        order: of the delivery.
        to: name of the destination.
        config: the configuration in force.
        key_id: gives the public name of a profile's key.
        edit_key_id: the same of an edit's.

    Raises:
        ValueError: a key is missing.
    """
    route, form = config.route(order.route), order.form
    if route is None or not {order.destination, to} <= {it.destination for it in route.one_of}:
        return form
    theirs = route.towards(to)
    if theirs.profile is None and form.kind == "deidentified":
        return form
    if theirs.profile is not None and theirs.profile != form.profile:
        source = config.source(order.source)
        issuer = form.issuer if source is None else source.issuer or ""
        form = by_profile_now(replace(form, kind="deidentified", issuer=issuer), config, key_id, theirs.profile)
    is_same = (theirs.edit or "") == form.edit and form.kind == order.form.kind  # who makes the UIDs hangs on the kind
    return form if is_same else _edited(form, theirs, config, edit_key_id)


def _edited(form: Form, route: Route, config: Config, edit_key_id: Callable[[str], str]) -> Form:
    """A form with the edit of another candidate, or without any."""
    if (name := route.edit) is None:
        is_plain = form.kind == "edited" and not form.corrections
        return replace(form, kind="received" if is_plain else form.kind, edit="", edit_hash="", edit_key_id="")
    return edited(
        form,
        edit=name,
        edit_hash=config.edits[name].hash,
        edit_key_id=lambda: edit_key_id(name),
        correction=route.correction,
    )


def by_profile_now(form: Form, config: Config, key_id: Callable[[str], str], name: str = "") -> Form:
    """A form by a profile as it is configured now.

    Args:
        form: of the delivery.
        config: the configuration in force.
        key_id: gives the public name of a profile's key.
        name: of the profile; empty: the one of the same name.

    Raises:
        ValueError: there is no such profile, or the form has none.
    """
    name = name or form.profile
    profile = config.profile(name) if form.kind == "deidentified" else None
    if profile is None:
        raise ValueError(f"it goes {form.label}, and there is no such profile in the configuration")
    return replace(form, profile=name, profile_hash=profile.hash, key_id=key_id(name), engine_version=ENGINE_VERSION)


def by_rules_now(form: Form, config: Config, key_id: Callable[[str], str], edit_key_id: Callable[[str], str]) -> Form:
    """A form by its profile and its edit as they are configured now. Arguments as for `form_towards`.

    Raises:
        ValueError: one of them is not there, or the form has none.
    """
    if not (form.profile or form.edit):
        raise ValueError(f"it goes {form.label}, by no profile and no edit")
    if form.kind == "deidentified":
        form = by_profile_now(form, config, key_id)
    if not form.edit:
        return form
    edit = config.edits.get(form.edit)
    if edit is None:
        raise ValueError(f"it goes {form.label}, and there is no such edit in the configuration")
    return replace(form, edit_hash=edit.hash, edit_key_id=edit_key_id(form.edit) if form.edit_key_id else "")


def _route(form: Form, to: str, part: Part, config: Config) -> Route:
    routes = [it for it in config.routes if to in it.destinations and _is_open_to(it, part)]
    if not routes:
        raise ValueError(f"no route of source '{part.source}' names '{to}'; add one")
    routes = [it.towards(to) for it in routes]
    same = [it for it in routes if (it.edit or "", it.profile or "") == (form.edit, form.profile)]
    if not same:
        raise ValueError(f"no route gives '{to}' studies of '{part.source}' {form.label}; it goes in no other form")
    if form.edit and config.edits[form.edit].hash != form.edit_hash:
        raise ValueError(f"edit '{form.edit}' was changed since; --profile-now makes a new rendition by it")
    if bool(form.edit_key_id) == (same[0].correction or form.kind == "deidentified") and form.edit:
        raise ValueError(f"route '{same[0].name}' makes other SOP Instance UIDs; it goes in no other form")
    if form.kind == "deidentified" and config.profiles[form.profile].hash != form.profile_hash:
        raise ValueError(f"profile '{form.profile}' was changed since; --profile-now makes a new rendition by it")
    return same[0]


def _is_open_to(route: Route, part: Part) -> bool:
    """Whether a route is for this source under this called AE title; what it asks of the images is not looked at."""
    facts = {"source": part.source, "called": part.called_ae_title}
    return all(satisfied(key, asked, (facts[key],)) for key, asked in route.match.items() if key in facts)
