"""When a calendar is open, and for which one reason it is open or closed.

No I/O, no clock, no globals but the list of time zones. The clock on the wall decides: a moment is open when its wall
clock time in the zone is. So where daylight saving begins, minutes that the clock skips never come: a window that
starts among them opens when the clock has jumped, and one that lies wholly among them does not open that day. Where it
ends, the hour that comes twice is open both times or closed both times. A window of the wall clock is never moved or
stretched to make up for it. Source: PEP 495 for the two readings of a repeated hour.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from shared.config.rules import Calendar
from shared.config.windows import MINUTES_PER_DAY, Window

LOOKS_AHEAD = timedelta(days=400)
_ONE_DAY, _HOUR, _MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)


@dataclass(frozen=True, kw_only=True)
class Hours:
    """Whether a calendar is open at a minute, and why: the window or the date that says so."""

    is_open: bool
    why: str


ALWAYS = Hours(is_open=True, why="no calendar limits it")


def hours_on(calendar: Calendar, day: date, minute: int) -> Hours:
    """Whether a calendar is open at a minute of the wall clock.

    A date of `also_open_on` comes first, then the windows of the day before that run over midnight, then `closed_on`,
    then the windows of the day.

    Args:
        calendar: the calendar.
        day: the date on the wall.
        minute: minutes after midnight on the wall, 0 to 1439.
    """
    if day in calendar.also_open_on:
        return Hours(is_open=True, why=f"{day} is in also_open_on")
    before = day - _ONE_DAY
    if before not in calendar.closed_on and (window := _found(calendar, before, minute + MINUTES_PER_DAY)):
        return Hours(is_open=True, why=str(window))
    if day in calendar.closed_on:
        return Hours(is_open=False, why=f"{day} is in closed_on")
    if window := _found(calendar, day, minute):
        return Hours(is_open=True, why=str(window))
    return Hours(is_open=False, why="outside its windows")


def _found(calendar: Calendar, day: date, minute: int) -> Window | None:
    """The first window that starts on a day and covers a minute counted from that day's midnight."""
    return next((w for w in calendar.open if day.weekday() in w.days and w.start <= minute < w.end), None)


def hours(calendar: Calendar | None, moment: datetime, zone: ZoneInfo) -> Hours:
    """Whether a calendar is open at a moment; None, no calendar, always is.

    Args:
        calendar: the calendar.
        moment: aware.
        zone: where the calendar's wall clock hangs.
    """
    if calendar is None:
        return ALWAYS
    local = moment.astimezone(zone)
    return hours_on(calendar, local.date(), local.hour * 60 + local.minute)


def next_opening(calendars: Iterable[Calendar | None], after: datetime, zone: ZoneInfo) -> datetime | None:
    """The first moment after one at which any of the calendars is open, to the minute; None within 400 days."""
    them = tuple(calendars)
    for moment in changes(them, after, after + LOOKS_AHEAD, zone):
        if any(hours(calendar, moment, zone).is_open for calendar in them):
            return moment
    return None


def open_between(calendar: Calendar | None, since: datetime, until: datetime, zone: ZoneInfo) -> timedelta:
    """How long of the time between two moments a calendar is open; zero when `until` is not later.

    Args:
        calendar: the calendar; None: always open.
        since: aware.
        until: aware.
        zone: where its wall clock hangs.
    """
    if calendar is None or until <= since:
        return max(until - since, timedelta(0))
    moments = [since, *changes((calendar,), since, until, zone), until]
    spans = (later - moment for moment, later in pairwise(moments) if hours(calendar, moment, zone).is_open)
    return sum(spans, timedelta(0))


def changes(
    calendars: Iterable[Calendar | None], after: datetime, until: datetime, zone: ZoneInfo
) -> Iterator[datetime]:
    """The moments, in order and in UTC, at which one of the calendars may open or close; between them none does.

    Args:
        calendars: the calendars; None has no moments.
        after: aware; only later moments are given.
        until: aware; the last moment that is given.
        zone: where their wall clocks hang.
    """
    windows = [window for calendar in calendars if calendar is not None for window in calendar.open]
    edges = {0, *(edge % MINUTES_PER_DAY for window in windows for edge in (window.start, window.end))}
    hour = after.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    while hour <= until:
        yield from (moment for moment in _edges_within(hour, edges, zone) if after < moment <= until)
        hour += _HOUR


def _edges_within(hour: datetime, edges: set[int], zone: ZoneInfo) -> list[datetime]:
    """The moments of an hour whose wall clock shows an edge; every minute of an hour in which the clock is put."""
    local = hour.astimezone(zone)
    if (hour - _MINUTE).astimezone(zone).utcoffset() != (hour + 59 * _MINUTE).astimezone(zone).utcoffset():
        return [hour + n * _MINUTE for n in range(60)]
    begin = local.hour * 60 + local.minute
    return [hour + n * _MINUTE for n in sorted((edge - begin) % MINUTES_PER_DAY for edge in edges) if n < 60]
