"""[profile.NAME]: how data sets are de-identified."""

import hashlib
import json
from typing import Literal

from pydantic import Field

from shared.config.fields import Constants, KeyFile, Listed, Pseudonyms, Table

# Options of PS3.15 Table E.1-1, by their names there.
Option = Literal[
    "clean-descriptors",
    "clean-graphics",
    "clean-pixel-data",
    "clean-recognizable-visual-features",
    "clean-structured-content",
    "retain-device-identity",
    "retain-institution-identity",
    "retain-longitudinal-full-dates",
    "retain-longitudinal-modified-dates",
    "retain-patient-characteristics",
    "retain-safe-private",
    "retain-uids",
]
ObjectKind = Literal[
    "image",
    "ultrasound",
    "visible_light",
    "secondary_capture",
    "burned_in",
    "dose_sr",
    "structured_report",
    "presentation_state",
    "encapsulated",
    "waveform",
    "radiotherapy",
    "raw_data",
    "private",
    "other",
]
Fate = Literal["drop", "hold", "send"]
# Made of text and drawings, which this version cannot clean.
NEVER_SENT: frozenset[ObjectKind] = frozenset(("dose_sr", "structured_report", "presentation_state", "encapsulated"))


class Profile(Table):
    """[profile.NAME]: PS3.15 Annex E with options.

    Args:
        options: the standard's options that it adds to the basic profile.
        key_file: name of the pseudonym key inside data_dir.
        pseudonyms: by keyword, literal text with one {key:N}, N characters of base32 of the keyed hash.
        set_after: by keyword, constants written after de-identification.
        objects: what becomes of an instance of a kind; kinds that are not named are up to the engine.
    """

    base: Literal["basic"] = "basic"
    options: Listed[Option] = ()
    key_file: KeyFile = "pseudonym.key"
    pseudonyms: Pseudonyms = Field(default_factory=dict)
    set_after: Constants = Field(default_factory=dict)
    objects: dict[ObjectKind, Fate] = Field(default_factory=dict)

    @property
    def hash(self) -> str:
        """SHA-256 over what it does, in hexadecimal; where the key lies is not part of it."""
        text = json.dumps(self.model_dump(mode="json", exclude={"key_file"}), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()
