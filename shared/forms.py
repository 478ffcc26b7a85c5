"""In which form a part leaves: as received, or de-identified by a profile. No I/O, no clock, no globals."""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Literal

# Bump when the same input, profile and key would give other bytes: a pin names the version it was made with.
ENGINE_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Form:
    """What a delivery is bound to; two equal forms of one part are the same bytes.

    Args:
        kind: `received` or `deidentified` (`edited` comes with edits).
        profile: the profile's name in the configuration; empty when received.
        profile_hash: hash of the profile's content.
        key_id: public name of the secret that pseudonyms are keyed with.
        engine_version: see ENGINE_VERSION.
        issuer: the source's domain of patient IDs.
    """

    kind: Literal["received", "deidentified"]
    profile: str = ""
    profile_hash: str = ""
    key_id: str = ""
    engine_version: int = 0
    issuer: str = ""

    @property
    def label(self) -> str:
        """How a person reads it: `as received` or `de-identified (reading)`."""
        return "as received" if self.kind == "received" else f"de-identified ({self.profile})"


RECEIVED = Form(kind="received")


def hashed_id(letter: str, *facts: object) -> str:
    """An id that the same facts always give: a letter for the kind and 32 hex digits."""
    canonical = json.dumps(facts, separators=(",", ":"), sort_keys=True).encode()
    return letter + hashlib.sha256(canonical).hexdigest()[:32]


def rendition_id(part: str, form: Form) -> str:
    """The id of a part's rendition in a form."""
    return hashed_id("r", part, asdict(form))
