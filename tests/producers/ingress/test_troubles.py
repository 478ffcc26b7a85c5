"""Disks full, broken or away, peers that vanish, closings cut short: what is kept then, and what is answered."""

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from shared.errors import PeerRejectedError, StorageError
from shared.spool.drafts import Draft
from shared.spool.parts import (
    Instance,
    Manifest,
    Part,
    active_parts,
    instance_name,
    new_part_id,
    open_part,
    put_manifest,
)
from tests.peers import peer_environment, tool
from tests.producers.ingress.running import RELAY, Ingress, associate, ingress, made, sample, store, stored
from tests.support import eventually


def test_an_abort_in_mid_instance_leaves_nothing(running: Ingress) -> None:
    sent = sample()
    with pytest.raises(StorageError), associate(running.port, sent) as association:
        store(association, sent, length=len(sent.content) + (3 << 20))
    eventually(lambda: running.listener.associations == 0)
    eventually(lambda: not running.temporary())
    assert len(running.parts) == 0


def test_a_storescu_that_is_killed_leaves_no_temporary_file(tmp_path: Path, running: Ingress) -> None:
    big = made(tmp_path, "big.dcm", PixelData=bytes(64 << 20), Rows=8192, Columns=8192, BitsAllocated=8)
    arguments = ("--aetitle", "CT1", "--call", "DCMRELAY", "127.0.0.1", str(running.port), big)
    sending = subprocess.Popen([tool("storescu"), *arguments], env=peer_environment())
    eventually(running.temporary)
    sending.kill()
    sending.wait()
    eventually(lambda: not running.temporary())
    assert all(not manifest.instances for manifest in running.manifests())


def test_below_min_free_associations_are_refused_for_the_time_being(tmp_path: Path) -> None:
    with ingress(tmp_path, RELAY.replace('"1MB"', '"900TB"')) as ours, pytest.raises(PeerRejectedError) as error:
        associate(ours.port, sample())
    assert (error.value.result, error.value.source, error.value.reason) == (2, 3, 1)


def test_when_the_disk_runs_low_in_mid_association_stores_get_out_of_resources(
    running: Ingress, monkeypatch: pytest.MonkeyPatch
) -> None:
    with associate(running.port, sample()) as association:
        free = shutil.disk_usage(running.spool.store.root)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: free._replace(free=10))
        assert store(association, sample()) == 0xA700
        monkeypatch.undo()
        assert store(association, sample()) == 0
    eventually(lambda: not running.temporary())


def test_without_its_volume_nothing_is_accepted(running: Ingress) -> None:
    marker = running.config.relay.data_dir / "dcmrelay-volume.json"
    with associate(running.port, sample()) as association:
        marker.rename(marker.with_suffix(".away"))
        assert store(association, sample()) == 0xA700
    with pytest.raises(PeerRejectedError) as error:
        associate(running.port, sample())
    assert (error.value.result, error.value.source, error.value.reason) == (2, 3, 1)
    marker.with_suffix(".away").rename(marker)
    assert stored(running.port, sample()) == [0]


def test_a_spool_that_is_gone_is_no_room(running: Ingress) -> None:
    root = running.spool.store.root
    root.rename(root.with_name("away"))
    with pytest.raises(PeerRejectedError):
        associate(running.port, sample())
    root.with_name("away").rename(root)


def test_a_disk_that_fails_in_mid_instance_is_out_of_resources_and_the_next_succeeds(
    running: Ingress, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_draft: Draft) -> None:
        raise StorageError("cannot fsync")

    with associate(running.port, sample()) as association:
        with monkeypatch.context() as patched:
            patched.setattr(Draft, "sync", refuse)
            assert store(association, sample()) == 0xA700
        assert store(association, sample()) == 0
    running.go_quiet()
    assert len(running.closed()[-1].instances) == 1
    eventually(lambda: not running.temporary())


