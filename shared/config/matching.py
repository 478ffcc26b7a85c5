"""Match tables: lower-case keys are the relay's, CamelCase keys are DICOM keywords; values are patterns with * and ?.

No I/O, no clock, no globals. All conditions must hold; a condition holds when any of its patterns does.
"""

import re
from collections.abc import Mapping

from pydicom.datadict import keyword_dict

from shared.config.keywords import check_value_keyword
from shared.config.values import did_you_mean, shown

RELAY_KEYS = ("source", "called")

Match = dict[str, tuple[str, ...]]


def parse_match_key(key: str) -> str:
    """Return a key of a match table: one of ours, or a keyword of an element that can be compared with text."""
    if key in RELAY_KEYS:
        return key
    if key in keyword_dict and key:
        return check_value_keyword(key)
    ours = ", ".join(RELAY_KEYS)
    near = did_you_mean(key, [*RELAY_KEYS, *keyword_dict])
    raise ValueError(f"{shown(key)} is neither a key of the relay ({ours}) nor a DICOM keyword{near}")


def fits(pattern: str, value: str) -> bool:
    """Whether a whole value matches a pattern: `*` any characters, `?` one, all else itself, case counts."""
    return _regex(pattern, any_one=".").fullmatch(value) is not None


def covers(wide: str, narrow: str) -> bool:
    """Whether whatever matches the pattern `narrow` surely matches the pattern `wide`."""
    return _regex(wide, any_one=r"[^*]").fullmatch(narrow) is not None


def is_wider(wide: Mapping[str, tuple[str, ...]], narrow: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether whatever the match table `narrow` takes is surely taken by `wide`; an empty table takes everything."""
    return all(
        key in narrow and all(any(covers(w, n) for w in patterns) for n in narrow[key])
        for key, patterns in wide.items()
    )


def _regex(pattern: str, any_one: str) -> re.Pattern[str]:
    pieces = {"*": ".*", "?": any_one}
    return re.compile("".join(pieces.get(c, re.escape(c)) for c in pattern), re.DOTALL)
