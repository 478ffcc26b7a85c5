from datetime import date

import pytest

from shared.config.coverage import gaps, open_minutes, overlaps
from shared.config.rules import Calendar
from shared.config.windows import Window, parse_window, spans_of


def _calendar(*windows: str, closed_on: tuple[date, ...] = (), also_open_on: tuple[date, ...] = ()) -> Calendar:
    return Calendar(open=tuple(map(parse_window, windows)), closed_on=closed_on, also_open_on=also_open_on)


FRIDAY = date(2026, 12, 25)
SATURDAY = date(2026, 12, 26)


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("mon-fri 08:00-20:00", Window((0, 1, 2, 3, 4), 480, 1200)),
        ("mon-sun 20:00-08:00", Window((0, 1, 2, 3, 4, 5, 6), 1200, 1920)),
        ("sat,sun 00:00-24:00", Window((5, 6), 0, 1440)),
        ("fri-mon 10:00-11:00", Window((0, 4, 5, 6), 600, 660)),
        ("tue 20:00-00:00", Window((1,), 1200, 1440)),
    ],
)
def test_a_window_is_days_and_minutes(text: str, window: Window) -> None:
    assert parse_window(text) == window
    assert parse_window(str(window)) == window


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("08:00-20:00", "write days and times"),
        ("mon-fri 8:00-20:00", "write days and times"),
        ("mon-fir 08:00-20:00", "'fir' is not one of"),
        ("mon 08:00-08:00", "for the whole day"),
        ("mon 24:00-08:00", "write 00:00 of the next day"),
        ("mon 08:60-20:00", "08:60 is not a time of day"),
        ("mon 08:00-24:01", "24:01 is not a time of day"),
        ("mon- 08:00-20:00", "'' is not one of"),
    ],
)
def test_a_window_that_is_none_is_refused_with_a_remedy(text: str, remedy: str) -> None:
    with pytest.raises(ValueError, match=remedy):
        parse_window(text)


def test_a_night_belongs_to_the_day_it_starts_on() -> None:
    night = _calendar("fri 20:00-08:00")
    assert spans_of(open_minutes(night, FRIDAY)) == "20:00-24:00"
    assert spans_of(open_minutes(night, SATURDAY)) == "00:00-08:00"


def test_a_closed_day_keeps_the_tail_of_the_night_before() -> None:
    night = _calendar("mon-sun 20:00-08:00", closed_on=(FRIDAY,))
    assert spans_of(open_minutes(night, FRIDAY)) == "00:00-08:00"
    assert spans_of(open_minutes(night, SATURDAY)) == "20:00-24:00"


def test_a_day_that_is_also_open_is_open_from_midnight_to_midnight() -> None:
    office = _calendar("mon-thu 08:00-20:00", also_open_on=(FRIDAY,))
    assert spans_of(open_minutes(office, FRIDAY)) == "00:00-24:00"


def test_calendars_that_meet_leave_no_gap_and_no_overlap() -> None:
    both = [_calendar("mon-fri 08:00-20:00"), _calendar("mon-sun 20:00-08:00", "sat-sun 08:00-20:00")]
    assert gaps(both) == ""
    assert overlaps(both) == ""


def test_a_gap_of_the_week_is_named_by_day_and_time() -> None:
    both = [_calendar("mon-fri 08:00-20:00"), _calendar("mon-sun 20:00-08:00")]
    assert gaps(both) == "sat,sun 08:00-20:00"


def test_a_holiday_that_only_one_calendar_knows_is_a_gap_on_that_date() -> None:
    office = _calendar("mon-fri 08:00-20:00", closed_on=(FRIDAY,))
    night = _calendar("mon-sun 20:00-08:00", "sat-sun 08:00-20:00")
    assert gaps([office, night]) == "2026-12-25 08:00-20:00"


def test_a_holiday_that_only_the_stand_in_knows_is_an_overlap_on_that_date() -> None:
    office = _calendar("mon-fri 08:00-20:00")
    night = _calendar("mon-sun 20:00-08:00", "sat-sun 08:00-20:00", also_open_on=(FRIDAY,))
    assert overlaps([office, night]) == "2026-12-25 08:00-20:00"
