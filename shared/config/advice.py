"""What a configuration may do but probably should not: the warnings of `dcmrelay check`.

No I/O; the clock is only asked for the year, when the caller does not say.
"""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from itertools import chain
from zoneinfo import ZoneInfo

from shared.config.committing import commitment_warnings
from shared.config.coverage import gaps, open_minutes, overlaps
from shared.config.matching import RELAY_KEYS, fits, is_wider
from shared.config.model import Config
from shared.config.problems import Problem, at, within
from shared.config.rules import Calendar, Route
from shared.config.values import shown, write_duration
from shared.config.windows import MINUTES_PER_DAY
from shared.dictionary import vr_of

_SHORTEST_GIVE_UP = timedelta(hours=72)
_OF_ONE_OF = ("hand_over_after", "hand_over_after_urgent", "when_partial", "mode")
_REMOVED_ANYWAY = ("clean-descriptors", "clean-graphics", "clean-structured-content", "retain-safe-private")


def warnings_of(config: Config, today: date | None = None) -> tuple[Problem, ...]:
    """Return what a person should look at; none of it keeps the relay from starting.

    Args:
        config: a loaded configuration.
        today: the date in the relay's time zone; None asks the clock.
    """
    day = today or datetime.now(ZoneInfo(config.relay.timezone)).date()
    return (
        *_empty(config),
        *_open_sources(config),
        *commitment_warnings(config),
        *_times(config),
        *chain.from_iterable(_calendar(name, calendar, day) for name, calendar in config.calendars.items()),
        *chain.from_iterable(_one_of(config, route, day) for route in config.routes if route.one_of),
        *chain.from_iterable(_never_matches(config, route) for route in config.routes),
        *_shadowed(config),
        *_without_effect(config),
        *_edits(config),
        *_untold(config),
    )


def _empty(config: Config) -> Iterator[Problem]:
    if not config.sources:
        yield Problem("[[source]]", "none is configured, so every caller is refused; add one for each sender")
    if not config.routes:
        yield Problem("[[route]]", "none is configured, so every study waits as a dead letter; add one")


def _open_sources(config: Config) -> Iterator[Problem]:
    with_tls = config.ingress.tls.listen if config.ingress.tls else ()
    is_open = not all(address.is_loopback for address in config.ingress.listen)
    is_open_with_tls = not all(address.is_loopback for address in with_tls)
    for source in config.sources:
        if source.certificate or source.hosts:
            continue
        if is_open:
            text = "is missing, so any machine that knows the AE title may send; name its addresses"
            yield at("source", source.name, "hosts", text)
        elif is_open_with_tls:
            text = "is missing, so whoever has any certificate of [ingress.tls] ca may send; name its certificate"
            yield at("source", source.name, "certificate", text)


def _times(config: Config) -> Iterator[Problem]:
    for destination in config.destinations:
        give_up = destination.retry.give_up
        if give_up < _SHORTEST_GIVE_UP:
            text = f'{write_duration(give_up)} is under 72h, which a long weekend outlasts; write "3d" or more'
            yield at("destination", destination.name, "retry.give_up", text)
    follow = config.relay.follow
    for section, retention in (("spool", config.spool.retention), ("ledger", config.ledger.retention)):
        if retention < follow:
            text = (
                f"{write_duration(retention)} is shorter than relay.follow, {write_duration(follow)}; keep it as long"
            )
            yield within(section, "retention", text)


def _calendar(name: str, calendar: Calendar, today: date) -> Iterator[Problem]:
    doubled = overlaps([Calendar(open=(window,)) for window in calendar.open])
    if doubled:
        yield at("calendar", name, "open", f"windows overlap on {doubled}; make them meet instead")
    years = {day.year for day in (*calendar.closed_on, *calendar.also_open_on)}
    if today.year + 1 not in years and not _always_open(calendar):
        text = f"no holiday is listed for {today.year + 1}; add them here or to also_open_on"
        yield at("calendar", name, "closed_on", text)


def _always_open(calendar: Calendar) -> bool:
    week = (date(2001, 1, 1) + timedelta(days=n) for n in range(7))
    return not calendar.closed_on and all(len(open_minutes(calendar, day)) == MINUTES_PER_DAY for day in week)


