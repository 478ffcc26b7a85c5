"""The benchmark itself: what it makes of figures, the studies it generates, and one small comparison."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydicom import dcmread

from shared.spool.states import State
from tests.bench.__main__ import page
from tests.bench.ingest import ingest
from tests.bench.relay import span
from tests.bench.rounds import by_turns
from tests.bench.rows import Goal, Row, goals, row_to_json, spread, table
from tests.bench.sizes import QUICK
from tests.bench.store import facts_of
from tests.bench.studies import CT, multi_frame, study

RATES = Row(
    section="ingest", what="CT", unit="/s", ours=[400, 500, 600], name="Orthanc", theirs=[200, 200, 200],
    better="higher", goal=Goal(name="ingest", at_least=2),
)  # fmt: skip
FLAT = Goal(name="flat", at_most=1.05)


def test_a_ratio_says_how_many_times_better_ours_is() -> None:
    seconds = replace(RATES, unit="s", ours=[1, 2, 3], theirs=[4, 4, 4], better="lower")
    growth = replace(RATES, unit="ms", ours=[1.2, 1.0, 1.1], theirs=[1, 1, 1], better=None, goal=FLAT)
    assert (RATES.ratios, RATES.verdict) == ([2, 2.5, 3], "passed")
    assert (seconds.ratios, seconds.verdict) == ([4, 2, pytest.approx(4 / 3)], "passed")
    assert (growth.ratios, growth.verdict) == ([1.2, 1.0, 1.1], "missed")
    assert replace(RATES, goal=None).verdict == ""


def test_the_table_is_aligned_and_its_json_says_what_follows() -> None:
    lines = table([RATES, replace(RATES, what="a longer name", goal=None)]).splitlines()
    assert {len(line) for line in lines} == {len(lines[0])}
    assert "500 (400–600) /s" in lines[2]
    assert lines[2].endswith("| 2.5 (2–3) | ≥ 2  | passed |")
    assert (row_to_json(RATES)["ratio"], row_to_json(RATES)["goal"]) == (2.5, "≥ 2")
    assert spread([0.01234]) == "0.0123 (0.0123–0.0123)"


def test_competitors_run_by_turns() -> None:
    order: list[str] = []

    def run(name: str) -> float:
        order.append(name)
        return len(order)

    values = by_turns("test", 3, {"A": lambda: run("A"), "B": lambda: run("B")})
    assert values == {"A": [1, 4, 5], "B": [2, 3, 6]}
    assert "".join(order) == "ABBAAB"


def test_generated_studies_are_proper_dicom_with_new_uids_each_time(tmp_path: Path) -> None:
    first, second = ([dcmread(file) for file in study(tmp_path, CT, 2, studies=2)] for _ in range(2))
    assert [len(ds.PixelData) for ds in second] == [512 * 512 * 2] * 4
    assert len({ds.SOPInstanceUID for ds in first + second}) == 8
    assert len({ds.StudyInstanceUID for ds in first + second}) == 4
    assert [ds.file_meta.MediaStorageSOPInstanceUID for ds in second] == [ds.SOPInstanceUID for ds in second]
    assert all(ds.SOPInstanceUID.is_valid and ds.StudyInstanceUID.is_valid for ds in second)


def test_the_multi_frame_instance_has_all_its_frames(tmp_path: Path) -> None:
    file = multi_frame(tmp_path, 3)
    ds = dcmread(file)
    assert (int(ds.NumberOfFrames), len(ds.PixelData)) == (3, 3 * 512 * 512 * 2)
    assert [fact.sop_instance_uid for fact in facts_of([file])] == [ds.SOPInstanceUID]


def test_the_time_of_a_stage_is_from_its_claim_to_its_end() -> None:
    start = datetime(2026, 3, 4, tzinfo=UTC)
    steps = [("render", "waiting"), ("render", "working"), ("send", "waiting"), ("send", "working"), ("send", "final")]
    records = [
        State(n=n, stage=stage, status=status, at=start + timedelta(seconds=n * n))  # type: ignore[arg-type]
        for n, (stage, status) in enumerate(steps)
    ]
    assert span(records, "send") == 16 - 9


def test_a_small_ingest_is_measured_against_every_peer(tmp_path: Path) -> None:
    rows = list(ingest(tmp_path, replace(QUICK, rounds=1, ct=2, mr=2, stock=2)))
    assert {row.name for row in rows} == {"tuned Orthanc", "tuned storescp", "stock Orthanc", "stock storescp"}
    assert all(row.ratios[0] > 0 for row in rows)


def test_a_goal_says_its_bounds() -> None:
    assert (Goal(name="", at_least=0.9).text, Goal(name="", at_most=1.1).text) == ("≥ 0.9", "≤ 1.1")
    assert Goal(name="", at_least=0.9, at_most=1.1).is_met(1.0)


def test_each_goal_is_one_line_that_says_what_was_reached_at_worst_and_at_best() -> None:
    slow = replace(RATES, ours=[300, 300, 300])
    flat = replace(RATES, ours=[1, 1, 1], theirs=[1, 1, 1], better=None, goal=FLAT)
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in goals([RATES, slow, flat]).splitlines()]
    assert lines[2:] == [["ingest", "≥ 2", "1.5 to 2.5", "missed in 1 of 2 rows"], ["flat", "≤ 1.05", "1", "passed"]]
    assert len(goals([replace(RATES, goal=None)]).splitlines()) == 2


def test_what_is_printed_is_a_page_that_says_the_machine_and_how_to_repeat_it() -> None:
    text = page([RATES], {"processor": "a good one, 2 cores"}, arguments=["--only", "ingest"], seconds=90, load="0.5")
    assert text.startswith('Measured with `make bench ARGS="--only ingest"` in 1.5 minutes')
    assert "\n* processor: a good one, 2 cores\n" in text
    assert text.count("| ingest ") == 2
