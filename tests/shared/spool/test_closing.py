"""Closing a part: everything that was accepted is in exactly one part, whoever dies and whoever goes on."""

import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from shared.errors import DataSetError, StorageError
from shared.outcomes import Done
from shared.spool import closing, states
from shared.spool.closing import UNREADABLE_AFTER, close_part, late_id, read_instance
from shared.spool.deliveries import create_delivery, order_to_json
from shared.spool.parts import (
    Instance,
    Manifest,
    Part,
    active_parts,
    is_closed,
    is_finished,
    put_manifest,
    read_manifest,
    read_part,
)
from shared.spool.spool import Spool
from tests.shared.spool.examples import (
    CONFIG,
    STUDY,
    Killed,
    Steps,
    claim,
    closed,
    damage,
    data_set,
    delivered,
    hold,
    new_spool,
    opened,
    order_for,
    put_instance,
    routed,
    settle,
)

A, B, C = f"{STUDY}.1", f"{STUDY}.2", f"{STUDY}.3"


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return new_spool(tmp_path)


def close(spool: Spool, part: Part, known: dict[str, Instance] | None = None) -> tuple[str, ...]:
    return close_part(spool, part, config=CONFIG, known=known)


def manifest(spool: Spool, part_id: str) -> Manifest:
    found = read_manifest(spool, part_id)
    assert found is not None
    return found


def uids(spool: Spool, part_id: str) -> list[str]:
    return [instance.sop_instance_uid for instance in manifest(spool, part_id).instances]


def everywhere(spool: Spool) -> list[str]:
    """The SOP Instance UIDs of all parts that have a record: what will be routed."""
    return sorted(uid for part_id in spool.parts.ids() if spool.parts.newest(part_id) for uid in uids(spool, part_id))


def test_a_closed_part_lists_its_instances_and_waits_for_the_router(spool: Spool) -> None:
    part = opened(spool, A, B)
    assert not is_closed(spool, part.id)
    assert close(spool, part) == (part.id,)
    assert is_closed(spool, part.id)
    assert sorted(uids(spool, part.id)) == [A, B]
    state = spool.parts.newest(part.id)
    assert state is not None
    assert (state.n, state.stage, state.status, state.config) == (0, "route", "waiting", CONFIG)


def test_an_instance_is_described_by_its_own_file(spool: Spool) -> None:
    part = opened(spool, A)
    close(spool, part)
    [instance] = manifest(spool, part.id).instances
    content = spool.store.read(instance.file)
    assert content is not None
    assert content[instance.offset :] == data_set(A)
    assert instance.size == len(data_set(A))
    assert instance.file.endswith(instance.sha256)


def test_what_the_ingress_knows_stands_first_in_the_order_of_arrival(spool: Spool) -> None:
    part = opened(spool)
    names = [put_instance(spool, part, uid) for uid in (C, A)]
    known = {name: read_instance(spool, name) for name in names}
    put_instance(spool, part, B)
    known["parts/gone/instances/0"] = known[names[0]]
    close(spool, part, known)
    assert uids(spool, part.id) == [C, A, B]


def test_closing_again_changes_nothing(spool: Spool) -> None:
    part = opened(spool, A, B)
    first, before = close(spool, part), manifest(spool, part.id)
    claim(spool, part.id)
    assert close(spool, part) == first
    assert manifest(spool, part.id) == before
    assert everywhere(spool) == [A, B]