def _one_of(config: Config, route: Route, today: date) -> Iterator[Problem]:
    if len(route.one_of) == 1 or all(candidate.as_backup == "never" for candidate in route.one_of):
        text = 'has no backup, so its studies wait when the candidate fails; add another with as_backup = "always"'
        yield at("route", route.name, "one_of", text)
    if any(candidate.during is None for candidate in route.one_of):
        return
    calendars = [config.calendars[candidate.during] for candidate in route.one_of if candidate.during]
    if uncovered := gaps(calendars, today):
        stands_in = any(candidate.as_backup == "always" for candidate in route.one_of)
        then = 'a candidate with as_backup = "always" takes over' if stands_in else "studies wait"
        yield at("route", route.name, "one_of", f"nobody covers {uncovered}, when {then}; extend a calendar")
    if doubled := overlaps(calendars, today):
        text = f"more than one candidate is open on {doubled}, when the first listed gets all; separate the calendars"
        yield at("route", route.name, "one_of", text)


def _never_matches(config: Config, route: Route) -> Iterator[Problem]:
    sources, called = (_patterns(route.match.get(key)) or ("*",) for key in ("source", "called"))
    titles = [t for s in config.sources if any(fits(p, s.name) for p in sources) for t in s.called]
    if titles and not any(title == "*" or fits(pattern, title) for title in titles for pattern in called):
        text = f"no such source may call {', '.join(map(shown, called))}, so the route never matches; it may call"
        yield at("route", route.name, "match.called", f"{text} {', '.join(map(shown, dict.fromkeys(titles)))}")
    for key, asked in route.match.items():
        for pattern in _patterns(asked):
            if key not in RELAY_KEYS and vr_of(key.rpartition(".")[2]) == "CS" and pattern != pattern.upper():
                text = f"{shown(pattern)} never matches, {key} is always upper case; write {shown(pattern.upper())}"
                yield at("route", route.name, f"match.{key}", text)


def _patterns(asked: object) -> tuple[str, ...]:
    return asked if isinstance(asked, tuple) else ()


def _shadowed(config: Config) -> Iterator[Problem]:
    for index, route in enumerate(config.routes):
        for earlier in config.routes[:index]:
            if earlier.last and is_wider(earlier.match, route.match):
                text = f"never matches, because {earlier.name!r} above takes all of its studies and is last; move it up"
                yield Problem(f"route {route.name!r}", text)
                break


def _without_effect(config: Config) -> Iterator[Problem]:
    later = "has no effect in this version"
    for route in config.routes:
        if not route.one_of and (idle := [key for key in _OF_ONE_OF if key in route.model_fields_set]):
            yield at("route", route.name, ", ".join(idle), "without effect, because there is no one_of; remove it")
    for name, profile in config.profiles.items():
        for option in profile.options:
            if option in _REMOVED_ANYWAY:
                text = f"{option} {later}: the elements are removed, as in the basic profile, which is stricter"
                yield at("profile", name, "options", text)


def _edits(config: Config) -> Iterator[Problem]:
    used = {route.towards(name).edit for route in config.routes for name in route.destinations}
    for name, edit in config.edits.items():
        if name not in used:
            yield Problem(f"edit {name!r}", "no route uses it; name it in one, or remove it")
        if not edit.remove and not list(edit.addresses()):
            yield Problem(f"edit {name!r}", "changes nothing; add set, copy, replace, lookup or remove")


def _untold(config: Config) -> Iterator[Problem]:
    """Occasions that nobody is told of, and notifiers that never have an occasion."""
    told = {occasion for notify in config.notify for occasion in notify.on}
    times = (
        ("destination_down", "alert_after", [it.name for it in config.destinations if it.alert_after]),
        ("late", "accepted_within", [it.name for it in config.routes if it.accepted_within]),
    )
    for occasion, key, names in times:
        section = "destination" if key == "alert_after" else "route"
        if occasion not in told:
            for name in names:
                text = f'is said by `dcmrelay status` only; a [[notify]] with on = ["{occasion}"] tells a person'
                yield at(section, name, key, text)
        elif not names:
            yield Problem("[[notify]]", f"{occasion} never happens, no {section} has {key}; add it where it matters")
