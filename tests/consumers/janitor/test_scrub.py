"""What rots on disk is found by reading it again, told to a person, and sent to nobody."""

import errno
import json
import os
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from consumers.janitor.scrub import Scrubber
from consumers.janitor.slow import paced
from consumers.janitor.sweep import sweep
from producers.replay.hurry import waiting_for_resume
from shared.forms import rendition_id
from shared.outcomes import Paused
from shared.spool import states
from shared.spool.damage import DAMAGED, count_of_damages, damages
from shared.spool.deliveries import Ordered, create_delivery
from shared.spool.parts import Part, read_manifest
from shared.spool.removal import begin
from shared.spool.renditions import Proof, output_name, put_proofs
from shared.spool.spool import Spool
from shared.spool.states import State
from tests.consumers.bench import stored
from tests.shared.spool.examples import (
    CONFIG,
    FORM,
    STUDY,
    Clock,
    claim,
    closed,
    delivered,
    fail,
    new_spool,
    order_for,
    routed,
    settle,
)

UIDS = tuple(f"{STUDY}.{k}" for k in (1, 2, 3))


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Spool:
    monkeypatch.setattr(os, "fsync", lambda _: None)
    return new_spool(tmp_path, Clock())


def scrub(spool: Spool) -> int:
    """One round; how many bytes were read."""
    read: list[int] = []
    Scrubber(spool, read.append, threading.Event()).go_round()
    return sum(read)


def files(spool: Spool, part: Part) -> list[str]:
    manifest = read_manifest(spool, part.id)
    assert manifest is not None
    return [instance.file for instance in manifest.instances]


def flip_one_bit(spool: Spool, name: str) -> None:
    path = spool.store.path(name)
    content = bytearray(path.read_bytes())
    content[-7] ^= 0x10
    path.chmod(0o600)
    path.write_bytes(content)


def test_one_flipped_bit_is_found_and_the_instance_held_for_who_still_waits_for_it(spool: Spool) -> None:
    part = closed(spool, *UIDS)
    waiting, there, working = routed(spool, part, "archive", "reading", "research")
    tried = fail(spool, waiting)
    delivered(spool, there)
    claim(spool, working)
    assert scrub(spool) > 0
    assert count_of_damages(spool) == 0
    flip_one_bit(spool, files(spool, part)[1])
    scrub(spool)
    scrub(spool)
    [damage] = damages(spool)
    assert (damage.part, damage.file, damage.index) == (part.id, files(spool, part)[1], 1)
    held = spool.deliveries.load(waiting)
    assert held is not None
    assert held.facts == {"held": {"1": DAMAGED}}
    assert (held.state.status, held.state.due, held.state.tries) == ("waiting", tried.due, tried.tries)
    assert len(spool.deliveries.history(there)) == 3
    assert len(spool.deliveries.history(working)) == 2


def test_a_damaged_rendition_is_found_too(spool: Spool) -> None:
    part = closed(spool, UIDS[0])
    routed(spool, part, "reading", form=FORM)
    manifest = read_manifest(spool, part.id)
    assert manifest is not None
    name = output_name(rendition_id(part.id, FORM), 0)
    made = _rendered(spool, name)
    input_sha256 = manifest.instances[0].sha256
    put_proofs(spool, part.id, FORM, 0, [Proof(index=0, input_sha256=input_sha256, outcome="made", made=made)])
    scrub(spool)
    assert damages(spool) == []
    flip_one_bit(spool, name)
    scrub(spool)
    assert [damage.file for damage in damages(spool)] == [name]


def _rendered(spool: Spool, name: str):  # type: ignore[no-untyped-def]
    made = stored(spool, "p0", b"de-identified", "1.2.840.10008.1.2.1", ("1.2.3", "1.2.4"))
    spool.store.put_new(name, spool.store.read(made.file) or b"")
    return replace(made, file=name)


@pytest.mark.parametrize(("number", "is_damage"), [(errno.EIO, True), (errno.EMFILE, False), (errno.ESTALE, False)])
def test_what_is_out_of_reach_for_the_moment_is_not_damaged(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, number: int, *, is_damage: bool
) -> None:
    part = closed(spool, *UIDS)
    unreachable = {str(spool.store.path(file)) for file in files(spool, part)}
    opened = Path.open

    def refuse(path: Path, *arguments: Any, **more: Any) -> Any:
        if str(path) in unreachable:
            raise OSError(number, os.strerror(number))
        return opened(path, *arguments, **more)

    monkeypatch.setattr(Path, "open", refuse)
    scrub(spool)
    assert bool(damages(spool)) is is_damage


def test_a_file_that_is_gone_is_damage_unless_its_part_is_being_removed(spool: Spool) -> None:
    lost, going = closed(spool, UIDS[0], study="1.1"), closed(spool, UIDS[1], study="1.2")
    delivered(spool, *routed(spool, going, "archive"))
    state = spool.parts.newest(going.id)
    assert state is not None
    begin(spool, going.id, state)
    for part in (lost, going):
        spool.store.path(files(spool, part)[0]).unlink()
    scrub(spool)
    assert [damage.part for damage in damages(spool)] == [lost.id]


