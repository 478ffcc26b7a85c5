"""Dates of calendars from iCalendar files, as authorities publish them."""

from pathlib import Path

import pytest

from shared.config import Config, parse
from shared.config.holidays import read_days
from tests.shared.config.examples import SMALL

EVENT = "BEGIN:VEVENT\r\nUID:{n}\r\nSUMMARY:x\r\n{lines}END:VEVENT\r\n"


def ics(path: Path, *events: str) -> Path:
    told = "".join(
        EVENT.format(n=n, lines="".join(f"{line}\r\n" for line in event.split())) for n, event in enumerate(events)
    )
    path.write_text(f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\n{told}END:VCALENDAR\r\n")
    return path


@pytest.mark.parametrize(
    ("event", "first", "count"),
    [
        ("DTSTART;VALUE=DATE:20261225", "2026-12-25", 1),
        ("DTSTART;VALUE=DATE:20261225 DTEND;VALUE=DATE:20261226", "2026-12-25", 1),
        ("DTSTART;VALUE=DATE:20261224 DTEND;VALUE=DATE:20261227", "2026-12-24", 3),
        ("DTSTART;VALUE=DATE:20261225 DURATION:P2D", "2026-12-25", 2),
        ("DTSTART;VALUE=DATE:20261225 RRULE:FREQ=YEARLY", "2026-12-25", 24),
        ("DTSTART;VALUE=DATE:20261225 RRULE:FREQ=YEARLY;COUNT=3", "2026-12-25", 3),
        ("DTSTART;VALUE=DATE:20261225 RRULE:FREQ=YEARLY;UNTIL=20281231", "2026-12-25", 3),
        ("DTSTART;VALUE=DATE:20261225 RRULE:FREQ=YEARLY;COUNT=3 EXDATE;VALUE=DATE:20261225", "2027-12-25", 2),
        ("DTSTART;VALUE=DATE:20261225 RDATE;VALUE=DATE:20261228,20261230", "2026-12-25", 3),
        ("DTSTART;VALUE=DATE:20261126 RRULE:FREQ=YEARLY;BYMONTH=11;BYDAY=4TH;COUNT=2", "2026-11-26", 2),
    ],
)
def test_an_all_day_event_gives_its_dates(tmp_path: Path, event: str, first: str, count: int) -> None:
    days = read_days(ics(tmp_path / "h.ics", event))
    assert (str(days[0]), len(days)) == (first, count)


def test_a_cancelled_event_gives_none(tmp_path: Path) -> None:
    events = ("DTSTART;VALUE=DATE:20261225", "DTSTART;VALUE=DATE:20261226 STATUS:CANCELLED")
    assert list(map(str, read_days(ics(tmp_path / "h.ics", *events)))) == ["2026-12-25"]


@pytest.mark.parametrize(
    ("event", "remedy"),
    [
        ("DTSTART:20261225T080000Z", "keep all-day events only"),
        ("DTSTART:tomorrow", "keep all-day events only"),
        ("DTSTART;VALUE=DATE:20261225 DTEND;VALUE=DATE:20261201", "keep all-day events only"),
        ("DTSTART;VALUE=DATE:20261225 RRULE:FREQ=NEVER", "keep all-day events only"),
        ("DTSTART;VALUE=DATE:20261225 STATUS:CANCELLED", "holds no event of a whole day"),
        ("", "keep all-day events only"),
    ],
)
def test_an_event_that_names_no_whole_day_is_refused(tmp_path: Path, event: str, remedy: str) -> None:
    with pytest.raises(ValueError, match=remedy):
        read_days(ics(tmp_path / "h.ics", event))


@pytest.mark.parametrize("content", [b"", b"closed at Christmas", b"BEGIN:VCALENDAR", b"\xff\xfe\x00"])
def test_a_file_that_is_no_calendar_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "h.ics").write_bytes(content)
    with pytest.raises(ValueError, match="is not an iCalendar file"):
        read_days(tmp_path / "h.ics")


def test_a_rule_that_never_ends_is_cut_short(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="more than 5000 dates"):
        read_days(ics(tmp_path / "h.ics", "DTSTART;VALUE=DATE:20261225 RRULE:FREQ=DAILY",
                      "DTSTART;VALUE=DATE:19000101 RRULE:FREQ=DAILY"))  # fmt: skip
    every_minute = ics(tmp_path / "m.ics", "DTSTART;VALUE=DATE:20261225 RRULE:FREQ=MINUTELY")
    assert len(read_days(every_minute)) < 10


CALENDAR = '[relay]\ntimezone = "UTC"\n[calendar.c]\nopen = ["mon 08:00-09:00"]\n'


def test_a_calendar_takes_dates_and_files_in_one_list(tmp_path: Path) -> None:
    ics(tmp_path / "h.ics", "DTSTART;VALUE=DATE:20261225", "DTSTART;VALUE=DATE:20261226")
    config = parse(SMALL + CALENDAR + 'closed_on = ["2027-01-01", "h.ics"]\nalso_open_on = ["2026-12-26"]', tmp_path)
    assert list(map(str, config.calendars["c"].closed_on)) == ["2027-01-01", "2026-12-25", "2026-12-26"]


def test_a_configuration_is_decided_under_as_its_calendar_files_were_then(tmp_path: Path) -> None:
    path = ics(tmp_path / "h.ics", "DTSTART;VALUE=DATE:20261225")
    config = parse(SMALL + CALENDAR + 'closed_on = ["h.ics"]', tmp_path)
    path.unlink()
    assert Config.from_snapshot(config.snapshot()) == config
