"""Calendars on the clock: a table over two years and four zones against a plain oracle, and what holds for all."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.calendar import ALWAYS, changes, hours, hours_on, next_opening, open_between
from shared.config.coverage import open_minutes
from shared.config.rules import Calendar
from shared.config.windows import Window, parse_window

LISBON = ZoneInfo("Europe/Lisbon")
# Half an hour of daylight saving; a gap at midnight; none at all and a quarter of an hour off.
ZONES = ("Europe/Lisbon", "Australia/Lord_Howe", "America/Santiago", "Asia/Kathmandu")
FROM, UNTIL = datetime(2026, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)
CLOSED, OPENED = ("2026-04-05", "2026-12-25", "2027-01-01"), ("2026-12-26", "2027-03-28")
MINUTE = timedelta(minutes=1)
WALL = [f"{minute // 60:02}:{minute % 60:02}" for minute in range(1440)]


def calendar(*windows: str, closed: tuple[str, ...] = (), opened: tuple[str, ...] = ()) -> Calendar:
    return Calendar(
        open=tuple(map(parse_window, windows)),
        closed_on=tuple(map(date.fromisoformat, closed)),
        also_open_on=tuple(map(date.fromisoformat, opened)),
    )


MIXED = calendar("mon-fri 07:43-20:00", "fri-sat 22:15-01:35", "sun 00:30-03:00", closed=CLOSED, opened=OPENED)


def oracle(wall: str, weekday: int, today: str, yesterday: str) -> bool:
    """MIXED, written out by hand over the text of the wall clock."""
    if today in OPENED:
        return True
    if weekday in (5, 6) and wall < "01:35" and yesterday not in CLOSED:
        return True
    if today in CLOSED:
        return False
    return (
        (weekday < 5 and "07:43" <= wall < "20:00")
        or (weekday in (4, 5) and wall >= "22:15")
        or (weekday == 6 and "00:30" <= wall < "03:00")
    )


@pytest.mark.parametrize("name", ZONES)
def test_for_two_years_it_is_open_at_every_minute_at_which_a_plain_reading_of_the_clock_says_so(name: str) -> None:
    zone, moment, is_open = ZoneInfo(name), FROM, hours(MIXED, FROM, ZoneInfo(name)).is_open
    turns = {it: hours(MIXED, it, zone).is_open for it in changes([MIXED], FROM, UNTIL, zone)}
    day, today, yesterday = date.min, "", ""
    while moment < UNTIL:
        local = moment.astimezone(zone)
        is_open = turns.get(moment, is_open)
        if local.date() != day:
            day, today, yesterday = local.date(), str(local.date()), str(local.date() - timedelta(days=1))
        expected = oracle(WALL[local.hour * 60 + local.minute], day.weekday(), today, yesterday)
        assert is_open is expected, local
        moment += MINUTE


@pytest.mark.parametrize(
    ("window", "moment", "is_open"),
    [
        # Lisbon, 2026-03-29: 01:00 WET is 02:00 WEST, at 01:00 UTC.
        ("sun 00:30-01:30", "2026-03-29T00:59", True),
        ("sun 00:30-01:30", "2026-03-29T01:00", False),
        ("sun 01:30-03:00", "2026-03-29T00:59", False),
        ("sun 01:30-03:00", "2026-03-29T01:00", True),
        ("sun 01:15-01:45", "2026-03-29T01:00", False),
        # Lisbon, 2026-10-25: 02:00 WEST is 01:00 WET, at 01:00 UTC; 01:00 to 02:00 comes twice.
        ("sun 01:15-01:45", "2026-10-25T00:15", True),
        ("sun 01:15-01:45", "2026-10-25T00:45", False),
        ("sun 01:15-01:45", "2026-10-25T01:15", True),
        ("sun 01:15-01:45", "2026-10-25T01:45", False),
        ("sat 20:00-01:30", "2026-10-25T01:29", True),
    ],
)
def test_where_the_clock_is_put_the_clock_on_the_wall_decides(window: str, moment: str, is_open: bool) -> None:
    assert hours(calendar(window), datetime.fromisoformat(moment + "+00:00"), LISBON).is_open is is_open


@pytest.mark.parametrize(
    ("at", "is_open", "why"),
    [
        ("2026-12-24T19:59", True, "mon,tue,wed,thu,fri 07:43-20:00"),
        ("2026-12-24T20:00", False, "outside its windows"),
        ("2026-12-25T12:00", False, "2026-12-25 is in closed_on"),
        ("2026-12-26T12:00", True, "2026-12-26 is in also_open_on"),
        ("2026-12-27T01:00", True, "fri,sat 22:15-01:35"),
        ("2027-01-01T23:00", False, "2027-01-01 is in closed_on"),
        ("2027-01-02T01:00", False, "outside its windows"),
    ],
)
def test_a_calendar_says_why_it_is_open_or_closed(at: str, is_open: bool, why: str) -> None:
    found = hours(MIXED, datetime.fromisoformat(at).replace(tzinfo=LISBON), LISBON)
    assert (found.is_open, found.why) == (is_open, why)


def test_without_a_calendar_it_is_always_open() -> None:
    assert hours(None, FROM, LISBON) == ALWAYS
    assert list(changes([None], FROM, FROM + timedelta(days=1), LISBON)) == [FROM + timedelta(days=1)]


@pytest.mark.parametrize(
    ("after", "opening"),
    [
        ("2026-12-24T20:00", "2026-12-26T00:00"),
        ("2026-06-19T20:00", "2026-06-19T22:15"),
        ("2026-06-21T03:00", "2026-06-22T07:43"),
        ("2026-06-22T06:00:30", "2026-06-22T07:43"),
    ],
)
def test_the_next_opening_is_found_to_the_minute(after: str, opening: str) -> None:
    found = next_opening([MIXED], datetime.fromisoformat(after).replace(tzinfo=LISBON), LISBON)
    assert found == datetime.fromisoformat(opening).replace(tzinfo=LISBON)


def test_a_calendar_that_does_not_open_within_a_year_has_no_next_opening() -> None:
    assert next_opening([calendar("mon 08:00-09:00", closed=tuple(mondays()))], FROM, LISBON) is None


def mondays() -> list[str]:
    return [str(date(2026, 1, 5) + timedelta(weeks=n)) for n in range(70)]


SOME_DAYS = st.dates(date(2026, 3, 1), date(2026, 4, 30))
WINDOWS = st.builds(
    lambda days, start, length: Window(tuple(sorted(days)), start, start + length),
    st.sets(st.integers(0, 6), min_size=1),
    st.integers(0, 1439),
    st.integers(1, 1440),
)
CALENDARS = st.builds(
    lambda windows, closed, opened: Calendar(open=tuple(windows), closed_on=tuple(closed), also_open_on=tuple(opened)),
    st.lists(WINDOWS, min_size=1, max_size=3),
    st.lists(SOME_DAYS, max_size=4),
    st.lists(SOME_DAYS, max_size=2),
)


@settings(deadline=None)
@given(CALENDARS, SOME_DAYS)
def test_every_minute_of_a_day_is_open_or_closed_for_one_reason_that_the_calendar_holds(
    one: Calendar, day: date
) -> None:
    told = [hours_on(one, day, minute) for minute in range(1440)]
    assert {minute for minute, it in enumerate(told) if it.is_open} == open_minutes(one, day)
    opens = {str(window) for window in one.open} | {f"{day} is in also_open_on"}
    closes = {"outside its windows", f"{day} is in closed_on"}
    assert all(it.why in (opens if it.is_open else closes) for it in told)


@settings(deadline=None)
@given(CALENDARS, st.integers(0, 58 * 1440), st.sampled_from(ZONES))
def test_between_two_changes_nothing_changes(one: Calendar, minutes: int, name: str) -> None:
    zone, after = ZoneInfo(name), datetime(2026, 3, 1, tzinfo=UTC) + minutes * MINUTE
    turns, until = set(changes([one], after, after + timedelta(days=1), zone)), after + timedelta(days=1)
    before, moment = hours(one, after, zone).is_open, after + MINUTE
    while moment <= until:
        now = hours(one, moment, zone).is_open
        assert now is before or moment in turns
        before, moment = now, moment + MINUTE


@given(
    start=st.integers(0, 729 * 1440),
    minutes=st.integers(0, 3000),
    zone=st.sampled_from(ZONES),
)
@settings(max_examples=40)
def test_the_time_a_calendar_is_open_is_the_sum_of_its_open_minutes(start: int, minutes: int, zone: str) -> None:
    since, there = FROM + start * MINUTE, ZoneInfo(zone)
    until = since + minutes * MINUTE
    counted = sum(hours(MIXED, since + n * MINUTE, there).is_open for n in range(minutes))
    assert open_between(MIXED, since, until, there) == counted * MINUTE


def test_without_a_calendar_all_time_is_open_and_none_between_a_moment_and_an_earlier_one() -> None:
    assert open_between(None, FROM, UNTIL, LISBON) == UNTIL - FROM
    assert open_between(None, UNTIL, FROM, LISBON) == open_between(MIXED, UNTIL, FROM, LISBON) == timedelta(0)
