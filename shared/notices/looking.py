"""Looks at a spool for all that is wrong now: gathers what the rules of `troubles` ask for."""

import shutil
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from shared.calendar import hours
from shared.config import Config
from shared.notices import troubles
from shared.notices.happened import of_happenings
from shared.notices.troubles import Disk, Trouble
from shared.spool.pauses import newest_pause
from shared.spool.spool import Spool
from shared.spool.trend import bytes_per_second, full_in
from shared.spool.units import Unit


def free_since(spool: Spool, config: Config) -> Mapping[str, datetime | None]:
    """By destination, since when something may go to it; None while it may not: it is paused, or outside `send_during`.

    Those that were never paused are left out while something may go to them.
    """
    found: dict[str, datetime | None] = {}
    now, zone = spool.now(), ZoneInfo(config.relay.timezone)
    for destination in config.destinations:
        calendar = config.calendars[destination.send_during] if destination.send_during else None
        if not hours(calendar, now, zone).is_open:
            found[destination.name] = None
            continue
        pause = newest_pause(spool, destination.name)
        if pause is not None and pause.paused:
            ended = pause.until is not None and spool.lapsed(pause.until)
            found[destination.name] = pause.until if ended else None
        elif pause is not None:
            found[destination.name] = pause.at
    return found


def late(spool: Spool, config: Config, unfinished: Iterable[Unit]) -> dict[str, dict[str, datetime]]:
    """Late parts by route, as `troubles.late_parts`; costs nothing when no route has `accepted_within`."""
    timed = [route for route in config.routes if route.accepted_within]
    places = {name for route in timed for name in route.destinations}
    units = [it for it in unfinished if it.order.get("destination") in places and not it.order.get("optional")]
    names = {route.name for route in timed}
    parts = {str(it.order["part"]) for it in units}
    first = {part: outline for part in parts if (outline := spool.parts.outline(part)) is not None}
    closed = {part: outline.made_at for part, outline in first.items()}
    # A delivery that another route decided first may be one of these routes' as well.
    shared = {str(it.order["part"]) for it in units if it.order.get("route") not in names}
    routes = {part: tuple((_decision(spool, part)).get("routes", ())) for part in shared}
    return troubles.late_parts(units, config, closed, routes, spool.now())


def disk_of(spool: Spool, config: Config) -> Disk:
    """How much room there is, and when there will be none."""
    free, floor = shutil.disk_usage(spool.store.root).free, config.ingress.min_free
    return Disk(free=free, min_free=floor, full_in=full_in(free, floor, bytes_per_second(spool)))


def all_troubles(
    spool: Spool,
    config: Config,
    unfinished: list[Unit],
    free: Mapping[str, datetime | None],
    *,
    refused: bool = False,
) -> list[Trouble]:
    """Everything that is wrong, or happened, and was not forgotten.

    Args:
        spool: the spool.
        config: the configuration in force.
        unfinished: outlines of all unfinished parts and deliveries, dead letters among them.
        free: as `free_since` says.
        refused: what the file says is not in force.

    Raises:
        StorageError: the disk refused.
        ValueError: a record that is needed cannot be read.
    """
    now = spool.now()
    return [
        *troubles.of_dead_letters(unfinished),
        *troubles.of_commitments(unfinished),
        *troubles.of_destinations(unfinished, config, free, now),
        *troubles.of_late(late(spool, config, unfinished)),
        *troubles.of_stuck(unfinished, now),
        *troubles.of_disk(disk_of(spool, config), now),
        *troubles.of_configuration(now, refused=refused),
        *of_happenings(spool),
    ]


def _decision(spool: Spool, part: str) -> Mapping[str, Any]:
    return spool.read_json(f"parts/{part}/decision.json") or {}
