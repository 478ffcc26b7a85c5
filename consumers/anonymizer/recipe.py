"""How a rendition's instances are made: corrections, then the edit, then de-identification. No I/O, no clock.

Source: PS3.4 B (changed objects), PS3.3 C.12.1 (original attributes); ADR 0021.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from consumers.anonymizer.layout import Encoding
from consumers.anonymizer.rules import Rules
from shared.config.rewriting import Edit
from shared.editing.engine import edited
from shared.editing.identity import reidentified, with_original


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What is done to each instance of a rendition.

    Args:
        rules: the profile, made ready; None: it is not de-identified.
        issuer: the source's domain of patient IDs.
        corrections: what a person corrected.
        edit: the route's edit.
        edit_name: its name.
        uid_key: secret that new SOP Instance UIDs are keyed with; None: they stay.
        facts: values of `source` and `called`.
        at: when the part was decided, aware; the same each time it is made.
        system: the relay's AE title.
    """

    rules: Rules | None = None
    issuer: str = ""
    corrections: Edit | None = None
    edit: Edit | None = None
    edit_name: str = ""
    uid_key: bytes | None = field(default=None, repr=False)
    facts: Mapping[str, str] = field(default_factory=dict)
    at: datetime | None = None
    system: str = "DCMRELAY"

    @property
    def edits(self) -> bool:
        """Whether anything is changed before de-identification."""
        return self.corrections is not None or self.edit is not None

    def edited(self, header: bytes, encoding: Encoding) -> bytes:
        """The elements before the pixel data after corrections and edit.

        Raises:
            DataSetError: a result cannot be; names the element.
        """
        after = header
        for edit in (self.corrections, self.edit):
            if edit is not None:
                after = edited(after, encoding, edit, self.facts)
        if self.uid_key is not None:
            after = reidentified(after, encoding, key=self.uid_key, edit=self.edit_name)
        if self.edit is None or not self.edit.original_attributes or self.at is None or after == header:
            return after
        reason = "CORRECT" if self.uid_key is None else "COERCE"
        return with_original(header, after, encoding, at=self.at, system=self.system, reason=reason)
