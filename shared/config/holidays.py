"""Dates from an iCalendar file (RFC 5545): the all-day events of the holiday calendars that authorities publish.

Reads one file when the configuration is loaded; the dates stand in the configuration's snapshot, so that a file that
changes later changes nothing that was decided.
"""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from shared.config.values import shown

SUFFIX = ".ics"
LAST_YEAR = 2049  # events without an end are listed until then
_LARGEST_BYTES, _MOST_DATES, _LONGEST_DAYS = 1 << 20, 5000, 366
_ONE_DAY = timedelta(days=1)


def read_days(path: Path) -> tuple[date, ...]:
    """Return the dates of a file's all-day events, sorted, each once; cancelled events are left out.

    Args:
        path: the file.

    Raises:
        ValueError: it cannot be read, or an event is not one of whole days; says what to do.
    """
    events = _events(path)
    days: set[date] = set()
    for event in events:
        days.update(_days_of(event, path.name))
        if len(days) > _MOST_DATES:
            raise ValueError(f"{shown(path.name)} lists more than {_MOST_DATES} dates; take old events out of it")
    if not days:
        raise ValueError(f"{shown(path.name)} holds no event of a whole day; export the calendar of holidays again")
    return tuple(sorted(days))


def _events(path: Path) -> list[Any]:
    from icalendar import Calendar  # slow to import, and most configurations name no file

    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_BYTES + 1)
    except OSError as error:
        raise ValueError(f"{shown(str(path))} cannot be read ({error.strerror}); name a file that is there") from None
    if len(content) > _LARGEST_BYTES:
        raise ValueError(f"{shown(path.name)} is longer than 1 MB; name a calendar of holidays")
    try:
        return list(Calendar.from_ical(content).walk("VEVENT"))
    except Exception:  # noqa: BLE001  (parser boundary)
        raise ValueError(f"{shown(path.name)} is not an iCalendar file; export the calendar again") from None


def _days_of(event: Any, file: str) -> Iterator[date]:
    if str(event.get("STATUS", "")).upper() == "CANCELLED":
        return
    try:
        first, length = _span(event)
        excluded, starts = _dates(event, "EXDATE"), [*_starts(event, first), *_dates(event, "RDATE")]
    except Exception:  # noqa: BLE001  (parser boundary)
        text = "has an event without whole days, or with a rule that cannot be read; keep all-day events only"
        raise ValueError(f"{shown(file)} {text}") from None
    for start in starts:
        if start not in excluded:
            yield from (start + n * _ONE_DAY for n in range(length))


def _span(event: Any) -> tuple[date, int]:
    """Return the first day and how many; DTEND is the day after the last, if any. Source: RFC 5545 3.6.1."""
    first = _whole_day(event["DTSTART"].dt)
    end = event.get("DTEND")
    length: int = (_whole_day(end.dt) - first).days if end is not None else event.duration.days
    if not 1 <= length <= _LONGEST_DAYS:
        raise ValueError("no days")
    return first, length


def _starts(event: Any, first: date) -> Iterator[date]:
    from dateutil.rrule import rrulestr

    rule = event.get("RRULE")
    if rule is None:
        yield first
        return
    if isinstance(rule, list):
        raise TypeError("several rules")
    occurrences = rrulestr(rule.to_ical().decode(), dtstart=datetime(first.year, first.month, first.day))  # noqa: DTZ001
    for moment in islice(occurrences, _MOST_DATES):
        if moment.year > LAST_YEAR:
            return
        yield moment.date()


def _dates(event: Any, key: str) -> list[date]:
    found = event.get(key, [])
    return [_whole_day(it.dt) for entry in (found if isinstance(found, list) else [found]) for it in entry.dts]


def _whole_day(value: object) -> date:
    if isinstance(value, datetime) or not isinstance(value, date) or not 1900 <= value.year < 2200:
        raise TypeError("not a date")
    return value
