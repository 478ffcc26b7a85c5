"""Calendar windows: "mon-fri 08:00-20:00" as days and minutes, and which minutes of a day they open.

No I/O, no clock, no globals. All times are the clock on the wall; what daylight saving does to them is not known here.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from shared.config.values import did_you_mean, shown

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MINUTES_PER_DAY = 1440

_TIMES = re.compile(r"(?P<start>[0-9]{2}:[0-9]{2})-(?P<end>[0-9]{2}:[0-9]{2})")
_WINDOW = re.compile(r"(?P<days>[a-z,-]+) +(?P<start>[0-9]{2}:[0-9]{2})-(?P<end>[0-9]{2}:[0-9]{2})")


@dataclass(frozen=True)
class Window:
    """A span of minutes that opens on some days of the week.

    Args:
        days: 0 Monday to 6 Sunday, sorted; the days it starts on.
        start: minutes after midnight, 0 to 1439.
        end: minutes after midnight of the day it starts on, `start` + 1 to `start` + 1440; above 1440 it runs over
            midnight and still belongs to the day it starts on.
    """

    days: tuple[int, ...]
    start: int
    end: int

    def __str__(self) -> str:
        end = self.end if self.end <= MINUTES_PER_DAY else self.end - MINUTES_PER_DAY
        return f"{','.join(DAYS[day] for day in self.days)} {clock(self.start)}-{clock(end)}"


def clock(minute: int) -> str:
    """Return minutes after midnight as "08:30"."""
    return f"{minute // 60:02}:{minute % 60:02}"


def parse_window(text: str) -> Window:
    """Return "mon-fri 08:00-20:00" as a window; "20:00-08:00" runs over midnight, "00:00-24:00" is the whole day.

    Raises:
        ValueError: says what to write instead.
    """
    found = _WINDOW.fullmatch(text)
    if found is None:
        raise ValueError(f'{shown(text)} is not a window; write days and times, such as "mon-fri 08:00-20:00"')
    start, end = _minute(found["start"], text), _minute(found["end"], text)
    if start == MINUTES_PER_DAY:
        raise ValueError(f"{shown(text)} starts at 24:00; write 00:00 of the next day")
    if start == end:
        raise ValueError(f'{shown(text)} opens for no minute; for the whole day write "00:00-24:00"')
    return Window(_days(found["days"], text), start, end if end > start else end + MINUTES_PER_DAY)


@dataclass(frozen=True)
class Times:
    """A span of the day in minutes after midnight, without `end`; over midnight when `end` is smaller."""

    start: int
    end: int

    def covers(self, minute: int) -> bool:
        """Whether a minute of the day, 0 to 1439, lies in it."""
        within = self.start <= minute, minute < self.end
        return all(within) if self.start < self.end else any(within)


@lru_cache(maxsize=256)
def parse_times(text: str) -> Times:
    """Return "20:00-08:00" as a span of the day.

    Raises:
        ValueError: says what to write instead.
    """
    found = _TIMES.fullmatch(text)
    if found is None:
        raise ValueError(f'{shown(text)} is not a time of day from and to; write for example "20:00-08:00"')
    start, end = _minute(found["start"], text), _minute(found["end"], text)
    if start in (MINUTES_PER_DAY, end):
        raise ValueError(f'{shown(text)} holds no minute; write for example "20:00-08:00"')
    return Times(start, end)


@lru_cache(maxsize=256)
def parse_days(text: str) -> tuple[str, ...]:
    """Return "sat-sun" or "mon,wed" as the names of days, in the order of the week.

    Raises:
        ValueError: says what to write instead.
    """
    return tuple(DAYS[day] for day in _days(text, text))


def _minute(text: str, window: str) -> int:
    hours, minutes = int(text[:2]), int(text[3:])
    if minutes > 59 or hours * 60 + minutes > MINUTES_PER_DAY:
        raise ValueError(f"{shown(window)}: {text} is not a time of day, 00:00 to 24:00")
    return hours * 60 + minutes


def _days(text: str, window: str) -> tuple[int, ...]:
    chosen: set[int] = set()
    for span in text.split(","):
        first, _, last = span.partition("-")
        begin = _day(first, window)
        length = (_day(last, window) - begin) % 7 if "-" in span else 0
        chosen.update((begin + n) % 7 for n in range(length + 1))
    return tuple(sorted(chosen))


def _day(text: str, window: str) -> int:
    if text not in DAYS:
        raise ValueError(f"{shown(window)}: {shown(text)} is not one of {', '.join(DAYS)}{did_you_mean(text, DAYS)}")
    return DAYS.index(text)


def spans_of(minutes: Iterable[int]) -> str:
    """Return minutes of one day as "00:00-08:00, 20:00-24:00"; empty for none."""
    chosen = set(minutes)
    starts = sorted(minute for minute in chosen if minute - 1 not in chosen)
    ends = sorted(minute + 1 for minute in chosen if minute + 1 not in chosen)
    return ", ".join(f"{clock(start)}-{clock(end)}" for start, end in zip(starts, ends, strict=True))
