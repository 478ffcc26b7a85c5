"""When each of many goes on: due times, so many per minute. No I/O, no clock, no globals."""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import count

_RATE = re.compile(r"(?P<number>[0-9]{1,6})/(?P<unit>s|min|h)")
_UNITS = {"s": timedelta(seconds=1), "min": timedelta(minutes=1), "h": timedelta(hours=1)}


def parse_rate(text: str) -> timedelta:
    """The time between two of `10/min`, `2/s`, `500/h`.

    Raises:
        ValueError: it is none; says what to write.
    """
    found = _RATE.fullmatch(text)
    if found is None or not int(found["number"]):
        raise ValueError('a rate is a number above 0 and /s, /min or /h, such as "10/min"')
    return _UNITS[found["unit"]] / int(found["number"])


def due_times(start: datetime, apart: timedelta | None) -> Iterator[datetime | None]:
    """When the first is due, the second, and so on; None for at once.

    Args:
        start: when the first is.
        apart: between two; None: all at once.
    """
    yield from (None if apart is None else start + k * apart for k in count())
