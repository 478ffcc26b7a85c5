"""Free bytes noted over hours tell when the disk will be full."""

from datetime import timedelta
from pathlib import Path

import pytest

from shared.spool import trend
from shared.spool.trend import bytes_per_second, full_in, note
from tests.shared.spool.examples import Clock, new_spool

GB = 10**9


@pytest.mark.parametrize(("per_hour", "hours"), [(10 * GB, 9), (0, None), (-GB, None), (1000, None)])
def test_a_disk_that_fills_is_full_in_so_many_hours(tmp_path: Path, per_hour: int, hours: int | None) -> None:
    clock = Clock()
    spool, free = new_spool(tmp_path, clock), 200 * GB
    for _ in range(30):
        note(spool, free)
        clock.now += timedelta(minutes=10)
        free -= per_hour // 6
    rate = bytes_per_second(spool)
    assert rate == pytest.approx(per_hour / 3600, abs=1)
    left = full_in(100 * GB, 10 * GB, rate)
    assert left == (None if hours is None else pytest.approx(timedelta(hours=hours), abs=timedelta(seconds=5)))


def test_notes_are_taken_every_few_minutes_and_old_ones_go(tmp_path: Path) -> None:
    clock = Clock()
    spool = new_spool(tmp_path, clock)
    for _ in range(600):
        note(spool, GB)
        clock.now += timedelta(minutes=1)
    assert len(spool.store.list("disk")) == trend.WINDOW // trend.EVERY + 1


def test_a_relay_that_has_just_started_forecasts_nothing(tmp_path: Path) -> None:
    spool = new_spool(tmp_path, Clock())
    assert bytes_per_second(spool) is None
    note(spool, GB)
    assert bytes_per_second(spool) is None
    assert full_in(GB, 0, None) is None


def test_a_clock_set_back_forgets_the_notes_of_the_future(tmp_path: Path) -> None:
    clock = Clock()
    spool = new_spool(tmp_path, clock)
    note(spool, GB)
    clock.now -= timedelta(days=1)
    note(spool, GB)
    assert len(spool.store.list("disk")) == 1