def test_a_part_that_the_disk_never_took_is_forgotten(running: Ingress, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_draft: Draft) -> None:
        raise StorageError("cannot fsync")

    monkeypatch.setattr(Draft, "sync", refuse)
    assert stored(running.port, sample()) == [0xA700]
    running.go_quiet(30)
    eventually(lambda: len(running.parts) == 0)
    assert running.manifests() == []


def test_a_closing_that_the_disk_cut_short_is_finished_and_what_comes_meanwhile_is_the_next_part(
    tmp_path: Path, running: Ingress, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = type(running.spool.parts).create

    def refuse(*_: object) -> bool:
        raise StorageError("no room for a record")

    stored(running.port, sample(made(tmp_path, "1.dcm")))
    eventually(lambda: running.listener.associations == 0)
    monkeypatch.setattr(type(running.spool.parts), "create", refuse)
    running.go_quiet()
    eventually(running.begun)
    monkeypatch.setattr(type(running.spool.parts), "create", create)
    assert stored(running.port, sample(made(tmp_path, "2.dcm", SOPInstanceUID="1.2.3.9"))) == [0]
    running.go_quiet(30)
    assert [[it.sop_instance_uid for it in m.instances] for m in running.closed(2)] == [["1.2.3.4.1.1"], ["1.2.3.9"]]


def half_closed(folder: Path) -> str:
    """A part of a run that died between its manifest and its first record."""
    with ingress(folder) as first:
        file = made(folder, "1.dcm")
        sent = sample(file)
        part = Part(
            id=new_part_id(),
            source="ct-1",
            calling_ae_title="CT1",
            called_ae_title="DCMRELAY",
            study_instance_uid="1.2.3.4",
            run="i-of-somebody-dead",
            opened_at=first.spool.now(),
        )
        open_part(first.spool, part)
        sha256 = hashlib.sha256(sent.content).hexdigest()
        first.spool.store.put_new(instance_name(part.id, sha256), file.read_bytes())
        instance = Instance(
            file=instance_name(part.id, sha256),
            sha256=sha256,
            offset=sent.offset,
            size=len(sent.content),
            sop_class_uid=sent.sop_class_uid,
            sop_instance_uid=sent.sop_instance_uid,
            transfer_syntax_uid=sent.transfer_syntax_uid,
        )
        put_manifest(first.spool, part.id, Manifest(instances=(instance,)))
    return part.id


def test_a_closing_that_a_dead_run_began_is_finished_and_what_comes_meanwhile_is_the_next_part(tmp_path: Path) -> None:
    part = half_closed(tmp_path)
    with ingress(tmp_path) as ours:
        assert stored(ours.port, sample(made(tmp_path, "2.dcm", SOPInstanceUID="1.2.3.9"))) == [0]
        ours.go_quiet()
        assert [[it.sop_instance_uid for it in m.instances] for m in ours.closed(2)] == [["1.2.3.4.1.1"], ["1.2.3.9"]]
        state = ours.spool.parts.newest(part)
        assert state is not None
        assert (state.n, state.stage, state.status) == (0, "route", "waiting")


def test_a_part_that_somebody_else_closed_is_sent_again_to_the_next(tmp_path: Path, running: Ingress) -> None:
    one, two = (sample(made(tmp_path, f"{n}.dcm", SOPInstanceUID=f"1.2.3.{n}")) for n in (1, 2))
    with associate(running.port, one) as association:
        store(association, one)
        (part,) = active_parts(running.spool)
        put_manifest(running.spool, part, Manifest(instances=()))
        assert [store(association, two), store(association, two)] == [0xA700, 0]
    running.go_quiet(30)
    eventually(lambda: running.spool.parts.newest(part))
    # The closed one's manifest named nothing: both are in what followed it, and the one sent twice is there once.
    eventually(
        lambda: {it.sop_instance_uid for m in running.manifests() for it in m.instances} == {"1.2.3.1", "1.2.3.2"}
    )
