"""Why a match table does not take a study: the first condition that fails, named. No I/O, no clock, no globals.

What a reason says of an instance is how many fail and of which kind their values are, never a value. What the relay
knows of the sender (source, AE title, host, count, time) is said as it is.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from consumers.router.rules import Header, Match, instance_matches
from shared.config.conditions import Condition, satisfied
from shared.config.matching import STUDY_KEYS

_WORDS = {
    "not": "not",
    "regex": "found by the regular expression",
    "at_least": "at least",
    "at_most": "at most",
    "above": "above",
    "below": "below",
    "from": "from",
    "to": "to",
}


def why_not(match: Match, facts: Mapping[str, str], headers: Sequence[Header]) -> str:
    """The condition for which a study does not match, in words; empty when `rules.matches` says that it does."""
    for key in STUDY_KEYS:
        if key in match and not satisfied(key, match[key], (facts[key],) if key in facts else ()):
            return f"{key} is {_fact(key, facts)}; it asks {asked_by(match[key])}"
    theirs = {key: asked for key, asked in match.items() if key not in (*STUDY_KEYS, "instances")}
    failing = [header for header in headers if not instance_matches(theirs, header)]
    if match.get("instances") == ("all",):
        return _first_of(theirs, failing, len(headers), "must hold for all")
    if not theirs or len(failing) < len(headers):
        return ""
    never = {
        key: it for key, it in theirs.items() if not any(satisfied(key, it, header.get(key, ())) for header in headers)
    }
    return _first_of(never, headers, len(headers)) or f"no one instance has all of {', '.join(theirs)}"


def asked_by(asked: tuple[str, ...] | Condition) -> str:
    """What a match table asks of a key, in words."""
    if not isinstance(asked, Condition):
        return " or ".join(asked)
    given = asked.model_dump(by_alias=True, exclude_none=True)
    present = {True: ["a value"], False: ["no value"]}.get(given.pop("present", None), [])
    return " and ".join([*present, *(f"{_WORDS[key]} {_shown(value)}" for key, value in given.items())])


def _first_of(asked: Match, headers: Iterable[Header], count: int, more: str = "") -> str:
    """The first key that some of the instances fail."""
    for key, wanted in asked.items():
        failing = [header for header in headers if not satisfied(key, wanted, header.get(key, ()))]
        if failing:
            has_none = all(not any(header.get(key, ())) for header in failing)
            what = "has no value" if has_none else "has another value"
            tail = f"; it {more}" if more else ""
            return f"{key} {what} in {len(failing)} of {count} instances; it asks {asked_by(wanted)}{tail}"
    return ""


def _fact(key: str, facts: Mapping[str, str]) -> str:
    if key not in facts:
        return "not known"
    return "{:02}:{:02}".format(*divmod(int(facts[key]), 60)) if key == "time" else facts[key]


def _shown(value: Any) -> str:
    return " or ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
