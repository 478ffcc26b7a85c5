"""Pins: the choice made for a study on a route, which its later parts follow.

pins/<study>/<route>/<epoch>.json    the highest epoch is in force
pins/<study>/<route>/<part>          of a route that chooses: that it gave its candidates this part
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from shared.config import Config
from shared.config.profiles import Profile
from shared.config.rewriting import Edit
from shared.forms import Form, hashed_id
from shared.spool.spool import Spool

_RECORD = ".json"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One destination of a pin: who it was when chosen, and in which form it gets the study."""

    destination: str
    identity: str
    form: Form
    optional: bool = False
    one_of: bool = False


@dataclass(frozen=True, kw_only=True)
class Pin:
    """The choice for (study, called AE title, route).

    Args:
        route: name of the route.
        epoch: from 0; a hand-over, or `follow` having passed, makes the next.
        made_at: when.
        choices: the destinations.
        urgent: the route's priority.
        config: hash of the configuration it was made under.
        tried: destinations of the epochs that this one was handed over from; none of them gets the study again.
        why: of a hand-over, with what the old candidate has; without patient data.
    """

    route: str
    epoch: int
    made_at: datetime
    choices: tuple[Choice, ...]
    urgent: bool
    config: str
    tried: tuple[str, ...] = ()
    why: str = ""


def keep_profile(spool: Spool, profile: Profile) -> None:
    """Keep a profile under its hash, so that a pin can be followed after the configuration changed."""
    spool.store.put_new(f"config/profile-{profile.hash}.json", profile.model_dump_json().encode())


def pinned_profile(spool: Spool, profile_hash: str) -> Profile | None:
    """The profile kept under a hash."""
    content = spool.store.read(f"config/profile-{profile_hash}.json")
    return None if content is None else Profile.model_validate_json(content)


def keep_edit(spool: Spool, edit: Edit) -> None:
    """Keep an edit under its hash, as a profile."""
    spool.store.put_new(f"config/edit-{edit.hash}.json", edit.to_json())


def pinned_edit(spool: Spool, edit_hash: str) -> Edit | None:
    """The edit kept under a hash."""
    content = spool.store.read(f"config/edit-{edit_hash}.json")
    return None if content is None else Edit.model_validate_json(content)


def keep_form(spool: Spool, config: Config, form: Form) -> None:
    """Keep what a form of this configuration is made by: its profile and its edit."""
    if form.profile:
        keep_profile(spool, config.profiles[form.profile])
    if form.edit:
        keep_edit(spool, config.edits[form.edit])


def study_pins(study_instance_uid: str, called_ae_title: str) -> str:
    """The folder of a study's pins; hashed, so that no UID of a peer becomes a path."""
    return "pins/" + hashed_id("s", study_instance_uid, called_ae_title)


def live_pins(spool: Spool, folder: str, follow: timedelta) -> dict[str, Pin]:
    """The pins in force for a study, by route: the newest epoch of each, unless `follow` has passed."""
    newest = (_newest(spool, folder, route) for route in spool.store.list(folder))
    return {pin.route: pin for pin in newest if pin is not None and not spool.lapsed(pin.made_at, follow)}


def is_over(spool: Spool, folder: str, after: timedelta) -> bool:
    """Whether the newest pin of each route of a study was made longer ago than that."""
    newest = (_newest(spool, folder, route) for route in spool.store.list(folder))
    return all(pin is None or spool.lapsed(pin.made_at, after) for pin in newest)


def put_pin(spool: Spool, folder: str, pin: Pin, follow: timedelta = timedelta(0)) -> Pin:
    """Pin a choice as the next epoch of its route; returns the pin that stands, ours or the one that was faster.

    Args:
        spool: the spool.
        folder: of the study's pins.
        pin: the choice; its epoch is found here.
        follow: a pin younger than this, made since `live_pins` was asked, stands.
    """
    before = _newest(spool, folder, pin.route)
    if before is not None and not spool.lapsed(before.made_at, follow):
        return before
    epoch = 0 if before is None else before.epoch + 1
    return _put(spool, f"{folder}/{pin.route}/{epoch:06}.json", replace(pin, epoch=epoch))


def handed_over(before: Pin, old: str, choice: Choice, *, made_at: datetime, config: str, why: str = "") -> Pin:
    """The next epoch of a pin, with another candidate in the place of one; the route's other choices stay.

    Args:
        before: the pin in force.
        old: destination of the candidate that had the study.
        choice: the candidate that gets it now.
        made_at: when.
        config: hash of the configuration it is made under.
        why: for people, with what the old candidate has.
    """
    return replace(
        before,
        epoch=before.epoch + 1,
        made_at=made_at,
        choices=tuple(choice if it.destination == old else it for it in before.choices),
        config=config,
        tried=(*before.tried, old),
        why=why,
    )


def put_handed_over(spool: Spool, folder: str, pin: Pin) -> Pin:
    """Pin what `handed_over` made; returns the pin of that epoch that stands, ours or the one that was faster."""
    return _put(spool, f"{folder}/{pin.route}/{pin.epoch:06}.json", pin)


def note_part(spool: Spool, folder: str, route: str, part_id: str) -> None:
    """Note that a route gave a part of the study to one of its candidates; before anything is sent."""
    spool.store.put_new(f"{folder}/{route}/{part_id}", b"")


def noted_parts(spool: Spool, folder: str, route: str) -> list[str]:
    """The parts of a study that a route gave to one of its candidates."""
    return [name for name in spool.store.list(f"{folder}/{route}") if not name.endswith(_RECORD)]


def newest_pin(spool: Spool, folder: str, route: str, epoch: int | None = None) -> Pin | None:
    """The pin of the highest epoch, also when `follow` has passed; or that of one epoch."""
    if epoch is None:
        return _newest(spool, folder, route)
    content = spool.read_json(f"{folder}/{route}/{epoch:06}{_RECORD}")
    return None if content is None else _pin(content)


def _put(spool: Spool, name: str, pin: Pin) -> Pin:
    spool.put_json(name, {**asdict(pin), "made_at": pin.made_at.isoformat()})
    standing = spool.read_json(name)
    return pin if standing is None else _pin(standing)


def _newest(spool: Spool, folder: str, route: str) -> Pin | None:
    epochs = [name for name in spool.store.list(f"{folder}/{route}") if name.endswith(_RECORD)]
    content = spool.read_json(f"{folder}/{route}/{epochs[-1]}") if epochs else None
    return None if content is None else _pin(content)


def _pin(content: Mapping[str, Any]) -> Pin:
    choices = tuple(Choice(**{**choice, "form": Form(**choice["form"])}) for choice in content["choices"])
    tried = tuple(content.get("tried", ()))
    made_at = datetime.fromisoformat(content["made_at"])
    return Pin(**{**content, "choices": choices, "made_at": made_at, "tried": tried})
