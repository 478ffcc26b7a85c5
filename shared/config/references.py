"""Names that one table uses of another: destinations, profiles, edits, calendars, sources.

No I/O, no clock, no globals. Reads the tables as TOML read them, so that a table with another fault in it is looked
at as well; what is not of the right kind is passed over here, because the models name it.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from shared.config.matching import fits
from shared.config.problems import Problem, at
from shared.config.values import did_you_mean, shown

Raw = Mapping[str, Any]
_OF_ROUTES = (
    ("to", "destination"),
    ("optional", "destination"),
    ("profile", "profile"),
    ("edit", "edit"),
    ("like", "route"),
)
_OF_CANDIDATES = (("destination", "destination"), ("during", "calendar"), ("profile", "profile"), ("edit", "edit"))


def references_in(raw: Raw) -> Iterator[Problem]:
    """Yield every name that is used and not configured, and every name that is configured twice."""
    for section in ("source", "destination", "check", "route", "notify"):
        for name, times in Counter(_names(raw.get(section))).items():
            if times > 1:
                yield at(section, name, "name", f"{shown(name)} is used {times} times; names must differ")
    for name, destination in _named(raw.get("destination")):
        yield from _unknown_calendars(name, destination, raw)
    for section in ("check", "route"):
        for name, table in _named(raw.get(section)):
            yield from _unknown_sources(section, name, table, raw)
    for name, route in _named(raw.get("route")):
        yield from _unknown_names(name, route, raw)
    for name, source in _named(raw.get("source")):
        yield from _unknown_committer(name, source, raw)


def _unknown_calendars(destination: str, table: Raw, raw: Raw) -> Iterator[Problem]:
    rates = table.get("max_rate")
    listed = enumerate(rates if isinstance(rates, list) else [], 1)
    used = [("send_during", table.get("send_during"))]
    used += [(f"max_rate[{n}].during", rate.get("during")) for n, rate in listed if isinstance(rate, dict)]
    configured = list(_names(raw.get("calendar")))
    for key, name in used:
        if isinstance(name, str) and name not in configured:
            text = f"calendar {shown(name)} is not configured{_remedy(name, 'calendar', configured)}"
            yield at("destination", destination, key, text)


def _unknown_names(route: str, table: Raw, raw: Raw) -> Iterator[Problem]:
    for key, section, name in _used(table):
        configured = list(_names(raw.get(section)))
        if name not in configured:
            yield at(
                "route", route, key, f"{section} {shown(name)} is not configured{_remedy(name, section, configured)}"
            )


def _unknown_committer(source: str, table: Raw, raw: Raw) -> Iterator[Problem]:
    commitment, configured = table.get("commitment"), list(_names(raw.get("destination")))
    by = commitment.get("by") if isinstance(commitment, dict) else None
    if isinstance(by, str) and by not in configured:
        text = f"destination {shown(by)} is not configured{_remedy(by, 'destination', configured)}"
        yield at("source", source, "commitment.by", text)


def _used(route: Raw) -> Iterator[tuple[str, str, str]]:
    """Yield key, section and name of everything a route names."""
    for key, section in _OF_ROUTES:
        value = route.get(key)
        names = value if isinstance(value, list) else [value] if key not in ("to", "optional") else []
        yield from ((key, section, name) for name in names if isinstance(name, str))
    candidates = route.get("one_of")
    for number, candidate in enumerate(candidates if isinstance(candidates, list) else [], 1):
        for key, section in _OF_CANDIDATES:
            name = candidate.get(key) if isinstance(candidate, dict) else None
            if isinstance(name, str):
                yield f"one_of[{number}].{key}", section, name


def _unknown_sources(section: str, name: str, table: Raw, raw: Raw) -> Iterator[Problem]:
    configured = list(_names(raw.get("source")))
    match = table.get("match")
    patterns = match.get("source") if isinstance(match, dict) else None
    for pattern in [patterns] if isinstance(patterns, str) else patterns if isinstance(patterns, list) else []:
        if isinstance(pattern, str) and pattern and not any(fits(pattern, source) for source in configured):
            text = f"source {shown(pattern)} is not configured{_remedy(pattern, 'source', configured)}"
            yield at(section, name, "match.source", text)


def _remedy(name: str, section: str, configured: list[str]) -> str:
    listed = f"configured are {', '.join(map(repr, dict.fromkeys(configured)))}" if configured else f"no {section} is"
    return did_you_mean(name, configured) or f"; {listed}"


def _names(section: object) -> Iterator[str]:
    """Yield the names of the tables of a section, in the order of the file."""
    if isinstance(section, dict):
        yield from section
    else:
        yield from (name for name, _ in _named(section))


def _named(section: object) -> Iterator[tuple[str, Raw]]:
    """Yield name and table of each [[table]] that has a name."""
    for table in section if isinstance(section, list) else []:
        if isinstance(table, dict) and isinstance(table.get("name"), str):
            yield table["name"], table
