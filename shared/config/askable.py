"""Which conditions a key of a match table can be asked. No I/O, no clock, no globals."""

import re
from collections.abc import Callable, Iterator, Mapping

from shared.config.conditions import Condition
from shared.config.matching import INSTANCES
from shared.config.values import did_you_mean, parse_network, shown
from shared.config.windows import parse_days, parse_times
from shared.dictionary import sop_class_names, vr_of

NUMBERS = frozenset({"DS", "IS", "US", "SS", "UL", "SL", "FL", "FD", "SV", "UV", "US or SS"})
_MOMENTS = {
    "DA": (re.compile(r"[0-9]{8}"), "year, month and day", "20261225"),
    "TM": (re.compile(r"[0-9]{2}([0-9]{2}([0-9]{2})?)?"), "hours, minutes and seconds", "0830"),
    "DT": (re.compile(r"[0-9]{4}([0-9]{2}){0,5}"), "year to second", "20261225"),
}
_BOUNDS = ("at_least", "at_most", "above", "below")


def faults_of(match: Mapping[str, tuple[str, ...] | Condition]) -> Iterator[tuple[str, str]]:
    """Yield key and sentence of everything a match table asks that its key cannot be asked."""
    for key, asked in match.items():
        patterns, words = (asked.not_ or (), _given(asked)) if isinstance(asked, Condition) else (asked, {"is"})
        if not words:
            yield key, "asks nothing; write for example { present = true }"
        elif text := _fault(key, patterns, words, asked) or _contradiction(asked):
            yield key, text


def _given(asked: Condition) -> set[str]:
    return set(asked.model_dump(by_alias=True, exclude_none=True))


def _fault(key: str, patterns: tuple[str, ...], words: set[str], asked: object) -> str:
    if key in _RELAY:
        allowed, parse, instead = _RELAY[key]
        if unfit := sorted(words - allowed):
            return f"cannot be asked {_written(unfit)}; {instead}"
        return _refused(parse, patterns)
    vr = vr_of(key.rpartition(".")[2])
    if vr == "SQ":
        return "" if words == {"present"} else f"is a sequence; write {{ present = true }}, or a path as {key}.Keyword"
    if vr not in NUMBERS and (bounds := [word for word in _BOUNDS if word in words]):
        return f"has VR {vr}, which is no number, so {bounds[0]} cannot be asked; write from and to, or a regex"
    if vr in NUMBERS and words & {"from", "to"}:
        return "is a number; write at_least and at_most instead of from and to"
    return _moment(vr, asked) if isinstance(asked, Condition) else ""


def _contradiction(asked: object) -> str:
    """Why no value can be what is asked; empty when one can."""
    if not isinstance(asked, Condition):
        return ""
    lows, highs = (
        [n for n in pair if n is not None] for pair in ((asked.at_least, asked.above), (asked.at_most, asked.below))
    )
    strict = asked.above is not None and lows and asked.above == max(lows)
    strict = strict or (asked.below is not None and bool(highs) and asked.below == min(highs))
    if lows and highs and (max(lows) > min(highs) or (strict and max(lows) == min(highs))):
        return "asks for a number that is larger and smaller at once; exchange the bounds"
    if asked.from_ is not None and asked.to is not None and asked.from_[: len(asked.to)] > asked.to:
        return "asks for what is after its end; exchange from and to"
    if asked.present is False and _given(asked) - {"present", "not"}:
        return "asks for an absent value to be something; remove present = false, or the rest"
    return ""


def _written(words: list[str]) -> str:
    return "patterns" if words == ["is"] else ", ".join(word for word in words if word != "is")


def _moment(vr: str, asked: Condition) -> str:
    if vr in _MOMENTS:
        shape, words, example = _MOMENTS[vr]
        for text in (asked.from_, asked.to):
            if text is not None and not shape.fullmatch(text):
                return f'{shown(text)} is not how VR {vr} is written; write {words} without separators, as "{example}"'
    return ""


def _refused(parse: Callable[[str], object], patterns: tuple[str, ...]) -> str:
    for pattern in patterns:
        try:
            parse(pattern)
        except ValueError as error:
            return str(error)
    return ""


def _sop_class(pattern: str) -> str:
    if re.fullmatch(r"[0-9.*?]+", pattern) or set("*?") & set(pattern) or pattern in sop_class_names():
        return pattern
    near = did_you_mean(pattern, sop_class_names())
    raise ValueError(f'{shown(pattern)} is no SOP class; write a UID or a name, such as "CTImageStorage"{near}')


def _instances(pattern: str) -> str:
    if pattern not in INSTANCES:
        raise ValueError(f'{shown(pattern)} is not known here; write "any" (the default) or "all"')
    return pattern


_TEXT = {"is", "not", "regex"}
# By key of the relay: what it can be asked, how its patterns are read, and what to write instead.
_RELAY: dict[str, tuple[set[str], Callable[[str], object], str]] = {
    "source": (_TEXT, str, "write a name, a list of names, not or regex"),
    "called": (_TEXT, str, "write an AE title, a list of them, not or regex"),
    "host": ({"is", "not"}, parse_network, 'write addresses or networks, such as "10.1.0.0/16", or not'),
    "count": (set(_BOUNDS), str, "write for example { at_least = 100 }"),
    "weekday": ({"is", "not"}, parse_days, 'write days, such as "sat-sun", or not'),
    "time": ({"is", "not"}, parse_times, 'write times, such as "20:00-08:00", or not'),
    "sop_class": (_TEXT, _sop_class, "write UIDs or names, not or regex"),
    "instances": ({"is"}, _instances, 'write "any" or "all"'),
}
