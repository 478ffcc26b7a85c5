"""The ingress as a process of its own: killed, started again, traced, with a full disk; no broker anywhere."""

import signal
import subprocess
import threading
from collections.abc import Iterator
from os import geteuid
from pathlib import Path
from shutil import disk_usage
from typing import Any

import pytest
import structlog
from pydicom.data import get_testdata_file

from shared import owner
from shared.broker import Publisher, topology
from shared.errors import PeerRejectedError
from shared.messages import StudyCompleted
from shared.spool.parts import active_parts
from tests.consumers.bench import data_set, write
from tests.peers import dcmsend, free_port, peer_environment, tool
from tests.producers.ingress.running import Sample, associate, ingress, ingress_process, sample, store, stored
from tests.shared.broker.ends import PART, ROUTE, publishing
from tests.support import eventually

FACT = StudyCompleted(id=PART, n=0, part=PART, source="ct-1", instances=1, bytes=1)


def samples(folder: Path, count: int, begin: int = 0, **elements: Any) -> list[Sample]:
    """Small instances of one study."""
    numbers = range(begin, begin + count)
    return [sample(write(folder / f"{n}.dcm", data_set(n, **elements))) for n in numbers]


def test_without_any_broker_instances_are_kept_and_their_part_closes(tmp_path: Path) -> None:
    with ingress_process(tmp_path) as ours:
        assert stored(ours.port, *samples(tmp_path, 3)) == [0, 0, 0]
        (manifest,) = eventually(ours.manifests)
        assert len(manifest.instances) == 3
        assert ours.end(signal.SIGTERM) == 0
        assert "not_told" in ours.log
        assert "CANARY" not in ours.log


def test_a_killed_ingress_goes_on_with_the_open_part_when_it_starts_again(tmp_path: Path) -> None:
    with ingress_process(tmp_path) as ours:
        first, rest = samples(tmp_path, 2), samples(tmp_path, 3, begin=2)
        with associate(ours.port, *first) as association:
            assert [store(association, it) for it in first] == [0, 0]
            assert ours.end(signal.SIGKILL) == -signal.SIGKILL
        (part,) = active_parts(ours.spool)
        ours.start()
        assert stored(ours.port, *rest, *first) == [0] * 5
        (manifest,) = eventually(ours.manifests)
        assert list(active_parts(ours.spool)) == [part]
        assert {it.sop_instance_uid for it in manifest.instances} == {it.sop_instance_uid for it in first + rest}
        assert len(manifest.instances) == 5


def test_a_stopped_ingress_leaves_its_open_part_to_the_next(tmp_path: Path) -> None:
    with ingress_process(tmp_path) as ours:
        stored(ours.port, *samples(tmp_path, 1))
        assert ours.end(signal.SIGTERM) == 0
        assert ours.manifests() == []
        ours.start()
        assert "goes_on_with_open_part" in ours.log
        (manifest,) = eventually(ours.manifests)
        assert len(manifest.instances) == 1


def test_temporary_files_of_a_killed_ingress_are_cleared_at_the_next_start(tmp_path: Path) -> None:
    big = write(tmp_path / "big.dcm", data_set(1, PixelData=bytes(64 << 20), BitsAllocated=8))
    with ingress_process(tmp_path) as ours:
        arguments = ("--aetitle", "CT1", "--call", "DCMRELAY", "127.0.0.1", str(ours.port), big)
        sending = subprocess.Popen([tool("storescu"), *arguments], env=peer_environment())
        eventually(ours.temporary)
        ours.end(signal.SIGKILL)
        sending.wait()
        assert ours.spool.store.list("tmp") == []
        place = owner.draft_name("x").partition(".")[0]
        ours.spool.store.path(f"tmp/{place}.{ours.pid}.1.x").touch()  # as where a draft must have a name
        ours.start()
        assert ours.spool.store.list("tmp") == []
        assert list(active_parts(ours.spool)) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MB, at the place of a relay's folder."""
    if geteuid() != 0:
        pytest.skip("mounting a file system needs root")
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "none", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_refuses_what_does_not_fit_and_takes_it_when_there_is_room(
    tmp_path: Path, small_disk: Path
) -> None:
    sent = samples(tmp_path, 4, PixelData=bytes(8 << 20), BitsAllocated=8)
    with ingress(small_disk) as ours:
        with associate(ours.port, *sent) as association:
            statuses = [store(association, it) for it in sent]
        assert statuses == [0, 0, 0xA700, 0xA700]
        eventually(lambda: not ours.temporary())
        filler = small_disk / "filler"
        filler.write_bytes(bytes(disk_usage(small_disk).free - (1 << 19)))
        with pytest.raises(PeerRejectedError) as error, associate(ours.port, *sent):
            pass
        assert (error.value.result, error.value.source, error.value.reason) == (2, 3, 1)
        filler.unlink()
        ours.go_quiet()
        (manifest,) = ours.closed()
        assert [it.sop_instance_uid for it in manifest.instances] == [it.sop_instance_uid for it in sent[:2]]
        for instance in manifest.instances:
            ours.spool.store.path(instance.file).unlink()
        assert stored(ours.port, *sent[2:]) == [0, 0]


def test_the_router_is_told_of_a_closed_part(tmp_path: Path, broker_url: str) -> None:
    with ingress(tmp_path) as ours, publishing(broker_url) as publisher:
        stored(ours.port, *samples(tmp_path, 1))
        ours.go_quiet()
        ours.closed()
        telling = threading.Thread(target=ours.closing.tell_until_stopped, args=(publisher,))
        telling.start()
        eventually(lambda: publisher.depth(ROUTE) == 1)
        ours.stopping.set()
        telling.join()


def test_a_fact_that_the_broker_does_not_take_stops_nobody(tmp_path: Path) -> None:
    away = Publisher(f"amqp://nobody:s@127.0.0.1:{free_port()}/", topology([]), "test")
    with ingress(tmp_path) as ours, structlog.testing.capture_logs() as lines:
        telling = threading.Thread(target=ours.closing.tell_until_stopped, args=(away,))
        telling.start()
        for _ in range(2):
            ours.closing._to_tell.put(FACT)
        eventually(lambda: len([line for line in lines if line["event"] == "not_told"]) == 2)
        ours.stopping.set()
        telling.join()


def test_a_study_of_real_files_from_dcmsend_is_one_part_each_study(tmp_path: Path) -> None:
    names = ("CT_small.dcm", "MR_small.dcm", "rtplan.dcm")
    files = [Path(str(get_testdata_file(name, download=False))) for name in names]
    with ingress_process(tmp_path) as ours:
        assert dcmsend(ours.port, *files, calling="CT1").returncode == 0
        manifests = eventually(lambda: len(found := ours.manifests()) == 3 and found)
        assert sorted(len(manifest.instances) for manifest in manifests or ()) == [1, 1, 1]
