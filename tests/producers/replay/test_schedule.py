"""Rates and due times."""

from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest

from producers.replay.schedule import due_times, parse_rate

_DAY = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "apart"),
    [("10/min", timedelta(seconds=6)), ("2/s", timedelta(seconds=0.5)), ("500/h", timedelta(seconds=7.2))],
)
def test_a_rate_is_the_time_between_two(text: str, apart: timedelta) -> None:
    assert parse_rate(text) == apart


@pytest.mark.parametrize("text", ["", "10", "0/min", "-1/s", "10/d", "10 / min", "ten/min", "1.5/s", "9999999/s"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="such as"):
        parse_rate(text)


def test_due_times_are_that_far_apart_and_without_a_rate_there_are_none() -> None:
    minute = timedelta(minutes=1)
    assert list(islice(due_times(_DAY, minute), 3)) == [_DAY, _DAY + minute, _DAY + 2 * minute]
    assert list(islice(due_times(_DAY, None), 2)) == [None, None]
