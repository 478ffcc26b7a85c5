"""Which routes want a part. No I/O, no clock, no globals."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from shared.config.matching import RELAY_KEYS, fits
from shared.config.rules import Route

Match = Mapping[str, tuple[str, ...]]
# The values of one instance's elements by keyword; several values are several entries.
Header = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A route that gets the part, and why.

    Args:
        route: the route.
        follows: an earlier part of the study went this way; its match was not asked.
    """

    route: Route
    follows: bool


def keywords_of(routes: Iterable[Route]) -> tuple[str, ...]:
    """DICOM keywords that any of the routes asks about."""
    return tuple(sorted({key for route in routes for key in route.match if key not in RELAY_KEYS}))


def wanted_by(
    routes: Sequence[Route],
    facts: Mapping[str, str],
    headers: Callable[[], Iterable[Header]],
    pinned: Collection[str],
) -> list[Wanted]:
    """The routes that get a part, in the order of the file.

    The first one that says `last` ends it, except for those that an earlier part took: a study is not split.

    Args:
        routes: all configured routes.
        facts: the relay's keys: `source`, `called`.
        headers: gives the instances' headers; asked only when a rule needs them.
        pinned: names of routes that an earlier part of the study took, and that are open to this source.
    """
    wanted: list[Wanted] = []
    for route in routes:
        follows = route.name in pinned
        ended = any(earlier.route.last for earlier in wanted)
        if follows or (not ended and matches(route.match, facts, headers)):
            wanted.append(Wanted(route=route, follows=follows))
    return wanted


def is_open_to(match: Match, facts: Mapping[str, str]) -> bool:
    """Whether the relay's keys of a match fit: which source, under which called AE title.

    A pin stands for the match of DICOM keywords only. What another source sends of the same study, a destination that
    sends it back for instance, goes by that source's routes.
    """
    return all(_any_fits(patterns, (facts[key],)) for key, patterns in match.items() if key in RELAY_KEYS)


def matches(match: Match, facts: Mapping[str, str], headers: Callable[[], Iterable[Header]]) -> bool:
    """Whether a study matches: the relay's keys all fit, and one instance at least fits all keywords."""
    if not is_open_to(match, facts):
        return False
    theirs = {key: patterns for key, patterns in match.items() if key not in RELAY_KEYS}
    return not theirs or any(_instance_fits(theirs, header) for header in headers())


def _instance_fits(match: Match, header: Header) -> bool:
    return all(_any_fits(patterns, header.get(key, ())) for key, patterns in match.items())


def _any_fits(patterns: Iterable[str], values: Iterable[str]) -> bool:
    there = tuple(values)
    return any(fits(pattern, value) for pattern in patterns for value in there)
