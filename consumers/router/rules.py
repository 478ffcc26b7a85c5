"""Which routes want a part. No I/O, no clock, no globals."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from shared.config.conditions import Condition, satisfied
from shared.config.matching import RELAY_KEYS, STUDY_KEYS
from shared.config.rules import Route

Match = Mapping[str, tuple[str, ...] | Condition]
# The values of one instance by keyword, path or `sop_class`; several values are several entries.
Header = Mapping[str, tuple[str, ...]]
_OF_THE_SENDER = ("source", "called")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A route that gets the part, and why.

    Args:
        route: the route.
        follows: an earlier part of the study went this way; its match was not asked.
    """

    route: Route
    follows: bool


@dataclass(frozen=True, kw_only=True)
class Passed:
    """A route that does not get the part.

    Args:
        route: the route.
        ended_by: name of the route above it that said `last`; empty: its match does not take the part.
    """

    route: Route
    ended_by: str


def keywords_of(routes: Iterable[Route], excludes: Iterable[Match] = ()) -> tuple[str, ...]:
    """DICOM keywords and paths that any of the routes, or of the destinations' `exclude` tables, asks about."""
    return tuple(sorted(keywords_of_matches((*(route.match for route in routes), *excludes))))


def keywords_of_matches(matches: Iterable[Match]) -> set[str]:
    """DICOM keywords and paths that match tables ask about."""
    return {key for match in matches for key in match if key not in RELAY_KEYS}


def weighed(
    routes: Sequence[Route],
    facts: Mapping[str, str],
    headers: Callable[[], Iterable[Header]],
    pinned: Collection[str],
) -> list[Wanted | Passed]:
    """Each route, in the order of the file, and whether it gets a part.

    The first one that says `last` ends it, except for those that an earlier part took: a study is not split.

    Args:
        routes: all configured routes.
        facts: what the relay knows of the part, by key; a key that is missing satisfies no pattern.
        headers: gives the instances' headers; asked only when a rule needs them.
        pinned: names of routes that an earlier part of the study took, and that are open to this source.
    """
    found: list[Wanted | Passed] = []
    for route in routes:
        follows = route.name in pinned
        ended_by = next((it.route.name for it in found if isinstance(it, Wanted) and it.route.last), "")
        if follows or (not ended_by and matches(route.match, facts, headers)):
            found.append(Wanted(route=route, follows=follows))
        else:
            found.append(Passed(route=route, ended_by=ended_by))
    return found


def wanted_by(
    routes: Sequence[Route],
    facts: Mapping[str, str],
    headers: Callable[[], Iterable[Header]],
    pinned: Collection[str],
) -> list[Wanted]:
    """The routes that get a part, as `weighed` says."""
    return [it for it in weighed(routes, facts, headers, pinned) if isinstance(it, Wanted)]


def is_open_to(match: Match, facts: Mapping[str, str]) -> bool:
    """Whether what a match asks of the sender holds: which source, under which called AE title.

    A pin stands for the match of DICOM keywords only. What another source sends of the same study, a destination that
    sends it back for instance, goes by that source's routes.
    """
    return of_the_study(match, facts, _OF_THE_SENDER)


def matches(match: Match, facts: Mapping[str, str], headers: Callable[[], Iterable[Header]]) -> bool:
    """Whether a study matches: the relay's keys all hold, and all others for one instance at least.

    With `instances = "all"` they must hold for every instance; one that cannot be read has no values.
    """
    if not of_the_study(match, facts, STUDY_KEYS):
        return False
    theirs = {key: asked for key, asked in match.items() if key not in (*STUDY_KEYS, "instances")}
    quantifier = all if match.get("instances") == ("all",) else any
    return not theirs or quantifier(instance_matches(theirs, header) for header in headers())


def instance_matches(match: Match, header: Header) -> bool:
    """Whether one instance has what all keys of a match table ask; the keys are those of instances."""
    return all(satisfied(key, asked, header.get(key, ())) for key, asked in match.items())


def excluded_by(excludes: Sequence[Match], headers: Iterable[Header]) -> tuple[int, ...]:
    """The indexes of the instances that one of a destination's `exclude` tables fits."""
    return tuple(
        index for index, header in enumerate(headers) if any(instance_matches(match, header) for match in excludes)
    )


def of_the_study(match: Match, facts: Mapping[str, str], keys: Collection[str]) -> bool:
    """Whether what a match asks by some of the relay's keys holds."""
    asked = ((key, match[key]) for key in keys if key in match)
    return all(satisfied(key, wanted, (facts[key],) if key in facts else ()) for key, wanted in asked)