def test_a_round_that_was_cut_short_goes_on_where_it_was(spool: Spool) -> None:
    parts = sorted((closed(spool, study=f"1.{k}") for k in range(6)), key=lambda part: part.id)
    size = scrub(spool) // 6
    stopping, read = threading.Event(), []

    def pace(count: int) -> None:
        read.append(count)
        if len(read) == 3:
            stopping.set()

    cut = Scrubber(spool, pace, stopping)
    cut._remembered = float("-inf")
    cut.go_round()
    assert sum(read) == 3 * size
    assert spool.read_json(f"scrub/{spool.store.list('scrub')[-1]}") == {"after": parts[0].id}
    assert scrub(spool) == 5 * size
    assert scrub(spool) == 6 * size


def test_it_reads_no_faster_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stopping(threading.Event):
        waited = 0.0

        def wait(self, timeout: float | None = None) -> bool:
            self.waited += timeout or 0
            return False

    stopping = Stopping()
    monkeypatch.setattr("consumers.janitor.slow.time.monotonic", lambda: 100 + stopping.waited)
    wait = paced(lambda: 1000, stopping)
    for _ in range(50):
        wait(400)
    assert stopping.waited == pytest.approx(20)


def test_a_damaged_record_keeps_no_other_part_from_being_read(spool: Spool) -> None:
    first, second = sorted((closed(spool, study=f"1.{k}") for k in range(2)), key=lambda part: part.id)
    spool.store.path(f"parts/{first.id}/manifest.json").write_bytes(b"{")
    flip_one_bit(spool, files(spool, second)[0])
    scrub(spool)
    assert [damage.part for damage in damages(spool)] == [second.id]


def test_a_held_damage_changes_nothing_for_the_sweep_but_the_record_it_rings_for(spool: Spool) -> None:
    clock = spool.now
    assert isinstance(clock, Clock)
    part = closed(spool, *UIDS)
    [delivery] = routed(spool, part, "archive")
    flip_one_bit(spool, files(spool, part)[0])
    scrub(spool)
    clock.pass_by(minutes=1)
    assert [(ring.bell.unit, ring.bell.n) for ring in sweep(spool, CONFIG).rings["send.archive"]] == [(delivery, 1)]


def newest(spool: Spool, delivery: str) -> State:
    state = spool.deliveries.newest(delivery)
    assert state is not None
    return state


def held_of(spool: Spool, delivery: str) -> dict[str, str]:
    unit = spool.deliveries.load(delivery)
    assert unit is not None
    return dict(unit.facts.get("held", {}))


def test_what_is_damaged_and_not_to_be_sent_is_not_held(spool: Spool) -> None:
    part = closed(spool, *UIDS)
    [archive] = routed(spool, part, "archive")
    excluding = replace(order_for(part.id, "reading"), excluded=(1,))
    rest = Ordered(order=order_for(part.id, "research"), elsewhere={"1": archive})
    create_delivery(spool, excluding, CONFIG)
    create_delivery(spool, rest.order, CONFIG, ordered=rest)
    ids = [archive, excluding.id, rest.order.id]
    decision = spool.read_json(f"parts/{part.id}/decision.json") or {}
    decision["deliveries"] = [{"id": id_} for id_ in ids]
    spool.store.path(f"parts/{part.id}/decision.json").write_text(json.dumps(decision))
    spool.deliveries.append(archive, replace(newest(spool, archive), n=1, facts={"dropped": {"1": "by rule"}}))
    flip_one_bit(spool, files(spool, part)[1])
    scrub(spool)
    assert len(damages(spool)) == 1
    assert [held_of(spool, id_) for id_ in ids] == [{}, {}, {}]


def test_an_instance_is_held_once_however_often_it_is_read(spool: Spool) -> None:
    part = closed(spool, *UIDS)
    [delivery] = routed(spool, part, "archive")
    flip_one_bit(spool, files(spool, part)[1])
    for _ in range(3):
        scrub(spool)
    assert newest(spool, delivery).n == 1


def test_a_paused_delivery_stays_so_and_a_persons_act_is_told_once(spool: Spool) -> None:
    part = closed(spool, *UIDS)
    paused, urgent = routed(spool, part, "archive", "reading")
    settle(spool, paused, Paused("archive is paused", spool.now() + timedelta(hours=1)))
    hurried = states.hurried(newest(spool, urgent), now=spool.now(), by="ann", why="theatre")
    spool.deliveries.append(urgent, hurried)
    for k in (0, 1):
        flip_one_bit(spool, files(spool, part)[k])
    scrub(spool)
    assert [unit.id for unit in waiting_for_resume(spool, "archive")] == [paused]
    for delivery in (paused, urgent):
        assert held_of(spool, delivery) == {"0": DAMAGED, "1": DAMAGED}
    assert [state.by for state in spool.deliveries.history(urgent)] == ["", "ann", "", ""]
    assert newest(spool, urgent).urgent
