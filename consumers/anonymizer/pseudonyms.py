"""Keyed, deterministic replacements: same key and original, same pseudonym. No I/O, no clock, no globals.

Without the key nothing can be computed back or confirmed by guessing: every replacement is cut from an HMAC-SHA-256.
"""

import base64
import hashlib
import hmac
import re
import uuid
from datetime import date, timedelta

SHIFT_DAYS_MAX = 3652
_PLACE = re.compile(r"\{key:([0-9]{1,2})\}")
_KEY_LETTERS_MIN, _KEY_LETTERS_MAX = 4, 52
_DAY = re.compile(r"([0-9]{4})([0-9]{2})?([0-9]{2})?(.*)", re.DOTALL)


def keyed(key: bytes, *facts: str) -> bytes:
    """HMAC-SHA-256 over facts, each with its length before it so that no two lists of facts read alike."""
    message = b"".join(len(fact).to_bytes(8, "big") + fact for fact in (text.encode() for text in facts))
    return hmac.new(key, message, hashlib.sha256).digest()


def replacement_uid(key: bytes, uid: str) -> str:
    """The UID that stands for `uid`: `2.25.` and a UUID as an integer, at most 44 characters.

    Keyed on the UID alone, not on the source: references inside and between studies keep meeting.
    Source: PS3.5 B.2.
    """
    return f"2.25.{uuid.UUID(bytes=keyed(key, 'uid', uid)[:16], version=4).int}"


def template_problem(template: str) -> str | None:
    """What is wrong with a pseudonym template such as `HX{key:12}`; None when nothing is."""
    lengths = [int(length) for length in _PLACE.findall(template)]
    rest = _PLACE.sub("", template)
    if not lengths or not all(_KEY_LETTERS_MIN <= length <= _KEY_LETTERS_MAX for length in lengths):
        return f"needs {{key:N}} with N from {_KEY_LETTERS_MIN} to {_KEY_LETTERS_MAX}"
    if not rest.isprintable() or set(rest) & set("\\{}"):
        return "may hold no backslash, no control character and no brace of its own"
    return None


def pseudonym_length(template: str) -> int:
    """How many letters a pseudonym made from the template has."""
    return len(_PLACE.sub(lambda place: "x" * int(place[1]), template))


def pseudonym(key: bytes, template: str, *, keyword: str, issuer: str, original: str) -> str:
    """The pseudonym of one value: `{key:N}` becomes N base32 letters of the keyed hash.

    Args:
        key: the profile's secret.
        template: checked by `template_problem`.
        keyword: DICOM keyword of the element; one number as patient ID and as accession number gives two pseudonyms.
        issuer: the source's domain of patient IDs, from the configuration.
        original: the value as text, without padding.
    """
    letters = base64.b32encode(keyed(key, "pseudonym", keyword, issuer, original)).decode()
    return _PLACE.sub(lambda place: letters[: int(place[1])], template)


def shift_days(key: bytes, *, issuer: str, patient: str) -> int:
    """By how many whole days a patient's dates move: -3652 to -1, the same for every study of the patient."""
    number = int.from_bytes(keyed(key, "date-shift", issuer, patient)[:8], "big")
    return -(number % SHIFT_DAYS_MAX + 1)


def shifted(value: str, days: int) -> str | None:
    """A DA or DT value moved by whole days, precision, time and offset kept; None when it is no calendar date."""
    parts = _DAY.fullmatch(value.strip())
    if parts is None:
        return None
    year, month, day, rest = parts.groups()
    try:
        moved = date(int(year), int(month or 1), int(day or 1)) + timedelta(days=days)
    except (ValueError, OverflowError):
        return None
    return moved.strftime("%Y%m%d").rjust(8, "0")[: len(year + (month or "") + (day or ""))] + rest
