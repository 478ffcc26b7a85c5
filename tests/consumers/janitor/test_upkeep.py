"""After each sweep: room is kept, the forecast is told; once a day orphans are looked for and a report is written."""

import math
import shutil
from collections import namedtuple
from collections.abc import Callable
from datetime import timedelta

import pytest

from consumers.janitor import upkeep
from consumers.janitor.slow import look_once_a_day
from consumers.janitor.sweep import sweep
from consumers.janitor.upkeep import Upkeep
from dcmrelay import looking
from shared import metrics
from shared.spool.damage import note_damage
from shared.spool.parts import read_part
from tests.consumers.bench import ALL, RELAY, Bench, bench, data_set
from tests.shared.spool.examples import delivered, routed

Disk = namedtuple("Disk", "total used free")
GB = 10**9
Free = Callable[[int], None]


@pytest.fixture
def relay(tmp_path) -> Bench:  # type: ignore[no-untyped-def]
    relay = bench(tmp_path)
    relay.configure(RELAY.replace('min_free = "1MB"', 'min_free = "10GB"') + ALL)
    return relay


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Free:
    """Says how many bytes of the disk are free."""

    def say(size: int) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda _: Disk(200 * GB, 200 * GB - size, size))

    say(100 * GB)
    return say


def finished(relay: Bench, study: str) -> str:
    part = relay.part(data_set(1, study=study), study=study)
    found = read_part(relay.spool, part)
    assert found is not None
    delivered(relay.spool, *routed(relay.spool, found, "archive"))
    sweep(relay.spool, relay.config.hash)
    return part


def test_a_filling_disk_is_foretold_by_metric_and_status(
    relay: Bench, free: Free, capsys: pytest.CaptureFixture[str]
) -> None:
    ours, left = Upkeep(relay.spool, relay.config), 100 * GB
    for _ in range(13):
        free(left)
        ours.tend()
        relay.now += timedelta(minutes=10)
        left -= GB
    assert metrics.value("dcmrelay_spool_filling_bytes_per_second") == pytest.approx(GB / 600)
    assert metrics.value("dcmrelay_spool_full_in_seconds") == pytest.approx(78 * 600)
    assert looking.status(relay.config, json=False) == 1
    assert "88.0 GB free, full in about 13 h" in capsys.readouterr().out


def test_a_disk_that_does_not_fill_is_never_full(relay: Bench, free: Free) -> None:
    ours = Upkeep(relay.spool, relay.config)
    for _ in range(5):
        ours.tend()
        relay.now += timedelta(minutes=10)
    assert metrics.value("dcmrelay_spool_full_in_seconds") == math.inf


def test_finished_parts_go_before_their_time_only_while_the_disk_is_short(
    relay: Bench, free: Free, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "RETENTION_SECONDS", 0)
    part, ours = finished(relay, "1.1"), Upkeep(relay.spool, relay.config)
    ours.tend()
    assert read_part(relay.spool, part) is not None
    free(10 * GB)
    ours.tend()
    assert read_part(relay.spool, part) is None


def test_a_damaged_file_needs_a_person(relay: Bench, free: Free, capsys: pytest.CaptureFixture[str]) -> None:
    part = finished(relay, "1.1")
    note_damage(relay.spool, part, relay.manifest(part).instances[0].file, 0)
    assert looking.status(relay.config, json=False) == 1
    said = capsys.readouterr().out
    assert "1 stored file damaged on disk" in said
    assert f"`dcmrelay show {part[:10]}`" in said


def test_once_a_day_there_is_a_report_and_a_look_for_orphans(relay: Bench) -> None:
    finished(relay, "1.1")
    relay.now += timedelta(days=1)
    assert look_once_a_day(relay.spool, relay.config)
    assert not look_once_a_day(relay.spool, relay.config)
    assert (relay.config.relay.data_dir / "reports/2026-03-04.txt").exists()
    assert metrics.value("dcmrelay_unexplained") == 0
