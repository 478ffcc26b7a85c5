"""A sweep rings for what is due and for nothing else, and finishes what a crash left half finished."""

import os
from collections.abc import Iterable
from copy import copy
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest

from consumers.janitor import __main__ as janitor
from consumers.janitor.__main__ import ring_lost
from consumers.janitor.projection import Projection
from consumers.janitor.sweep import GRACE, ORPHANED_AFTER, Found, sweep
from consumers.janitor.upkeep import Upkeep
from shared.broker import Publisher
from shared.config import parse
from shared.errors import BrokerError, StorageError
from shared.messages import Bell, Ring
from shared.outcomes import Done, Next
from shared.service import Service
from shared.spool import states
from shared.spool.closing import close_part, late_id
from shared.spool.deliveries import marker
from shared.spool.parts import Manifest, Part, active_parts, is_closed, put_manifest, read_manifest
from shared.spool.runs import Run
from shared.spool.spool import Spool
from tests.shared.config.examples import ROUTE, SMALL
from tests.shared.spool.examples import (
    CONFIG,
    FORM,
    LEASE,
    NOW,
    STUDY,
    UNSEEN_OWNER,
    Clock,
    claim,
    closed,
    damage,
    dead_owner,
    delivered,
    fail,
    hold,
    new_spool,
    opened,
    order_for,
    put_instance,
    reads_of,
    routed,
    settle,
)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def spool(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Spool:
    monkeypatch.setattr(os, "fsync", lambda _: None)
    return new_spool(tmp_path, clock)


def rung(found: Found) -> dict[str, list[tuple[str, int]]]:
    """What was rung for, by key: id and record."""
    return {key: [(ring.bell.unit, ring.bell.n) for ring in rings] for key, rings in found.rings.items()}


def swept(spool: Spool) -> dict[str, list[tuple[str, int]]]:
    return rung(sweep(spool, CONFIG))


def quiet_for(spool: Spool, part: Part, time: timedelta, name: str = "instances") -> None:
    """Lets the last thing that happened to a part lie so far back."""
    at = (spool.now() - time).timestamp()
    os.utime(spool.store.path(f"parts/{part.id}/{name}"), (at, at))


def test_nothing_to_do_rings_for_nothing(spool: Spool) -> None:
    assert sweep(spool, CONFIG) == Found()


def test_a_closed_part_is_rung_for_once_its_bell_counts_as_lost(spool: Spool, clock: Clock) -> None:
    part = closed(spool)
    clock.now += GRACE * 0.99
    assert swept(spool) == {}
    clock.now += GRACE * 0.01
    found = sweep(spool, CONFIG)
    assert rung(found) == {"route": [(part.id, 0)]}
    assert found.rings["route"][0].journey == part.id
    assert found.parts_waiting == 1


@pytest.mark.parametrize(
    ("stage", "key"), [("send", "send.archive"), ("render", "render")], ids=["sender", "anonymizer"]
)
def test_a_delivery_is_rung_for_at_its_stage_under_its_newest_record(
    spool: Spool, clock: Clock, stage: str, key: str
) -> None:
    part = closed(spool)
    [delivery] = routed(spool, part, "archive", form=FORM)
    n = settle(spool, delivery, Next(stage)).n
    clock.now += GRACE
    found = sweep(spool, CONFIG)
    assert rung(found) == {key: [(delivery, n)]}
    assert found.rings[key][0].journey == part.id


def test_a_unit_that_waits_is_rung_for_when_its_wait_is_over(spool: Spool, clock: Clock) -> None:
    [delivery] = routed(spool, closed(spool), "archive")
    n = fail(spool, delivery).n
    due = spool.deliveries.newest(delivery)
    assert due is not None
    assert due.due is not None
    clock.now = due.due + GRACE * 0.99
    assert swept(spool) == {}
    clock.now = due.due + GRACE
    assert swept(spool) == {"send.archive": [(delivery, n)]}


@pytest.mark.parametrize(
    ("by", "after", "due"),
    [
        (None, timedelta(0), False),
        (None, LEASE, True),
        (UNSEEN_OWNER, LEASE * 0.99, False),
        (UNSEEN_OWNER, LEASE, True),
        (dead_owner(), timedelta(0), True),
    ],
    ids=["alive", "hung", "unseen", "unseen for long", "dead"],
)
def test_work_is_rung_for_when_its_owner_is_gone(
    spool: Spool, clock: Clock, by: str | None, after: timedelta, due: bool
) -> None:
    [delivery] = routed(spool, closed(spool), "archive")
    n = claim(spool, delivery, by).n
    clock.now += after
    assert swept(spool) == ({"send.archive": [(delivery, n)]} if due else {})


def test_a_dead_letter_is_counted_and_never_rung_for(spool: Spool, clock: Clock) -> None:
    part = closed(spool)
    held = hold(spool, part.id)
    [delivery] = routed(spool, closed(spool, study="1.9"), "archive")
    refused = hold(spool, delivery)
    clock.pass_by(days=3)
    found = sweep(spool, CONFIG)
    assert found.rings == {}
    assert found.dead == {"policy": {Bell(unit=part.id, n=held.n), Bell(unit=delivery, n=refused.n)}}
    assert (found.parts_waiting, found.waiting) == (0, {})


def test_waiting_deliveries_are_counted_by_destination_with_the_oldest(spool: Spool, clock: Clock) -> None:
    routed(spool, closed(spool), "archive", "reading")
    clock.pass_by(hours=1)
    [second] = routed(spool, closed(spool, study="1.9"), "archive")
    claim(spool, second)
    found = sweep(spool, CONFIG)
    assert found.waiting == {"archive": 2, "reading": 1}
    assert found.oldest == {"archive": NOW, "reading": NOW}


def test_a_delivery_killed_before_its_marker_went_is_no_longer_active(spool: Spool) -> None:
    first, second = routed(spool, closed(spool), "archive", "reading")
    delivered(spool, first)
    sweep(spool, CONFIG)
    assert spool.store.list("active/deliveries") == [second]


def test_a_marker_without_its_delivery_is_left_to_the_router(spool: Spool) -> None:
    spool.store.put_new(marker(order_for("p" + "1" * 32).id), b"")
    assert sweep(spool, CONFIG) == Found()
    assert len(spool.store.list("active/deliveries")) == 1


def test_a_part_is_finished_when_its_last_delivery_is(spool: Spool) -> None:
    part = closed(spool)
    first, second = routed(spool, part, "archive", "reading")
    delivered(spool, first)
    sweep(spool, CONFIG)
    assert list(active_parts(spool)) == [part.id]
    delivered(spool, second)
    sweep(spool, CONFIG)
    assert list(active_parts(spool)) == []
    assert spool.store.list("done/2026-03-04") == [part.id]


def test_an_open_part_whose_run_goes_on_is_left_to_it(spool: Spool, clock: Clock) -> None:
    part = opened(spool, f"{STUDY}.1", run=Run(spool).id)
    quiet_for(spool, part, ORPHANED_AFTER * 9)
    assert swept(spool) == {}
    assert not is_closed(spool, part.id)


def test_an_orphaned_part_is_closed_after_a_while(spool: Spool) -> None:
    part = opened(spool, f"{STUDY}.1", run="i0")
    quiet_for(spool, part, ORPHANED_AFTER * 0.99)
    assert swept(spool) == {}
    quiet_for(spool, part, ORPHANED_AFTER)
    assert swept(spool) == {"route": [(part.id, 0)]}
    state = spool.parts.newest(part.id)
    assert state is not None
    assert (state.stage, state.config) == ("route", CONFIG)


def test_an_orphaned_part_that_brought_nothing_is_over(spool: Spool, clock: Clock) -> None:
    opened(spool, run="i0")
    clock.now += ORPHANED_AFTER
    assert swept(spool) == {}
    sweep(spool, CONFIG)
    assert list(active_parts(spool)) == []


def test_a_closing_that_its_living_run_forgot_is_finished(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    part = opened(spool, f"{STUDY}.1", run=Run(spool).id)
    close_in_vain(spool, part, monkeypatch)
    quiet_for(spool, part, ORPHANED_AFTER * 0.99, "manifest.json")
    assert swept(spool) == {}
    quiet_for(spool, part, ORPHANED_AFTER, "manifest.json")
    assert swept(spool) == {"route": [(part.id, 0)]}


def test_a_late_part_that_was_left_half_made_is_finished(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    part = opened(spool, f"{STUDY}.1", run=Run(spool).id)
    put_manifest(spool, part.id, Manifest(instances=()))
    put_instance(spool, part, f"{STUDY}.2")
    close_in_vain(spool, part, monkeypatch)
    quiet_for(spool, part, ORPHANED_AFTER, "manifest.json")
    late = late_id(part.id, 1)
    assert swept(spool)["route"][0] == (late, 0)
    made = read_manifest(spool, late)
    assert made is not None
    assert len(made.instances) == 2


def refused(*_: object) -> bool:
    raise StorageError("the disk is full")


def close_in_vain(spool: Spool, part: Part, monkeypatch: pytest.MonkeyPatch) -> None:
    """Closes a part while the disk refuses new units."""
    with monkeypatch.context() as patch:
        patch.setattr(spool.parts, "create", refused)
        with pytest.raises(StorageError):
            close_part(spool, part, config=CONFIG)


@pytest.mark.parametrize("content", [b"", b"{", b"null", b"[1]", b"\xff", b"{}", b'{"n":0,"at":"soon"}'])
def test_a_damaged_record_blocks_nobody(spool: Spool, clock: Clock, content: bytes) -> None:
    first, second = (closed(spool, study=study) for study in ("1.1", "1.2"))
    [damaged], [whole] = routed(spool, first, "archive"), routed(spool, second, "archive")
    damage(spool, f"deliveries/{damaged}/00000000.json", content)
    broken = closed(spool, study="1.3")
    damage(spool, f"parts/{broken.id}/00000000.json", content)
    clock.pass_by(minutes=1)
    found = sweep(spool, CONFIG)
    assert rung(found) == {"send.archive": [(whole, 0)]}
    assert found.unreadable == 3  # both, and the part that waits for the damaged delivery


def test_a_part_that_cannot_be_finished_now_blocks_nobody(
    spool: Spool, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(spool, f"{STUDY}.1")
    [delivery] = routed(spool, closed(spool, study="1.2"), "archive")
    clock.now = datetime.now(UTC) + timedelta(hours=1)
    with monkeypatch.context() as patch:
        patch.setattr(spool.parts, "create", refused)
        assert swept(spool) == {"send.archive": [(delivery, 0)]}


def test_a_sweep_does_not_look_at_what_is_over(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    routed(spool, closed(spool, study="1.1"), "archive")
    closed(spool, study="1.2")
    fresh = cost_of_a_sweep(spool)
    for k in range(1000):
        part = closed(spool, f"2.{k}.1", study=f"2.{k}")
        settle(spool, part.id, Done(outcome="routed"))
        if k % 100 == 99:
            sweep(spool, CONFIG)
    assert len(spool.parts.ids()) == 1002
    assert cost_of_a_sweep(spool) == fresh


def test_a_round_with_ten_thousand_finished_parts_costs_what_its_three_unfinished_ones_do(
    spool: Spool, tmp_path: Path, clock: Clock
) -> None:
    routed(spool, closed(spool, study="1.1"), "archive")
    hold(spool, closed(spool, study="1.2").id)
    closed(spool, study="1.3")
    upkeep = Upkeep(spool, parse(SMALL + '[ingress]\nmin_free = "1kB"\n', tmp_path))
    fresh = cost_of_a_round(spool, upkeep)
    over = closed(spool, study="1.4")
    [delivery] = routed(spool, over, "archive")
    delivered(spool, delivery)
    sweep(spool, CONFIG)
    root = spool.store.root
    for k in range(10_000):
        for folder, name in (("parts", over.id), ("deliveries", delivery)):
            there = root / folder / f"{name[0]}{k:032}"
            there.mkdir()
            os.link(root / folder / name / "00000002.json", there / "00000002.json")
        os.link(root / f"done/2026-03-04/{over.id}", root / f"done/2026-03-04/p{k:032}")
    clock.pass_by(hours=20)
    assert len(spool.parts.ids()) == 10_004
    assert cost_of_a_round(spool, upkeep) <= fresh + 1  # the day on which they were finished


def cost_of_a_round(spool: Spool, upkeep: Upkeep) -> int:
    """How many names a sweep and all that follows it open and list."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("consumers.janitor.upkeep.RETENTION_SECONDS", 0)
        patch.setattr("consumers.janitor.upkeep.OPTIONAL_SECONDS", 0)
        patch.setattr("consumers.janitor.upkeep.trend.note", lambda *_: False)
        seen = reads_of(spool, patch)
        sweep(spool, CONFIG)
        upkeep.tend()
        return len(seen)


def test_a_sweep_costs_no_more_for_a_delivery_that_was_tried_often(spool: Spool) -> None:
    [delivery] = routed(spool, closed(spool), "archive")
    fresh = cost_of_a_sweep(spool)
    for _ in range(100):
        fail(spool, delivery)
    assert cost_of_a_sweep(spool) <= fresh + 1


def cost_of_a_sweep(spool: Spool) -> int:
    """How many names a sweep opens and lists."""
    with pytest.MonkeyPatch.context() as patch:
        seen = reads_of(spool, patch)
        sweep(spool, CONFIG)
        return len(seen)


class Queue(Publisher):
    """A queue that nobody consumes."""

    def __init__(self) -> None:
        self.messages: list[Ring] = []

    def depth(self, queue: str) -> int:
        assert queue == "dcmrelay.send.archive"
        return len(self.messages)

    def ring(self, rings: Iterable[Ring], caused_by: str = "") -> None:
        assert not caused_by
        self.messages += rings


def test_bells_that_nobody_answers_do_not_pile_up(spool: Spool, clock: Clock) -> None:
    queue = Queue()
    for k in range(20):
        routed(spool, closed(spool, study=f"1.{k}"), "archive")
        clock.pass_by(minutes=1)
        for _ in range(5):
            ring_lost(queue, sweep(spool, CONFIG).rings)
    assert 20 <= len(queue.messages) < 2 * 20
    queue.messages.clear()
    ring_lost(queue, sweep(spool, CONFIG).rings)
    assert {ring.bell.unit for ring in queue.messages} == set(spool.deliveries.ids())


def test_a_broker_that_does_not_answer_does_not_make_sweeps_rare(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    minutes = count()

    class Blocked(Queue):
        def depth(self, queue: str) -> int:
            assert queue
            next(minutes)
            raise BrokerError("RabbitMQ did not answer within 60 s")

    monkeypatch.setattr(janitor, "time", SimpleNamespace(monotonic=lambda: 60.0 * next(copy(minutes))))
    service, queue = Service("janitor", parse(SMALL, tmp_path), spool), Blocked()
    assert janitor.sweep_and_ring(service, queue, Projection(queue)) == 0
    assert next(minutes), "the broker was not asked"


def test_a_replayed_dead_letter_whose_bell_was_lost_is_rung_for(spool: Spool, clock: Clock) -> None:
    [delivery] = routed(spool, closed(spool), "archive")
    held = hold(spool, delivery)
    spool.deliveries.append(delivery, states.released(held, now=spool.now(), by="ann", why=""))
    clock.now += GRACE
    assert swept(spool) == {"send.archive": [(delivery, held.n + 1)]}


def test_what_waits_for_a_destination_that_is_configured_no_more_is_held(spool: Spool, tmp_path: Path) -> None:
    archive, reading = routed(spool, closed(spool), "archive", "reading")
    found = sweep(spool, CONFIG, parse(SMALL + ROUTE.replace("plain", "all"), tmp_path))
    held = spool.deliveries.newest(reading)
    assert held is not None
    assert (held.status, held.dead_letter_class) == ("held", "policy")
    assert held.reason == "destination 'reading' is not configured any more"
    assert found.dead == {"policy": {Bell(unit=reading, n=held.n)}}
    assert found.waiting == {"archive": 1}
    kept = spool.deliveries.newest(archive)
    assert kept is not None
    assert kept.status == "waiting"


def test_what_is_worked_on_is_not_held_under_its_worker(spool: Spool, tmp_path: Path) -> None:
    [reading] = routed(spool, closed(spool), "reading")
    claim(spool, reading)
    sweep(spool, CONFIG, parse(SMALL, tmp_path))
    newest = spool.deliveries.newest(reading)
    assert newest is not None
    assert newest.status == "working"


def test_what_the_router_decides_just_now_is_not_held_under_it(spool: Spool, tmp_path: Path) -> None:
    [reading] = routed(spool, closed(spool), "reading")
    before = spool.deliveries.newest(reading)
    assert before is not None
    spool.deliveries.append(reading, states.fenced(before, now=spool.now()))
    sweep(spool, CONFIG, parse(SMALL, tmp_path))
    newest = spool.deliveries.newest(reading)
    assert newest is not None
    assert (newest.stage, newest.status) == (states.HAND_OVER, "waiting")


def test_what_a_person_lets_go_on_without_its_route_is_not_held_again(spool: Spool, tmp_path: Path) -> None:
    (delivery,) = routed(spool, closed(spool), "archive")
    current = parse(SMALL, tmp_path)
    sweep(spool, CONFIG, current)
    held = spool.deliveries.newest(delivery)
    assert held is not None
    assert held.reason == "route 'all' is not configured any more"
    replayed = states.released(held, now=spool.now(), by="ann", why="", config=current.hash)
    spool.deliveries.append(delivery, replayed)
    sweep(spool, CONFIG, current)
    assert spool.deliveries.newest(delivery) == replayed
