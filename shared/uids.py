"""What a UID looks like. No I/O, no clock, no globals."""

import re

_UID = re.compile(r"[0-9.]{1,64}")
_CONFORMANT_UID = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))+")


def is_uid(text: str | None) -> bool:
    """Whether a text can be a UID at all: 1 to 64 digits and dots (PS3.5 9.1, leading zeros let pass)."""
    return text is not None and _UID.fullmatch(text) is not None


def is_conformant_uid(text: str) -> bool:
    """Whether a UID follows PS3.5 9.1 to the letter: components without leading zeros, none empty."""
    return len(text) <= 64 and _CONFORMANT_UID.fullmatch(text) is not None
