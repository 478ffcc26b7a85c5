"""What comes in by C-STORE, from DCMTK and from our own requestor, and what the spool then holds."""

import hashlib
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import dcmread

from shared import metrics
from shared.spool.closing import late_id
from shared.spool.parts import (
    Manifest,
    active_parts,
    open_part,
    read_part,
)
from shared.spool.runs import adopt
from tests.peers import dcmsend, echoscu, store_scp, storescu
from tests.producers.ingress.running import Ingress, associate, ingress, made, sample, store, stored
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
    assert part.host == "127.0.0.1"
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


def test_a_living_runs_parts_are_not_adopted(running: Ingress) -> None:
    stored(running.port, sample())
    (part_id,) = active_parts(running.spool)
    part = read_part(running.spool, part_id)
    assert part is not None
    assert not adopt(running.spool, part, "i-another")


def test_a_damaged_open_part_keeps_nobody_from_starting(tmp_path: Path) -> None:
    with ingress(tmp_path) as first:
        stored(first.port, sample())
        (part_id,) = active_parts(first.spool)
    path = first.spool.store.path(f"parts/{part_id}/part.json")
    path.write_bytes(b"")
    with ingress(tmp_path) as second:
        assert stored(second.port, sample()) == [0]


def test_a_late_part_that_was_being_made_takes_nothing_more(tmp_path: Path) -> None:
    """Or what lands in it would be in no manifest: its closing reads the files of the part it is late of."""
    with ingress(tmp_path) as first:
        stored(first.port, sample())
        (part_id,) = active_parts(first.spool)
    part = read_part(first.spool, part_id)
    assert part is not None
    first.run.end()
    open_part(first.spool, replace(part, id=late_id(part_id, 1), late_of=part_id))
    first.spool.store.path(f"parts/{part_id}/part.json").unlink()
    with ingress(tmp_path) as second:
        stored(second.port, sample(made(tmp_path, "more.dcm", SOPInstanceUID="1.2.3.9")))
        assert second.spool.store.list(f"parts/{late_id(part_id, 1)}/instances") == []


def threads() -> int:
    """How many run, without those that hash, which stay."""
    return sum(not thread.name.startswith("hashing") for thread in threading.enumerate())


def test_associations_leave_no_thread_no_session_and_no_count_behind(running: Ingress) -> None:
    before, opened = threads(), metrics.value("dcmrelay_associations_open")
    for _ in range(10):
        stored(running.port, sample())
        echoscu(running.port, calling="CT1")
    eventually(lambda: threads() == before)
    assert metrics.value("dcmrelay_associations_open") == opened
    assert all(not part.sessions and not part.storing for part in running.parts._parts.values())
