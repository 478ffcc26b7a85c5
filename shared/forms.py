"""In which form a part leaves: as received, edited, or de-identified by a profile. No I/O, no clock, no globals."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Literal

# Bump when the same input, profile and key would give other bytes: a pin names the version it was made with.
ENGINE_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Form:
    """What a delivery is bound to; two equal forms of one part are the same bytes.

    Args:
        kind: `received`, `edited`, or `deidentified`, before which it may be edited too.
        profile: the profile's name in the configuration; empty when received.
        profile_hash: hash of the profile's content.
        key_id: public name of the secret that pseudonyms are keyed with.
        engine_version: see ENGINE_VERSION.
        issuer: the source's domain of patient IDs.
        edit: the edit's name in the configuration; empty when there is none.
        edit_hash: hash of the edit's content.
        edit_key_id: public name of the secret that new SOP Instance UIDs are keyed with; empty: they stay.
        corrections: hash of what a person corrected in the part, kept beside it; empty when nothing.
    """

    kind: Literal["received", "edited", "deidentified"]
    profile: str = ""
    profile_hash: str = ""
    key_id: str = ""
    engine_version: int = 0
    issuer: str = ""
    edit: str = ""
    edit_hash: str = ""
    edit_key_id: str = ""
    corrections: str = ""

    @property
    def keeps_uids(self) -> bool:
        """Whether an instance in this form has the SOP Instance UID that it was received with."""
        return self.kind != "deidentified" and not self.edit_key_id

    @property
    def label(self) -> str:
        """How a person reads it: `as received`, `edited (console)`, `corrected, de-identified (reading)`."""
        steps = ["corrected"] * bool(self.corrections) + [f"edited ({self.edit})"] * bool(self.edit)
        steps += [f"de-identified ({self.profile})"] * (self.kind == "deidentified")
        return ", ".join(steps) or "as received"


_OF_EDITS = ("edit", "edit_hash", "edit_key_id", "corrections")
RECEIVED = Form(kind="received")


def hashed_id(letter: str, *facts: object) -> str:
    """An id that the same facts always give: a letter for the kind and 32 hex digits."""
    canonical = json.dumps(facts, separators=(",", ":"), sort_keys=True).encode()
    return letter + hashlib.sha256(canonical).hexdigest()[:32]


def form_to_json(form: Form) -> dict[str, str | int]:
    """A form as it is written and hashed: without what only edits have when there is none, as it was before them."""
    return {key: value for key, value in asdict(form).items() if value or key not in _OF_EDITS}


def edited(form: Form, *, edit: str, edit_hash: str, edit_key_id: Callable[[], str], correction: bool) -> Form:
    """A form with an edit first, whatever edit it had before.

    Args:
        form: as it would be without; one that is de-identified gets its new SOP Instance UIDs from the profile.
        edit: the edit's name.
        edit_hash: hash of its content.
        edit_key_id: gives the public name of its key; asked only when it makes new UIDs.
        correction: whether the route says that the object stays the same.
    """
    keeps = correction or form.kind == "deidentified"
    return replace(
        form,
        kind="edited" if form.kind == "received" else form.kind,
        edit=edit,
        edit_hash=edit_hash,
        edit_key_id="" if keeps else edit_key_id(),
    )


def corrected(form: Form, corrections: str) -> Form:
    """A form with what a person corrected in the part first, or, when that is empty, with nothing corrected."""
    if form.kind == "deidentified":
        return replace(form, corrections=corrections)
    return replace(form, kind="edited" if corrections or form.edit else "received", corrections=corrections)


def rendition_id(part: str, form: Form) -> str:
    """The id of a part's rendition in a form."""
    return hashed_id("r", part, form_to_json(form))
