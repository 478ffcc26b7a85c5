"""What is over is deleted after a while, in steps that may be repeated; nothing else ever is."""

import json
import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from consumers.janitor.retention import expire
from consumers.janitor.sweep import sweep
from shared.errors import SupersededError
from shared.forms import rendition_id
from shared.outcomes import Done, Held
from shared.spool import states
from shared.spool.closing import close_part, late_id
from shared.spool.deliveries import order_to_json
from shared.spool.parts import Part, read_manifest, read_part
from shared.spool.removal import REMOVED, has_begun
from shared.spool.renditions import output_name, put_proofs
from shared.spool.spool import Spool
from tests.shared.spool.examples import (
    CONFIG,
    FORM,
    NOW,
    STUDY,
    Clock,
    Killed,
    Steps,
    closed,
    damage,
    delivered,
    hold,
    new_spool,
    order_for,
    put_instance,
    routed,
    settle,
)

RETENTION = timedelta(days=7)
LONG_AFTER = NOW + RETENTION + timedelta(days=2)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def spool(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Spool:
    monkeypatch.setattr(os, "fsync", lambda _: None)
    return new_spool(tmp_path / "spool", clock)


def finished(spool: Spool, study: str = STUDY) -> tuple[Part, list[str]]:
    """A part that was delivered as received and de-identified, and noted as done."""
    part = closed(spool, f"{study}.1", f"{study}.2", study=study)
    deliveries = routed(spool, part, "archive", "research", form=FORM)
    rendition = rendition_id(part.id, FORM)
    spool.store.put_new(output_name(rendition, 0), b"de-identified")
    put_proofs(spool, part.id, FORM, 0, [])
    delivered(spool, *deliveries)
    sweep(spool, CONFIG)
    return part, deliveries


def left(spool: Spool) -> list[str]:
    """Every name in the spool."""
    root = spool.store.root
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def add_late(spool: Spool, part: Part, uid: str) -> str:
    """An instance that missed the part's closing; id of its late part, which waits."""
    put_instance(spool, part, uid)
    return close_part(spool, part, config=CONFIG)[-1]


def test_a_finished_part_goes_after_its_retention_and_leaves_a_tombstone(spool: Spool, clock: Clock) -> None:
    part, deliveries = finished(spool)
    clock.now = NOW + RETENTION
    assert expire(spool, RETENTION) == 0
    clock.now = LONG_AFTER
    assert expire(spool, RETENTION) == 1
    assert left(spool) == [f"tombstones/{part.id}.json"]
    epitaph = spool.read_json(f"tombstones/{part.id}.json")
    assert epitaph is not None
    told = {unit: [account["n"] for account in accounts] for unit, accounts in epitaph.pop("units").items()}
    assert told == {part.id: [0, 1, 2, 3], deliveries[0]: [0, 1, 2], deliveries[1]: [0, 1, 2]}
    assert epitaph == {
        "part": part.id,
        "source": "ct-1",
        "opened_at": NOW.isoformat(),
        "removed_at": LONG_AFTER.isoformat(),
        "outcome": "routed",
        "instances": 2,
        "duplicates": 0,
        "deliveries": [
            {"id": delivery, "destination": name, "outcome": "delivered", "counts": {"delivered": 2}}
            for delivery, name in zip(deliveries, ("archive", "research"), strict=True)
        ],
    }
    assert "CANARY" not in json.dumps(spool.read_json(f"tombstones/{part.id}.json"))


@pytest.mark.parametrize("unfinished", ["waits", "is held", "has no decision"])
def test_nothing_of_an_unfinished_part_is_deleted(spool: Spool, clock: Clock, unfinished: str) -> None:
    part = closed(spool)
    if unfinished != "has no decision":
        first, second = routed(spool, part, "archive", "research")
        delivered(spool, first)
        if unfinished == "is held":
            hold(spool, second)
    spool.store.put_new(f"done/2026-03-04/{part.id}", b"")
    before = left(spool)
    clock.now = LONG_AFTER
    assert expire(spool, RETENTION) == 0
    assert left(spool) == before


def test_a_killed_deletion_is_finished_by_the_next(tmp_path: Path, clock: Clock, spool: Spool) -> None:
    kills = 0
    for k in range(1, 200):
        clock.now = NOW
        steps = Steps([])
        part, deliveries = finished(spool, study=f"1.{k}")
        bystander = closed(spool, study=f"9.{k}")
        clock.now = LONG_AFTER
        dying = new_spool(spool.store.root, clock, steps)
        steps.kill_at = k
        try:
            expire(dying, RETENTION)
        except Killed:
            kills += 1
        if spool.store.read(f"tombstones/{part.id}.json") is None:
            assert not any("delete" in step for step in steps.seen)
        expire(spool, RETENTION)
        assert [name for name in left(spool) if part.id in name] == [f"tombstones/{part.id}.json"]
        assert not any(delivery in name for delivery in deliveries for name in left(spool))
        assert read_manifest(spool, bystander.id) is not None
        if len(steps.seen) < k:
            break
    assert kills > 20
    assert spool.store.list("done") == []


def test_a_part_noted_on_two_days_is_deleted_once(spool: Spool, clock: Clock) -> None:
    part, _ = finished(spool)
    spool.store.put_new(f"done/2026-03-05/{part.id}", b"")
    clock.now = LONG_AFTER + timedelta(days=1)
    expire(spool, RETENTION)
    assert left(spool) == [f"tombstones/{part.id}.json"]


def test_a_part_stays_while_instances_of_a_late_part_lie_in_it(spool: Spool, clock: Clock) -> None:
    part, _ = finished(spool)
    late = add_late(spool, part, f"{STUDY}.3")
    clock.now = LONG_AFTER
    assert expire(spool, RETENTION) == 0
    assert has_bytes(spool, late)


def test_a_part_stays_until_the_last_of_its_late_parts_is_over(spool: Spool, clock: Clock) -> None:
    part, _ = finished(spool)
    first = add_late(spool, part, f"{STUDY}.3")
    second = add_late(spool, part, f"{STUDY}.4")
    assert (first, second) == (late_id(part.id, 1), late_id(part.id, 2))
    finish_late(spool, first)
    clock.now = LONG_AFTER
    for _ in range(3):
        expire(spool, RETENTION)
    assert read_part(spool, first) is None
    assert has_bytes(spool, second)
    finish_late(spool, second)
    clock.now += RETENTION + timedelta(days=2)
    for _ in range(2):
        expire(spool, RETENTION)
    assert left(spool) == sorted(f"tombstones/{it}.json" for it in (part.id, first, second))


def finish_late(spool: Spool, late: str) -> None:
    found = read_part(spool, late)
    assert found is not None
    delivered(spool, *routed(spool, found, "archive"))
    sweep(spool, CONFIG)


def has_bytes(spool: Spool, part_id: str) -> bool:
    manifest = read_manifest(spool, part_id)
    return manifest is not None and all(spool.store.read(instance.file) for instance in manifest.instances)


@pytest.mark.parametrize("name", ["00000002.json", "decision.json", "manifest.json", "part.json"])
def test_a_damaged_record_keeps_its_part_and_blocks_no_other(spool: Spool, clock: Clock, name: str) -> None:
    parts = [finished(spool, study=f"1.{k}")[0] for k in range(3)]
    damaged = min(parts, key=lambda part: part.id)
    damage(spool, f"parts/{damaged.id}/{name}")
    clock.now = LONG_AFTER
    assert expire(spool, RETENTION) == 2
    assert len(spool.store.list(f"parts/{damaged.id}/instances")) == 2


def test_a_folder_that_is_no_day_is_passed_over(spool: Spool, clock: Clock) -> None:
    part, _ = finished(spool)
    spool.store.put_new("done/notes/x", b"")
    clock.now = LONG_AFTER
    assert expire(spool, RETENTION) == 1
    assert left(spool) == ["done/notes/x", f"tombstones/{part.id}.json"]


def ordered_again(spool: Spool, part_id: str) -> bool:
    """Whether a person could order a finished part once more: by the part's next record, as `resend` does."""
    state = spool.parts.newest(part_id)
    if state is None or (state.status, state.outcome) != ("final", "routed"):
        return False
    try:
        spool.parts.append(part_id, replace(state, n=state.n + 1, status="waiting", outcome="", at=spool.now()))
    except SupersededError:
        return False
    return True


def test_a_part_whose_removal_has_begun_cannot_be_sent_again(spool: Spool, clock: Clock) -> None:
    part, deliveries = finished(spool)
    clock.now = LONG_AFTER
    steps = Steps([], kill_at=3)
    with pytest.raises(Killed):
        expire(new_spool(spool.store.root, clock, steps), RETENTION)
    assert has_begun(spool, part.id)
    assert steps.seen[1] == f"after parts/{part.id}/00000003.json"
    state = spool.parts.newest(part.id)
    assert state is not None
    assert (state.status, state.outcome) == ("final", REMOVED)
    assert not ordered_again(spool, part.id)
    expire(spool, RETENTION)
    assert not ordered_again(spool, part.id)
    assert spool.deliveries.newest(deliveries[0]) is None


def test_who_wants_a_part_again_first_stops_its_removal(spool: Spool, clock: Clock) -> None:
    part, _ = finished(spool)
    clock.now = LONG_AFTER
    assert ordered_again(spool, part.id)
    clock.now += RETENTION * 9
    assert expire(spool, RETENTION) == 0
    assert has_bytes(spool, part.id)
    settle(spool, part.id, Done(outcome="routed"))
    assert expire(spool, RETENTION) == 0
    clock.now += RETENTION
    assert expire(spool, RETENTION) == 1


def test_a_part_wanted_again_at_any_step_of_its_removal_is_kept_whole_or_refused(spool: Spool, clock: Clock) -> None:
    outcomes = []
    for k in range(1, 12):
        clock.now = NOW
        part, _ = finished(spool, study=f"1.{k}")
        clock.now = LONG_AFTER
        steps = Steps([])

        def wanting(what: str, steps: Steps = steps, k: int = k, part: Part = part) -> None:
            steps(what)
            if len(steps.seen) == k:
                outcomes.append(ordered_again(spool, part.id))

        expire(new_spool(spool.store.root, clock, wanting), RETENTION)
        assert has_bytes(spool, part.id) if outcomes[-1] else read_part(spool, part.id) is None
        if outcomes[-1]:
            settle(spool, part.id, Done(outcome="routed"))
        clock.now += RETENTION * 2
        expire(spool, RETENTION)
    assert outcomes == [True] + [False] * 10


def test_work_made_of_a_part_behind_its_back_stops_its_removal_too(spool: Spool, clock: Clock) -> None:
    part, [first, _] = finished(spool)
    clock.now = LONG_AFTER

    def reopening(what: str) -> None:
        if what == f"after parts/{part.id}/00000003.json":
            state = spool.deliveries.newest(first)
            assert state is not None
            spool.deliveries.append(first, states.released(state, now=clock.now, by="ann", why="lost over there"))

    assert expire(new_spool(spool.store.root, clock, reopening), RETENTION) == 0
    assert not has_begun(spool, part.id)
    assert has_bytes(spool, part.id)


def test_retention_counts_from_the_last_delivery_that_became_final(spool: Spool, clock: Clock) -> None:
    part = closed(spool)
    first, second = routed(spool, part, "archive", "research")
    delivered(spool, first)
    clock.now = LONG_AFTER
    delivered(spool, second)
    spool.store.put_new(f"done/2026-03-04/{part.id}", b"")
    assert expire(spool, RETENTION) == 0
    clock.now += RETENTION
    assert expire(spool, RETENTION) == 1


def test_the_oldest_finished_parts_go_first_while_the_disk_is_short(spool: Spool, clock: Clock) -> None:
    parts = []
    for k in range(4):
        parts.append(finished(spool, study=f"1.{k}")[0].id)
        clock.pass_by(hours=20)
    waiting = closed(spool, study="9.1")
    routed(spool, waiting, "archive")
    assert expire(spool, RETENTION, lambda: len(spool.store.list("tombstones")) < 2) == 2
    assert [read_part(spool, part) is None for part in parts] == [True, True, False, False]
    assert expire(spool, RETENTION, lambda: True) == 2
    assert has_bytes(spool, waiting.id)


def test_a_discarded_part_goes_though_its_deliveries_were_never_made(spool: Spool, clock: Clock) -> None:
    part = closed(spool)
    decision = {"config": CONFIG, "routes": ["all"], "deliveries": [order_to_json(order_for(part.id))]}
    spool.put_json(f"parts/{part.id}/decision.json", decision)
    settle(spool, part.id, Held("broken", "bug"))
    held = spool.parts.newest(part.id)
    assert held is not None
    spool.parts.append(part.id, states.discarded(held, now=clock(), by="ann", why="not wanted"))
    sweep(spool, CONFIG)
    clock.now = LONG_AFTER
    assert expire(spool, RETENTION) == 1
    assert not has_bytes(spool, part.id)
