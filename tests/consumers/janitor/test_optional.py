"""Optional copies that nobody takes do not fill the disk."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from consumers.janitor.optional import OptionalCopies
from consumers.janitor.sweep import sweep
from shared.outcomes import Done
from shared.spool.deliveries import create_delivery, order_to_json
from shared.spool.parts import read_manifest
from shared.spool.spool import Spool
from shared.spool.states import State
from tests.shared.spool.examples import (
    CONFIG,
    Clock,
    claim,
    closed,
    delivered,
    hold,
    new_spool,
    order_for,
    settle,
)


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Spool:
    monkeypatch.setattr(os, "fsync", lambda _: None)
    return new_spool(tmp_path, Clock())


def study(spool: Spool, k: int) -> tuple[str, str]:
    """A part with a primary and an optional delivery, an hour after the one before."""
    assert isinstance(spool.now, Clock)
    spool.now.pass_by(hours=1)
    part = closed(spool, f"1.{k}.1", f"1.{k}.2", study=f"1.{k}")
    orders = [order_for(part.id, "archive"), replace(order_for(part.id, "research"), optional=True)]
    decision = {"config": CONFIG, "routes": ["all"], "deliveries": [order_to_json(order) for order in orders]}
    spool.put_json(f"parts/{part.id}/decision.json", decision)
    for order in orders:
        create_delivery(spool, order, CONFIG)
    settle(spool, part.id, Done(outcome="routed"))
    return orders[0].id, orders[1].id


def newest(spool: Spool, delivery: str) -> State:
    state = spool.deliveries.newest(delivery)
    assert state is not None
    return state


def size_of(spool: Spool, delivery: str) -> int:
    unit = spool.deliveries.outline(delivery)
    assert unit is not None
    manifest = read_manifest(spool, unit.order["part"])
    assert manifest is not None
    return sum(instance.size for instance in manifest.instances)


def test_beyond_the_bound_the_oldest_become_failed_and_the_primaries_stay(spool: Spool) -> None:
    studies = [study(spool, k) for k in range(5)]
    for primary, _ in studies[:4]:
        delivered(spool, primary)
    hold(spool, studies[0][1])
    size = size_of(spool, studies[0][0])
    assert OptionalCopies(spool).bound(2 * size) == 4 * size
    assert [newest(spool, optional).outcome for _, optional in studies] == ["failed", "failed", "", "", ""]
    assert newest(spool, studies[4][0]).status == "waiting"
    sweep(spool, CONFIG)
    assert len(spool.store.list("done/2026-03-04")) == 2
    assert OptionalCopies(spool).bound(2 * size) == 2 * size


def test_what_a_primary_destination_waits_for_does_not_count(spool: Spool) -> None:
    studies = [study(spool, k) for k in range(3)]
    assert OptionalCopies(spool).bound(0) == 0
    assert {newest(spool, optional).status for _, optional in studies} == {"waiting"}


def test_a_copy_that_is_being_sent_is_left_to_its_sender(spool: Spool) -> None:
    primary, optional = study(spool, 1)
    delivered(spool, primary)
    claim(spool, optional)
    OptionalCopies(spool).bound(0)
    assert newest(spool, optional).status == "working"


def test_within_the_bound_nothing_happens(spool: Spool) -> None:
    primary, optional = study(spool, 1)
    delivered(spool, primary)
    assert OptionalCopies(spool).bound(size_of(spool, primary)) == size_of(spool, primary)
    assert newest(spool, optional).status == "waiting"
