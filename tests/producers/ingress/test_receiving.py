"""What comes in by C-STORE, from DCMTK and from our own requestor, and what the spool then holds."""

import hashlib
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from shared import metrics
from shared.errors import PeerRejectedError, StorageError
from shared.spool.parts import (
    Instance,
    Manifest,
    Part,
    active_parts,
    instance_name,
    new_part_id,
    open_part,
    put_manifest,
    read_part,
)
from shared.spool.runs import adopt
from shared.spool.store import Draft
from tests.consumers.bench import data_set, write
from tests.peers import dcmsend, echoscu, peer_environment, store_scp, storescu, tool
from tests.producers.ingress.running import RELAY, Ingress, associate, ingress, sample, store, stored
from tests.support import eventually

SYNTAXES = (
    "CT_small.dcm",
    "MR_small_implicit.dcm",
    "MR_small_bigendian.dcm",
    "image_dfl.dcm",
    "SC_rgb_jpeg_dcmtk.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "MR_small_jp2klossless.dcm",
    "MR_small_RLE.dcm",
)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Ingress]:
    with ingress(tmp_path) as ours:
        yield ours


def made(folder: Path, name: str, **changes: object) -> Path:
    """A small file of one study."""
    ds: Dataset = data_set(1)
    for keyword, value in changes.items():
        setattr(ds, keyword, value)
    return write(folder / name, ds)


def hashes(manifest: Manifest) -> list[str]:
    return [instance.sha256 for instance in manifest.instances]


def test_an_instance_of_a_known_source_is_kept_as_it_came(running: Ingress) -> None:
    sent = sample()
    assert stored(running.port, sent) == [0]
    running.go_quiet()
    (manifest,) = running.closed()
    (instance,) = manifest.instances
    assert running.content(instance) == sent.content
    assert instance.sha256 == hashlib.sha256(sent.content).hexdigest()
    assert instance.size == len(sent.content)
    assert instance.sop_class_uid == sent.sop_class_uid
    assert instance.sop_instance_uid == sent.sop_instance_uid
    assert instance.transfer_syntax_uid == sent.transfer_syntax_uid
    ds = dcmread(running.spool.store.path(instance.file))
    assert (ds.file_meta.SourceApplicationEntityTitle, ds.SOPInstanceUID) == ("CT1", sent.sop_instance_uid)


def test_a_part_knows_who_sent_it_to_whom(running: Ingress) -> None:
    stored(running.port, sample(), calling="CONSOLE", called="OLDPACS")
    (part_id,) = active_parts(running.spool)
    part = read_part(running.spool, part_id)
    assert part is not None
    assert (part.source, part.calling_ae_title, part.called_ae_title) == ("old-console", "CONSOLE", "OLDPACS")
    assert part.study_instance_uid == dcmread(sample().path).StudyInstanceUID
    assert part.run == running.run.id


def test_bytes_are_kept_in_every_transfer_syntax(running: Ingress) -> None:
    sent = [sample(name) for name in SYNTAXES]
    assert stored(running.port, *sent) == [0] * len(sent)
    running.go_quiet()
    studies = {dcmread(it.path, stop_before_pixels=True).StudyInstanceUID for it in sent}
    manifests = running.closed(len(studies))
    kept = {it.sha256: it.transfer_syntax_uid for manifest in manifests for it in manifest.instances}
    theirs = {hashlib.sha256(it.content).hexdigest(): it.transfer_syntax_uid for it in sent}
    deflated = "1.2.840.10008.1.2.1.99"  # travels with a NUL byte more when its length is odd (PS3.5 A.5)
    assert {kept[it] for it in kept.keys() - theirs.keys()} <= {deflated}
    assert sorted(kept.values()) == sorted(theirs.values())


@pytest.mark.parametrize("send", [dcmsend, storescu])
def test_what_dcmtk_sends_is_kept_as_another_scp_keeps_it(tmp_path: Path, running: Ingress, send: object) -> None:
    files = [made(tmp_path, f"{n}.dcm", SOPInstanceUID=f"1.2.3.{n}", PatientWeight=str(n)) for n in range(5)]
    assert send(running.port, *files, calling="CT1").returncode == 0  # type: ignore[operator]
    running.go_quiet()
    (manifest,) = running.closed()
    with store_scp(tmp_path) as scp:
        assert send(scp.port, *files, calling="CT1").returncode == 0  # type: ignore[operator]
        theirs = sorted(sample(path).content for path in scp.files())
    assert sorted(running.content(it) for it in manifest.instances) == theirs
    assert [it.sop_instance_uid for it in manifest.instances] == [f"1.2.3.{n}" for n in range(5)]


def test_the_manifest_is_in_the_order_of_arrival(tmp_path: Path, running: Ingress) -> None:
    uids = [f"1.2.3.{n}" for n in (4, 1, 3, 0, 2)]
    stored(running.port, *(sample(made(tmp_path, f"{uid}.dcm", SOPInstanceUID=uid)) for uid in uids))
    running.go_quiet()
    assert [it.sop_instance_uid for it in running.closed()[0].instances] == uids


