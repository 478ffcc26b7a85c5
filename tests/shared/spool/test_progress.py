"""When a destination last answered with success."""

from datetime import timedelta
from pathlib import Path

import pytest

from shared.errors import StorageError
from shared.spool.progress import SPAN, Progress, last_progress
from shared.spool.spool import Spool
from tests.shared.spool.examples import Clock

SECOND = timedelta(seconds=1)


def test_progress_is_told_to_within_a_few_seconds_and_never_too_early(tmp_path: Path) -> None:
    clock = Clock()
    spool = Spool(tmp_path, clock=clock)
    assert last_progress(spool, "archive") is None
    progress = Progress(spool, "archive")
    for _ in range(40):
        clock.now += 0.9 * SECOND
        progress.note()
        told = last_progress(spool, "archive")
        assert told == clock.now
    noted = clock.now
    clock.now += timedelta(minutes=5)
    told = last_progress(spool, "archive")
    assert told is not None
    assert noted <= told <= noted + SPAN
    assert len(spool.store.list("progress/archive")) <= 3
    assert last_progress(spool, "reading") is None


def test_a_clock_that_was_set_back_makes_nobody_get_on(tmp_path: Path) -> None:
    clock = Clock()
    spool = Spool(tmp_path, clock=clock)
    Progress(spool, "archive").note()
    clock.now -= timedelta(hours=2)
    assert last_progress(spool, "archive") is None


def test_a_full_disk_stops_no_sender(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> bool:
        raise StorageError("No space left on device")

    spool = Spool(tmp_path, clock=Clock())
    monkeypatch.setattr(spool.store, "put_new", refuse)
    Progress(spool, "archive").note()
    assert last_progress(spool, "archive") is None