def test_an_instance_that_lands_while_its_part_closes_is_in_the_next(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = opened(spool, A)
    after_manifest(monkeypatch, lambda: put_instance(spool, part, B))
    units = close(spool, part)
    assert units == (part.id, late_id(part.id, 1))
    assert uids(spool, part.id) == [A]
    assert uids(spool, units[1]) == [B]
    late = read_part(spool, units[1])
    assert late is not None
    assert (late.late_of, late.study_instance_uid, late.source) == (part.id, STUDY, "ct-1")
    assert set(active_parts(spool, part.study_key)) == set(units)
    assert spool.parts.newest(units[1]) is not None


def test_each_second_look_that_finds_more_makes_one_more_part(spool: Spool) -> None:
    part = opened(spool, A)
    close(spool, part)
    for k, uid in enumerate((B, C), start=1):
        put_instance(spool, part, uid)
        assert close(spool, part)[-1] == late_id(part.id, k)
    assert [uids(spool, late_id(part.id, k)) for k in (1, 2)] == [[B], [C]]
    assert everywhere(spool) == [A, B, C]


def test_two_who_close_at_once_agree(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    part = opened(spool, A)
    other: list[tuple[str, ...]] = []

    def other_closes() -> None:
        put_instance(spool, part, B)
        other.append(close(spool, part))

    before_manifest(monkeypatch, other_closes)
    mine = close(spool, part)
    assert everywhere(spool) == [A, B]
    assert set(mine) == set(other[0]) == {part.id}
    assert sorted(uids(spool, part.id)) == [A, B]


def test_a_closing_killed_at_any_step_is_finished_by_another(tmp_path: Path) -> None:
    kills = 0
    for k in range(1, 100):
        steps = Steps([])
        root = tmp_path / f"k{k}"
        part = opened(new_spool(root), A)
        dying = new_spool(root, step=steps)
        close_half(dying, part, steps, k)
        kills += len(steps.seen) >= k
        spool = new_spool(root)
        for part_id in list(active_parts(spool)):
            found = read_part(spool, part_id)
            if found is not None and spool.parts.newest(part_id) is None:
                close(spool, found)
        assert everywhere(spool) == [A, B, C], f"killed at step {k}: {steps.seen[-1]}"
        if len(steps.seen) < k:
            break
    assert kills >= 12


def close_half(spool: Spool, part: Part, steps: Steps, kill_at: int) -> None:
    """Closes a part in which B and C land too late, killed at a step if there are so many."""
    with pytest.MonkeyPatch.context() as patch:
        after_manifest(patch, lambda: [put_instance(new_spool(spool.store.root), part, uid) for uid in (B, C)])
        steps.kill_at = kill_at
        try:
            close(spool, part)
        except Killed:
            for uid in (B, C):
                put_instance(new_spool(spool.store.root), part, uid)


def test_a_late_part_that_the_disk_refused_is_finished_by_closing_again(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = opened(spool, A)
    close(spool, part)
    put_instance(spool, part, B)
    create = spool.parts.create

    def refuse(*_: object) -> bool:
        raise StorageError("the disk is full")

    monkeypatch.setattr(spool.parts, "create", refuse)
    with pytest.raises(StorageError):
        close(spool, part)
    monkeypatch.setattr(spool.parts, "create", create)
    assert late_id(part.id, 1) in close(spool, part)
    assert everywhere(spool) == [A, B]


def test_bytes_that_an_unfinished_part_has_are_left_out(spool: Spool) -> None:
    first = opened(spool, A, B)
    close(spool, first)
    again = opened(spool, B, C)
    assert close(spool, again) == (again.id,)
    assert uids(spool, again.id) == [C]
    assert [name.split("/")[1] for name in manifest(spool, again.id).duplicates] == [again.id]


def test_bytes_sent_again_after_the_last_delivery_under_way_are_a_re_send(spool: Spool) -> None:
    """A dead letter does not keep a PACS that lost the study from getting it again."""
    first = closed(spool, A)
    archive, reading = routed(spool, first, "archive", "reading")
    delivered(spool, archive)
    assert close(spool, opened(spool, A)) == ()
    hold(spool, reading)
    again = opened(spool, A)
    assert close(spool, again) == (again.id,)


def test_an_optional_delivery_under_way_makes_no_duplicate(spool: Spool) -> None:
    first = closed(spool, A)
    order = replace(order_for(first.id, "research"), optional=True)
    spool.put_json(f"parts/{first.id}/decision.json", {"deliveries": [order_to_json(order)]})
    create_delivery(spool, order, CONFIG)
    claim(spool, first.id)
    settle(spool, first.id, Done(outcome="routed"))
    again = opened(spool, A)
    assert close(spool, again) == (again.id,)


@pytest.mark.parametrize("outcome", ["held", "discarded"])
def test_what_one_destination_does_not_get_any_more_goes_again_though_another_is_under_way(
    spool: Spool, outcome: str
) -> None:
    first = closed(spool, "1.2.3.4.1")
    archive, _ = routed(spool, first, "archive", "reading")
    state = hold(spool, archive)
    if outcome == "discarded":
        spool.deliveries.append(archive, states.discarded(state, now=spool.now(), by="ann", why="full"))
    again = closed(spool, "1.2.3.4.1")
    assert manifest(spool, again.id).duplicates == ()


def test_a_copy_damaged_after_closing_does_not_make_a_good_one_a_duplicate(spool: Spool) -> None:
    first = opened(spool, A)
    close(spool, first)
    damage(spool, manifest(spool, first.id).instances[0].file, b"damaged")
    again = opened(spool, A)
    assert close(spool, again) == (again.id,)


def test_a_part_of_nothing_but_duplicates_is_final_and_nobody_is_rung_for(spool: Spool) -> None:
    first = opened(spool, A)
    close(spool, first)
    again = opened(spool, A)
    assert close(spool, again) == ()
    state = spool.parts.newest(again.id)
    assert state is not None
    assert (state.status, state.outcome) == ("final", "duplicate")
    assert is_finished(spool, again.id)


def test_an_empty_part_is_final(spool: Spool) -> None:
    part = opened(spool)
    assert close(spool, part) == ()
    state = spool.parts.newest(part.id)
    assert state is not None
    assert (state.status, state.outcome) == ("final", "empty")


def test_the_same_bytes_after_everything_was_final_are_a_deliberate_resend(spool: Spool) -> None:
    first = opened(spool, A)
    close(spool, first)
    deliveries = routed(spool, first, "archive", "reading")
    delivered(spool, deliveries[0])
    half_way = opened(spool, A)
    assert close(spool, half_way) == ()
    delivered(spool, deliveries[1])
    assert is_finished(spool, first.id)
    resend = opened(spool, A)
    assert close(spool, resend) == (resend.id,)
    assert uids(spool, resend.id) == [A]


def test_other_bytes_under_the_same_uid_and_other_studies_are_kept(spool: Spool) -> None:
    close(spool, opened(spool, A))
    changed = opened(spool)
    put_instance(spool, changed, A, data_set(A) + b"\xfc\xff\xfc\xffOB\0\0\x02\0\0\0xx")
    assert close(spool, changed) == (changed.id,)
    elsewhere = opened(spool, A, source="ct-2")
    assert close(spool, elsewhere) == (elsewhere.id,)


@pytest.mark.parametrize("damaged", [b"", b"not DICOM", bytes(128) + b"DICM\2\0\0\0UL\4\0\xff\xff\xff\x7f"])
def test_a_damaged_file_is_named_so_that_it_can_be_held(spool: Spool, damaged: bytes) -> None:
    part = opened(spool, A)
    name = put_instance(spool, part, B)
    damage(spool, name, damaged)
    assert close(spool, part) == (part.id,)
    whole, broken = sorted(manifest(spool, part.id).instances, key=lambda it: it.sop_class_uid, reverse=True)
    assert whole.sop_instance_uid == A
    assert (broken.file, broken.sop_class_uid, broken.size) == (name, "", 0)


def test_a_flipped_bit_is_found_and_its_text_quotes_nothing(spool: Spool) -> None:
    part = opened(spool)
    name = put_instance(spool, part, A)
    content = spool.store.read(name)
    assert content is not None
    damage(spool, name, content.replace(b"CANARY^PATIENT", b"CANARY^PATIEMT"))
    with pytest.raises(DataSetError, match="not those that were received") as error:
        read_instance(spool, name)
    assert "CANARY" not in str(error.value)


def test_a_damaged_copy_does_not_make_a_good_one_a_duplicate(spool: Spool) -> None:
    first = opened(spool)
    damage(spool, put_instance(spool, first, A), b"damaged")
    close(spool, first)
    again = opened(spool, A)
    assert close(spool, again) == (again.id,)


def test_a_part_is_finished_when_it_and_each_of_its_deliveries_are(spool: Spool) -> None:
    part = opened(spool, A)
    assert not is_finished(spool, part.id)
    close(spool, part)
    assert not is_finished(spool, part.id)
    first, second = routed(spool, part, "archive", "reading")
    delivered(spool, first)
    assert not is_finished(spool, part.id)
    settle(spool, second, Done(outcome="delivered"))
    assert is_finished(spool, part.id)


def test_the_manifest_is_plain_json_without_patient_data(spool: Spool) -> None:
    part = opened(spool, A)
    close(spool, part)
    content = spool.store.read(f"parts/{part.id}/manifest.json")
    assert content is not None
    assert set(json.loads(content)) == {"instances", "duplicates"}
    assert b"CANARY" not in content


def after_manifest(monkeypatch: pytest.MonkeyPatch, act: object) -> None:
    """Lets something happen once, between the manifest and the second look."""
    _around_manifest(monkeypatch, act, before=False)


def before_manifest(monkeypatch: pytest.MonkeyPatch, act: object) -> None:
    """Lets something happen once, right before the manifest is made."""
    _around_manifest(monkeypatch, act, before=True)


def _around_manifest(monkeypatch: pytest.MonkeyPatch, act: object, *, before: bool) -> None:
    acts = [act]

    def around(spool: Spool, part_id: str, made: Manifest) -> Manifest:
        once = acts.pop() if acts else None
        if before and callable(once):
            once()
        standing = put_manifest(spool, part_id, made)
        if not before and callable(once):
            once()
        return standing

    monkeypatch.setattr(closing, "put_manifest", around)


def test_an_instance_the_disk_will_not_read_keeps_its_part_open_for_a_while_and_is_then_named_as_damaged(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = opened(spool, A, B)
    bad = put_instance(spool, part, C)
    read = closing.read_instance

    def failing(spool: Spool, name: str) -> Instance:
        if name == bad:
            raise OSError(errno.EIO, "Input/output error")
        return read(spool, name)

    monkeypatch.setattr(closing, "read_instance", failing)
    landed = spool.now().timestamp()
    os.utime(spool.store.path(bad).parent, (landed, landed))
    with pytest.raises(OSError, match="Input/output"):
        close(spool, part)
    assert not is_closed(spool, part.id)
    landed -= UNREADABLE_AFTER.total_seconds()
    os.utime(spool.store.path(bad).parent, (landed, landed))
    assert close(spool, part) == (part.id,)
    classes = {it.file == bad: it.sop_class_uid for it in manifest(spool, part.id).instances}
    assert classes[True] == ""
    assert classes[False] != ""
    assert spool.store.path(bad).exists()
