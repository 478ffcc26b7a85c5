"""Which minutes the calendars of several candidates leave open to nobody, or to more than one.

No I/O, no clock, no globals. Minutes of the clock on the wall; daylight saving is not looked at.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from datetime import date, timedelta

from shared.config.rules import Calendar
from shared.config.windows import DAYS, MINUTES_PER_DAY, Window, spans_of

Minutes = frozenset[int]

_MONDAY = date(2001, 1, 1)
_ONE_DAY = timedelta(days=1)
_WHOLE_DAY = frozenset(range(MINUTES_PER_DAY))
_DATES_SHOWN = 10


def open_minutes(calendar: Calendar, day: date) -> Minutes:
    """Return the minutes of a day, 0 to 1439, in which a calendar is open; the tail of the night before included."""
    if day in calendar.also_open_on:
        return _WHOLE_DAY
    today = {m for w in _starting(calendar, day) for m in range(w.start, min(w.end, MINUTES_PER_DAY))}
    night = {m for w in _starting(calendar, day - _ONE_DAY) for m in range(max(w.end - MINUTES_PER_DAY, 0))}
    return frozenset(today | night)


def _starting(calendar: Calendar, day: date) -> list[Window]:
    if day in calendar.closed_on:
        return []
    return [window for window in calendar.open if day.weekday() in window.days]


def gaps(calendars: Sequence[Calendar], since: date = date.min) -> str:
    """Return when none of the calendars is open, as "sat,sun 08:00-20:00; 2026-12-25 08:00-20:00"; "" for never.

    Args:
        calendars: at least one.
        since: dates that are listed before it are not looked at.
    """
    return _when(calendars, since, lambda opened: _WHOLE_DAY.difference(*opened))


def overlaps(calendars: Sequence[Calendar], since: date = date.min) -> str:
    """Return when more than one of the calendars is open, in the same form."""
    return _when(calendars, since, _doubled)


def _doubled(opened: list[Minutes]) -> Minutes:
    return frozenset(minute for minute, times in Counter(m for o in opened for m in o).items() if times > 1)


def _when(calendars: Sequence[Calendar], since: date, choose: Callable[[list[Minutes]], Minutes]) -> str:
    """Return when `choose` finds minutes: in a week without holidays, and on listed dates beyond that."""
    plain = [Calendar(open=calendar.open) for calendar in calendars]
    week = [choose([open_minutes(c, _MONDAY + n * _ONE_DAY) for c in plain]) for n in range(7)]
    days_of: dict[str, list[str]] = defaultdict(list)
    for name, minutes in zip(DAYS, week, strict=True):
        days_of[spans_of(minutes)].append(name)

    def special(day: date) -> str:
        return spans_of(choose([open_minutes(c, day) for c in calendars]) - week[day.weekday()])

    found = [f"{','.join(days)} {spans}" for spans, days in days_of.items() if spans]
    dates = [f"{day} {spans}" for day in _special_days(calendars) if day >= since and (spans := special(day))]
    more = [f"{len(dates) - _DATES_SHOWN} more dates"] if len(dates) > _DATES_SHOWN else []
    return "; ".join([*found, *dates[:_DATES_SHOWN], *more])


def _special_days(calendars: Sequence[Calendar]) -> list[date]:
    """Return the dates that calendars list, and the days after, which lack the tail of a closed night."""
    listed = {day for calendar in calendars for day in (*calendar.closed_on, *calendar.also_open_on)}
    return sorted(listed | {day + _ONE_DAY for day in listed})
