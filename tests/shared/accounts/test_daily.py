"""A report of yesterday, once a day, at six in the relay's own time."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from shared.accounts.daily import due, is_on, write_report
from tests.shared.spool.examples import Clock, closed, delivered, new_spool, routed

LISBON, TOKYO = ZoneInfo("Europe/Lisbon"), ZoneInfo("Asia/Tokyo")


@pytest.mark.parametrize(("now", "zone", "day"), [
    (datetime(2026, 3, 4, 5, 59, tzinfo=UTC), LISBON, None),
    (datetime(2026, 3, 4, 6, 0, tzinfo=UTC), LISBON, date(2026, 3, 3)),
    (datetime(2026, 7, 4, 5, 0, tzinfo=UTC), LISBON, date(2026, 7, 3)),
    (datetime(2026, 3, 3, 22, 0, tzinfo=UTC), TOKYO, date(2026, 3, 3)),
])  # fmt: skip
def test_it_is_due_from_six_in_the_relays_time_zone(tmp_path: Path, now: datetime, zone: ZoneInfo, day: date) -> None:
    assert due(now, zone, tmp_path) == day


def test_a_day_is_counted_in_the_relays_time_zone() -> None:
    moment = datetime(2026, 3, 3, 20, 0, tzinfo=UTC)
    assert [is_on(date(2026, 3, day), TOKYO)(moment) for day in (3, 4)] == [False, True]
    assert is_on(None, TOKYO)(moment)


def test_a_report_is_written_in_three_forms_and_then_is_not_due(tmp_path: Path) -> None:
    clock, folder = Clock(), tmp_path / "reports"
    spool = new_spool(tmp_path / "spool", clock)
    delivered(spool, *routed(spool, closed(spool), "archive"))
    clock.now += timedelta(days=1)
    closed(spool, study="1.9")
    day = due(clock.now, LISBON, folder)
    assert day == date(2026, 3, 4)
    write_report(spool, day, LISBON, folder)
    assert sorted(path.name for path in folder.iterdir()) == [f"2026-03-04.{it}" for it in ("html", "json", "txt")]
    said = json.loads((folder / "2026-03-04.json").read_text(encoding="utf-8"))
    assert (said["explained"], said["sources"][0]["received"]) == (True, 1)
    assert "Everything is explained." in (folder / "2026-03-04.txt").read_text(encoding="utf-8")
    assert due(clock.now, LISBON, folder) is None
