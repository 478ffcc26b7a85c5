"""What is wrong now that a person may want to be told of. No I/O, no clock, no globals.

A trouble has members, each with the moment since when: dead letters, late parts. Who tells of it remembers the members.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from shared.calendar import open_between
from shared.config import Config, Occasion, Route
from shared.spool.commitments import COMMIT
from shared.spool.states import State
from shared.spool.units import Unit

STUCK_AFTER = timedelta(minutes=15)
"""Work inside the relay that nobody did for so long is stuck: its worker is missing or far behind."""
SOON_FULL = timedelta(hours=12)
_SHORT_BELOW = 1.1
_IDS_AT_MOST = 5
_HELP = {"route": "dcmrelay status", "render": "dcmrelay status"}


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """Something that is wrong now, or that happened.

    Args:
        occasion: which of those a [[notify]] may name.
        about: name of the destination, route or stage; empty: the relay.
        members: what it consists of, by a key that never comes again, and since when.
        facts: more for the message: counts, ids, seconds. No patient data.
        command: to type next.
    """

    occasion: Occasion
    about: str
    members: Mapping[str, datetime]
    command: str
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Disk:
    """How much room the spool has.

    Args:
        free: bytes.
        min_free: bytes, below which nothing is accepted.
        full_in: when that is reached by the trend of the last hours; None: never.
    """

    free: int
    min_free: int
    full_in: timedelta | None = None


def of_dead_letters(unfinished: Iterable[Unit]) -> Iterator[Trouble]:
    """One for each destination that has dead letters, and one for parts that were not routed."""
    groups: dict[str, list[Unit]] = defaultdict(list)
    for unit in unfinished:
        if unit.state.status == "held" and unit.state.stage != COMMIT:
            groups[str(unit.order.get("destination", ""))].append(unit)
    for destination, units in groups.items():
        classes = Counter(str(unit.state.dead_letter_class) for unit in units)
        yield Trouble(
            occasion="dead_letter",
            about=destination,
            members={f"{unit.id}.{unit.state.n}": unit.state.at for unit in units},
            command="dcmrelay dead list" + (f" --destination {destination}" if destination else ""),
            facts={"classes": dict(sorted(classes.items())), "ids": _ids(unit.id for unit in units)},
        )


def of_commitments(unfinished: Iterable[Unit]) -> Iterator[Trouble]:
    """One for each source whose requests for storage commitment could not be answered."""
    groups: dict[str, dict[str, datetime]] = defaultdict(dict)
    for unit in unfinished:
        if unit.state.status == "held" and unit.state.stage == COMMIT:
            groups[str(unit.order["source"])][f"{unit.id}.{unit.state.n}"] = unit.state.at
    for source, members in groups.items():
        ids = _ids(member.partition(".")[0] for member in members)
        command = f"dcmrelay dead show {ids[0][:10]}"
        yield Trouble(occasion="commitment", about=source, members=members, command=command, facts={"ids": ids})


def of_destinations(
    unfinished: Iterable[Unit], config: Config, free_since: Mapping[str, datetime | None], now: datetime
) -> Iterator[Trouble]:
    """One for each destination that has kept a delivery waiting for longer than its `alert_after`.

    Args:
        unfinished: deliveries among others.
        config: the configuration in force.
        free_since: by destination, when its pause ended; None: nothing may go now, so nothing is said of it. One that
            is not named was never paused. Time in which `send_during` is closed does not count.
        now: the time.
    """
    zone = ZoneInfo(config.relay.timezone)
    waits: dict[str, list[datetime]] = defaultdict(list)
    for unit in unfinished:
        if unit.state.stage in ("send", "verify") and unit.state.status in ("waiting", "working"):
            waits[str(unit.order["destination"])].append(waits_since(unit.state))
    for destination in config.destinations:
        name, limit = destination.name, destination.alert_after
        opened = free_since.get(name, datetime.min.replace(tzinfo=now.tzinfo))
        if limit is None or opened is None:
            continue
        oldest = max(min(waits[name], default=now), opened)
        calendar = config.calendars[destination.send_during] if destination.send_during else None
        if open_between(calendar, oldest, now, zone) > limit:
            yield Trouble(
                occasion="destination_down",
                about=name,
                members={"waits": oldest},
                command=f"dcmrelay test {name}",
                facts={"waiting": len(waits[name])},
            )


def waits_since(state: State) -> datetime:
    """Since when a unit waits for its stage; time until a due moment that a person set does not count."""
    if state.status == "working":
        return state.at if state.facts or state.since is None else state.since
    if state.tries and state.since is not None:
        return state.since
    return max(state.at, state.due or state.at)


def late_parts(
    unfinished: Iterable[Unit],
    config: Config,
    closed: Mapping[str, datetime],
    routes: Mapping[str, tuple[str, ...]],
    now: datetime,
) -> dict[str, dict[str, datetime]]:
    """By route, parts that not all of its destinations have accepted within its `accepted_within`, and since when.

    Args:
        unfinished: deliveries among others; an optional one makes nothing late, nor does one that is only verified.
        config: the configuration in force.
        closed: by part, when it was closed.
        routes: by part, all routes that wanted it; one delivery may be that of several.
        now: the time.
    """
    late: dict[str, dict[str, datetime]] = defaultdict(dict)
    for unit in unfinished:
        part = str(unit.order.get("part", ""))
        if part not in closed or unit.order.get("optional") or _is_accepted(unit.state):
            continue
        for route in config.routes:
            limit = route.accepted_within
            if limit and is_of_route(unit, route, routes.get(part, ())) and now > closed[part] + limit:
                late[route.name][part] = closed[part] + limit
    return late


def of_late(late: Mapping[str, Mapping[str, datetime]]) -> Iterator[Trouble]:
    """One for each route that has late parts."""
    for route, parts in late.items():
        command = f"dcmrelay show {next(iter(parts))[:10]}" if len(parts) == 1 else "dcmrelay status"
        yield Trouble(occasion="late", about=route, members=parts, command=command, facts={"ids": _ids(parts)})


def of_stuck(unfinished: Iterable[Unit], now: datetime) -> Iterator[Trouble]:
    """One for each stage inside the relay whose work nobody does."""
    stuck: dict[str, dict[str, datetime]] = defaultdict(dict)
    for unit in unfinished:
        if unit.state.stage in _HELP and unit.state.status in ("waiting", "working"):
            since = waits_since(unit.state)
            if now - since > STUCK_AFTER:
                stuck[unit.state.stage][unit.id] = since
    for stage, units in stuck.items():
        ids = _ids(units)
        yield Trouble(occasion="stuck", about=stage, members=units, command=_HELP[stage], facts={"ids": ids})


def of_disk(disk: Disk, now: datetime) -> Iterator[Trouble]:
    """One when modalities are about to be refused for want of room."""
    soon = disk.full_in is not None and disk.full_in < SOON_FULL
    if disk.free < disk.min_free * _SHORT_BELOW or soon:
        facts = {
            "free_bytes": disk.free,
            "min_free_bytes": disk.min_free,
            "full_in_seconds": None if disk.full_in is None else round(disk.full_in.total_seconds()),
        }
        yield Trouble(occasion="disk_low", about="", members={"low": now}, command="dcmrelay status", facts=facts)


def of_configuration(now: datetime, *, refused: bool) -> Iterator[Trouble]:
    """One while what the configuration file says is not in force, because it is refused."""
    if refused:
        yield Trouble(occasion="configuration", about="", members={"refused": now}, command="dcmrelay check")


def is_of_route(unit: Unit, route: Route, wanted_by: tuple[str, ...]) -> bool:
    """Whether a delivery is what a route asked for: by itself, or the same destination and profile as another did."""
    if unit.order.get("route") == route.name:
        return True
    form, destination = unit.order.get("form", {}), str(unit.order["destination"])
    towards = route.towards(destination)
    wanted = route.name in wanted_by and destination in route.destinations
    return wanted and (form.get("profile") or None, form.get("edit") or None) == (towards.profile, towards.edit)


def _is_accepted(state: State) -> bool:
    return state.status == "final" or (state.stage == "verify" and state.status != "held")


def _ids(units: Iterable[str]) -> list[str]:
    return sorted(units)[:_IDS_AT_MOST]