@pytest.mark.parametrize(
    ("calling", "called", "words"),
    [
        ("NOBODY", "DCMRELAY", "Calling AE Title Not Recognized"),
        ("FAR", "DCMRELAY", "Calling AE Title Not Recognized"),
        ("CT1", "ELSEWHERE", "Called AE Title Not Recognized"),
    ],
)
def test_strangers_are_turned_away(running: Ingress, calling: str, called: str, words: str) -> None:
    answer = echoscu(running.port, called=called, calling=calling)
    assert answer.returncode != 0
    assert words in answer.stdout + answer.stderr
    assert "Rejected Permanent" in answer.stdout + answer.stderr
    assert running.listener.associations == 0


def test_a_known_source_may_echo(running: Ingress) -> None:
    assert echoscu(running.port, calling="CT1").returncode == 0


def test_an_instance_that_is_not_what_the_command_said_is_refused(running: Ingress) -> None:
    sent = sample()
    with associate(running.port, sent) as association:
        assert store(association, sent, uid="1.2.3") == 0xA900
        assert store(association, sent) == 0
    eventually(lambda: not running.temporary())


@pytest.mark.parametrize("missing", ["StudyInstanceUID", "SeriesInstanceUID"])
def test_an_instance_without_a_study_or_series_is_refused(tmp_path: Path, running: Ingress, missing: str) -> None:
    assert stored(running.port, sample(made(tmp_path, "x.dcm", **{missing: None}))) == [0xC000]
    eventually(lambda: not running.temporary())
    assert len(running.parts) == 0


def test_an_instance_that_cannot_be_read_is_refused(running: Ingress) -> None:
    sent = sample()
    with associate(running.port, sent) as association:
        assert store(association, sent, length=3) == 0xC000
    eventually(lambda: not running.temporary())
    assert len(running.parts) == 0


def test_the_same_bytes_twice_are_one_instance(running: Ingress) -> None:
    assert stored(running.port, sample(), sample()) == [0, 0]
    stored(running.port, sample())
    running.go_quiet()
    assert len(running.closed()[0].instances) == 1


def test_other_bytes_under_the_same_uid_are_both_kept(tmp_path: Path, running: Ingress) -> None:
    one, two = made(tmp_path, "1.dcm"), made(tmp_path, "2.dcm", PatientWeight="80")
    assert stored(running.port, sample(one), sample(two)) == [0, 0]
    running.go_quiet()
    instances = running.closed()[0].instances
    assert [it.sop_instance_uid for it in instances] == ["1.2.3.4.1.1"] * 2
    assert len({it.sha256 for it in instances}) == 2


def test_many_associations_with_one_file_make_one_instance(running: Ingress) -> None:
    answers: list[list[int]] = []
    threads = [threading.Thread(target=lambda: answers.append(stored(running.port, sample()))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    running.go_quiet()
    assert answers == [[0]] * 8
    assert len(running.closed()[0].instances) == 1
    eventually(lambda: not running.temporary())


def test_a_part_closes_when_nothing_came_for_quiet(running: Ingress) -> None:
    with associate(running.port, sample()) as association:
        store(association, sample())
        running.pass_time(29)
        assert len(running.parts) == 1
        running.pass_time(1)
        assert len(running.closed()[0].instances) == 1


def test_a_source_has_times_of_its_own(running: Ingress) -> None:
    stored(running.port, sample(), calling="MR1")
    running.go_quiet(1)
    assert len(running.closed()) == 1


def test_a_late_instance_makes_a_part_of_its_own(tmp_path: Path, running: Ingress) -> None:
    first = [sample(made(tmp_path, f"{n}.dcm", SOPInstanceUID=f"1.2.3.{n}")) for n in range(3)]
    stored(running.port, *first)
    running.go_quiet()
    running.closed()
    late = sample(made(tmp_path, "late.dcm", SOPInstanceUID="1.2.3.9"))
    stored(running.port, late, first[0])
    running.go_quiet()
    manifests = running.closed(2)
    assert [[it.sop_instance_uid for it in manifest.instances] for manifest in manifests] == [
        ["1.2.3.0", "1.2.3.1", "1.2.3.2"],
        ["1.2.3.9"],
    ]
    assert len(manifests[1].duplicates) == 1


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


def test_a_living_runs_parts_are_not_adopted(running: Ingress) -> None:
    stored(running.port, sample())
    (part_id,) = active_parts(running.spool)
    part = read_part(running.spool, part_id)
    assert part is not None
    assert not adopt(running.spool, part, "i-another")


def test_associations_leave_no_thread_no_session_and_no_count_behind(running: Ingress) -> None:
    before, opened = threading.active_count(), metrics.value("dcmrelay_associations_open")
    for _ in range(10):
        stored(running.port, sample())
        echoscu(running.port, calling="CT1")
    eventually(lambda: threading.active_count() == before)
    assert metrics.value("dcmrelay_associations_open") == opened
    assert all(not part.sessions and not part.storing for part in running.parts._parts.values())
