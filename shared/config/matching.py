"""Match tables: lower-case keys are the relay's, CamelCase keys are DICOM keywords or paths of them; patterns.

No I/O, no clock, no globals. All keys must hold; patterns, with * and ?, hold when any of them does. What else a key
can be asked stands in `conditions`.
"""

import re
from collections.abc import Mapping
from functools import lru_cache

from shared.config.keywords import check_value_keyword
from shared.config.values import did_you_mean, shown
from shared.dictionary import keywords, vr_of

# What the relay knows of a part without reading its instances; of an instance; and how instances are asked.
STUDY_KEYS = ("source", "called", "host", "count", "weekday", "time")
RELAY_KEYS = (*STUDY_KEYS, "sop_class", "instances")
INSTANCES = ("any", "all")


def parse_match_key(key: str) -> str:
    """Return a key of a match table: one of ours, a keyword of an element, or a path such as "Sequence.Keyword"."""
    if key in RELAY_KEYS:
        return key
    *sequences, last = steps = key.split(".")
    for step in steps:
        if step not in keywords() or not step:
            near = did_you_mean(step, [*RELAY_KEYS, *keywords()])
            ours = ", ".join(RELAY_KEYS)
            remedy = near or "; write one of them, or a keyword such as Modality"
            raise ValueError(f"{shown(step)} is neither a key of the relay ({ours}) nor a DICOM keyword{remedy}")
    for step in sequences:
        if vr_of(step) != "SQ":
            raise ValueError(f"{shown(key)}: {step} is not a sequence, so nothing is in it; end the path there")
    if vr_of(last) != "SQ":
        check_value_keyword(last)
    return key


def fits(pattern: str, value: str) -> bool:
    """Whether a whole value matches a pattern: `*` any characters, `?` one, all else itself, case counts."""
    return _regex(pattern, any_one=".").fullmatch(value) is not None


def covers(wide: str, narrow: str) -> bool:
    """Whether whatever matches the pattern `narrow` surely matches the pattern `wide`."""
    return _regex(wide, any_one=r"[^*]").fullmatch(narrow) is not None


def is_wider(wide: Mapping[str, object], narrow: Mapping[str, object]) -> bool:
    """Whether whatever the match table `narrow` takes is surely taken by `wide`; an empty table takes everything."""
    return all(key in narrow and _is_wider(key, asked, narrow[key]) for key, asked in wide.items())


def _is_wider(key: str, wide: object, narrow: object) -> bool:
    if isinstance(wide, tuple) and isinstance(narrow, tuple) and key not in ("host", "weekday", "time", "instances"):
        return all(any(covers(w, n) for w in wide) for n in narrow)
    return wide == narrow


@lru_cache(maxsize=1024)
def _regex(pattern: str, any_one: str) -> re.Pattern[str]:
    """A pattern as a regular expression that does not go back: what follows a star is taken where it comes first.

    So the time is linear in the value: a pattern of many stars cannot hang on a long value.
    """
    between = ["".join(any_one if c == "?" else re.escape(c) for c in run) for run in re.split(r"\*+", pattern)]
    if len(between) == 1:
        return re.compile(between[0], re.DOTALL)
    first, *middle, last = between
    return re.compile(first + "".join(f"(?>.*?{run})" for run in middle) + ".*" + last, re.DOTALL)
