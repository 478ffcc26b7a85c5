"""Deliveries to destinations that do not take what is stored: transcoded when they may be, refused alone when not."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import chain
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000Lossless, JPEGLosslessSV1

from consumers.anonymizer.handler import Anonymizer
from consumers.sender.contexts import CONTEXTS_AT_MOST, contexts_for, within
from consumers.sender.transcoding import transcoder
from consumers.sender.transcoding.transcoder import Sendable, Transcoder
from shared import metrics
from shared.dimse import VERIFICATION
from shared.errors import DataSetError, StorageError
from shared.spool.parts import Instance
from tests.consumers.bench import Bench, bench, data_set, data_sets, wheel, write
from tests.consumers.sender.compressed import (
    BIG_ENDIAN,
    DEFLATED,
    J2K,
    JPEG_LOSSLESS,
    JPEG_LS,
    RLE,
    broken,
    image,
    rle_frames,
    stored_as,
)
from tests.consumers.sender.peer import Peer, after, aimed, flip_last_byte, listening, sender
from tests.peers import orthanc, store_scp
from tests.support import eventually

LOSSLESS = 'transcode = "lossless"'
# A child in whose decoder something happens to images in RLE.
CHILD = """
import os, signal, time
from consumers.sender.transcoding import __main__, transcode
real = transcode.decoded
def decoded(frame, shape, syntax):
    if syntax == "1.2.840.10008.1.2.5":
        {0}
    return real(frame, shape, syntax)
transcode.decoded = decoded
__main__.main()
"""


@pytest.fixture
def study(tmp_path: Path) -> list[Path]:
    """One image in each lossless syntax, SOP Instance UIDs 1.2.3.4.1.1 and so on, and the original of all."""
    original = image(tmp_path / "original.dcm")
    files = [original]
    for number, program in enumerate((RLE, JPEG_LOSSLESS, JPEG_LS, J2K, DEFLATED, BIG_ENDIAN), 1):
        ds = dcmread(original)
        ds.SOPInstanceUID = f"1.2.3.4.1.{number + 7}"
        other = write(tmp_path / f"{number}.raw", ds)
        files.append(stored_as(program, other, tmp_path / f"{number}.dcm"))
    return files


@pytest.mark.parametrize(
    ("accept", "syntax"),
    [("+xi", ImplicitVRLittleEndian), ("+xe", ExplicitVRLittleEndian)],
    ids=["implicit", "explicit"],
)
def test_a_storescp_that_takes_nothing_compressed_gets_every_image_with_its_pixels(
    tmp_path: Path, study: list[Path], accept: str, syntax: str
) -> None:
    relay = bench(tmp_path)
    with store_scp(tmp_path, accept=(accept, "+B")) as scp:
        aimed(relay, scp.port, LOSSLESS)
        delivery = relay.delivery(relay.part(*study))
        assert after(relay, delivery, sender(relay)).outcome == "delivered"
        arrived = [dcmread(it) for it in scp.files()]
    assert {it.SOPInstanceUID for it in arrived} == {dcmread(it).SOPInstanceUID for it in study}
    assert {it.PixelData for it in arrived} == {dcmread(study[0]).PixelData}
    if accept == "+xi":
        assert {it.file_meta.TransferSyntaxUID for it in arrived} == {syntax}
    assert left_behind(relay) == []


def test_an_orthanc_that_takes_only_implicit_gets_every_image(tmp_path: Path, study: list[Path]) -> None:
    relay = bench(tmp_path)
    only = {f"{kind}TransferSyntaxAccepted": False for kind in ("Deflated", "Jpeg", "Jpeg2000", "JpegLossless", "Rle")}
    with orthanc(tmp_path, AcceptedTransferSyntaxes=[ImplicitVRLittleEndian], **only) as server:
        aimed(relay, server.port, LOSSLESS)
        delivery = relay.delivery(relay.part(*study))
        assert after(relay, delivery, sender(relay)).outcome == "delivered"
        assert len(server.instances()) == len(study)


def test_what_is_accepted_as_it_is_stored_goes_as_it_is_stored(tmp_path: Path, study: list[Path]) -> None:
    relay = bench(tmp_path)
    with listening(Peer()) as peer:
        aimed(relay, peer.port, LOSSLESS)
        part = relay.part(*study)
        assert after(relay, relay.delivery(part), sender(relay)).outcome == "delivered"
    assert peer.kept == {it.sop_instance_uid: it.sha256 for it in relay.manifest(part).instances}


def test_without_the_word_nothing_is_transcoded_and_the_reason_says_the_word(tmp_path: Path, study: list[Path]) -> None:
    relay = bench(tmp_path)
    with store_scp(tmp_path, accept=("+xe", "+B")) as scp:
        aimed(relay, scp.port)
        delivery = relay.delivery(relay.part(*study[:2]))
        state = after(relay, delivery, sender(relay))
        assert len(scp.files()) == 1
    assert (state.status, state.dead_letter_class) == ("held", "refused")
    assert 'transcode = "lossless" at the destination sends it uncompressed' in state.reason


def test_an_image_that_cannot_be_decoded_is_refused_alone(tmp_path: Path, study: list[Path]) -> None:
    relay = bench(tmp_path)
    bad = broken(tmp_path / "bad.dcm", [b"\xff\xd8 no image"] * 3, JPEGLosslessSV1, SOPInstanceUID="1.2.3.4.1.99")
    with store_scp(tmp_path, accept=("+xi", "+B")) as scp:
        aimed(relay, scp.port, LOSSLESS)
        delivery = relay.delivery(relay.part(*study[:3], bad, *study[3:]))
        state = after(relay, delivery, sender(relay))
        assert len(scp.files()) == len(study)
    assert (state.status, state.dead_letter_class) == ("held", "refused")
    assert list(relay.facts(delivery)["refused"]) == ["3"]
    assert JPEGLosslessSV1 in state.reason
    assert "cannot be transcoded: a frame of it does not begin as its transfer syntax says" in state.reason


@pytest.mark.parametrize(
    ("happens", "why"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "a decoder crashed on it"),
        ("os._exit(0)", "a decoder crashed on it"),
        ("__main__.STALL_SECONDS = 1; __main__._alive(); time.sleep(600)", "decoding it takes too long"),
        ("bytearray(1 << 40)", "GiB of memory would be needed"),
        ("raise RecursionError('CANARY')", "it cannot be read (RecursionError)"),
        ("os.write(1, b'{}\\n')", "delivered"),
    ],
    ids=["segfault", "exit", "endless", "memory", "fault", "chatter"],
)
def test_a_decoder_that_fails_costs_its_instance_and_not_the_sender(
    tmp_path: Path, study: list[Path], monkeypatch: pytest.MonkeyPatch, happens: str, why: str
) -> None:
    monkeypatch.setattr(transcoder, "COMMAND", (sys.executable, "-c", CHILD.format(happens)))
    relay = bench(tmp_path)
    with store_scp(tmp_path, accept=("+xi", "+B")) as scp:
        aimed(relay, scp.port, LOSSLESS)
        delivery = relay.delivery(relay.part(*study[:4]))
        state = after(relay, delivery, sender(relay))
        assert len(scp.files()) == (4 if why == "delivered" else 3)
    assert why in (state.reason or state.outcome)
    assert "CANARY" not in state.reason
    assert left_behind(relay) == []


@pytest.mark.parametrize("said", ["no JSON", '["refused"]', '{"else": "x"}', '{"refused": "a\\u0000b"}', '{"": ""}'])
def test_a_child_that_was_taken_over_can_say_nothing_but_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    monkeypatch.setattr(transcoder, "COMMAND", (sys.executable, "-c", f"input(); print({said!r})"))
    relay, ours = with_transcoder(tmp_path)
    with pytest.raises(DataSetError) as refusal, ours(relay.part(wheel("MR_small_RLE.dcm"))):
        pass
    assert refusal.value.reason == "a decoder crashed on it"


def test_a_disk_that_refuses_is_no_refusal_of_the_instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    happens = "raise OSError(28, 'No space left on device')"
    monkeypatch.setattr(transcoder, "COMMAND", (sys.executable, "-c", CHILD.format(happens)))
    relay = bench(tmp_path)
    with store_scp(tmp_path, accept=("+xi", "+B")) as scp:
        aimed(relay, scp.port, LOSSLESS)
        state = after(relay, relay.delivery(relay.part(wheel("MR_small_RLE.dcm"))), sender(relay))
    assert state.status == "waiting"
    assert "No space left" in state.reason


def test_bytes_damaged_on_disk_are_held_and_never_decoded(tmp_path: Path, study: list[Path]) -> None:
    relay = bench(tmp_path)
    with store_scp(tmp_path, accept=("+xi", "+B")) as scp:
        aimed(relay, scp.port, LOSSLESS)
        part = relay.part(*study[:3])
        flip_last_byte(relay.spool.store.path(relay.manifest(part).instances[1].file))
        delivery = relay.delivery(part)
        after(relay, delivery, sender(relay))
        assert len(scp.files()) == 2
    assert list(relay.facts(delivery)["held"]) == ["1"]


def test_a_deidentified_form_is_transcoded_from_the_rendition(tmp_path: Path) -> None:
    relay = bench(tmp_path)
    source = stored_as(JPEG_LOSSLESS, wheel("MR_small.dcm"), tmp_path / "source.dcm")
    original = dcmread(source)
    with store_scp(tmp_path, accept=("+xi", "+B")) as scp:
        aimed(relay, scp.port, f"deidentified_only = true\n{LOSSLESS}")
        delivery = relay.delivery(relay.part(source), form=relay.form())
        relay.look(delivery, Anonymizer(relay.spool, relay.config).handle)
        assert after(relay, delivery, sender(relay)).outcome == "delivered"
        (arrived,) = map(dcmread, scp.files())
    assert arrived.PatientIdentityRemoved == "YES"
    assert arrived.PatientName != original.PatientName
    assert arrived.SOPInstanceUID != original.SOPInstanceUID
    assert arrived.PixelData == dcmread(wheel("MR_small.dcm")).PixelData


def test_transcoded_instances_are_counted_and_so_are_the_bytes_that_went(tmp_path: Path) -> None:
    relay = bench(tmp_path)
    names = ("dcmrelay_instances_transcoded_total", "dcmrelay_sent_bytes_total")
    before = [metrics.value(it, destination="archive") for it in names]
    with store_scp(tmp_path, accept=("+xi", "+B")) as scp:
        aimed(relay, scp.port, LOSSLESS)
        part = relay.part(wheel("MR_small_RLE.dcm"), wheel("MR_small_implicit.dcm"))
        after(relay, relay.delivery(part), sender(relay))
    transcoded, sent = (metrics.value(it, destination="archive") - was for it, was in zip(names, before, strict=True))
    assert transcoded == 1
    assert sent > sum(it.size for it in relay.manifest(part).instances) + 1000


def test_memory_is_that_of_a_frame_and_not_of_the_file(tmp_path: Path) -> None:
    peaks = []
    relay, ours = with_transcoder(tmp_path)
    for count in (1, 200):
        with ours(relay.part(rle_frames(tmp_path / f"{count}.dcm", count))) as it:
            assert it.size > count * 512 * 512 * 2
            peaks.append(peak_of_the_child())
    assert peaks[1] - peaks[0] < 8 << 10


def test_the_peer_is_told_that_we_live_while_an_instance_is_transcoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transcoder, "WAITING_SECONDS", 0.05)
    monkeypatch.setattr(transcoder, "COMMAND", (sys.executable, "-c", CHILD.format("time.sleep(0.5)")))
    relay = bench(tmp_path)
    with store_scp(tmp_path, "-d", accept=("+xi", "+B")) as scp:
        aimed(relay, scp.port, LOSSLESS)
        delivery = relay.delivery(relay.part(wheel("MR_small_RLE.dcm")))
        assert after(relay, delivery, sender(relay)).outcome == "delivered"
        log = scp.directory.with_suffix(".log").read_text(encoding="utf-8", errors="replace")
    assert log.count("Echo Request") > 1


def test_each_kind_is_proposed_as_stored_then_explicit_then_implicit_within_the_limit() -> None:
    instances = {str(n): known(f"1.2.{n % 70}", JPEG2000Lossless if n % 2 else JPEGLosslessSV1) for n in range(140)}
    left, seen = dict(instances), []
    while left:
        contexts = contexts_for(left.values(), may_transcode=True)
        seen.append(contexts)
        assert len(contexts) <= CONTEXTS_AT_MOST
        chosen = within(left, contexts)
        for it in chosen.values():
            of_its_class = [syntax for sop_class, (syntax,) in contexts if sop_class == it.sop_class_uid]
            assert {it.transfer_syntax_uid, ExplicitVRLittleEndian, ImplicitVRLittleEndian} <= set(of_its_class)
        left = {index: it for index, it in left.items() if index not in chosen}
    first = [syntax for _, (syntax,) in seen[0][:3]]
    assert first == [JPEGLosslessSV1, ExplicitVRLittleEndian, ImplicitVRLittleEndian]
    assert seen[0][-1] == (VERIFICATION, [ImplicitVRLittleEndian])
    assert len(list(chain.from_iterable(seen))) > CONTEXTS_AT_MOST


def test_more_kinds_than_one_association_can_carry_are_transcoded_in_several(tmp_path: Path) -> None:
    relay = bench(tmp_path)
    kinds = [f"1.2.840.10008.5.1.4.1.1.{n}" for n in ("2", "4", "7", "20", "128", "6.1", "1", "1.1", "1.2", "1.3")]
    files = [
        write(tmp_path / f"k{n}", data_set(n, sop_class_uid=it), ImplicitVRLittleEndian) for n, it in enumerate(kinds)
    ]
    with store_scp(tmp_path, accept=("+xe", "+B")) as scp:
        aimed(relay, scp.port, LOSSLESS)
        delivery = relay.delivery(relay.part(*files))
        assert after(relay, delivery, sender(relay)).outcome == "delivered"
        assert len(scp.files()) == len(kinds)


def test_no_child_is_started_and_no_decoder_imported_while_nothing_is_transcoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transcoder, "COMMAND", ("/nowhere",))
    relay = bench(tmp_path)
    with listening(Peer()) as peer:
        aimed(relay, peer.port, LOSSLESS)
        assert after(relay, relay.delivery(relay.part(*data_sets(2))), sender(relay)).outcome == "delivered"
    lines = (
        "import sys",
        "import dcmrelay, consumers.sender.__main__",
        "print([it for it in {names} if sys.modules.get(it)])",
    )
    names = ["gdcm", "_gdcm", "numpy", "consumers.sender.transcoding.transcode"]
    code = "\n".join(lines).format(names=names)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_draft_stays_in_the_spool_and_is_gone_afterwards(tmp_path: Path) -> None:
    relay, ours = with_transcoder(tmp_path)
    with ours(relay.part(wheel("MR_small_RLE.dcm"))) as it:
        assert isinstance(it.content, Path)
        assert str(it.content.readlink()).startswith(str(relay.spool.store.path("tmp")))
    assert left_behind(relay) == []


def test_what_can_go_as_it_is_stored_is_not_transcoded_for_an_association_kept_open(tmp_path: Path) -> None:
    relay = bench(tmp_path)
    with listening(Peer()) as peer:
        aimed(relay, peer.port, f'keep_open = "1h"\n{LOSSLESS}')
        ours = sender(relay)
        compressed = stored_as(RLE, image(tmp_path / "original.dcm"), tmp_path / "rle.dcm")
        after(relay, relay.delivery(relay.part(data_set(7, study="1.9"), study="1.9")), ours)
        part = relay.part(compressed)
        assert after(relay, relay.delivery(part), ours).outcome == "delivered"
        ours.release()
    (instance,) = relay.manifest(part).instances
    assert peer.kept[instance.sop_instance_uid] == instance.sha256


def test_a_child_that_was_killed_while_it_had_nothing_to_do_costs_nothing(tmp_path: Path) -> None:
    relay = bench(tmp_path)
    (instance,) = relay.manifest(relay.part(wheel("MR_small_RLE.dcm"))).instances
    ours = Transcoder(relay.spool.store)
    try:
        for _ in range(2):
            with ours.transcoded(instance, ExplicitVRLittleEndian, lambda: None) as it:
                assert it.size > 0
            child = children_of_this_process()[-1]
            os.kill(child, signal.SIGKILL)
            eventually(lambda child=child: Path(f"/proc/{child}/stat").read_text().split()[2] == "Z")
    finally:
        ours.close()


def test_a_storage_error_is_told_from_a_refusal(tmp_path: Path) -> None:
    relay, ours = with_transcoder(tmp_path)
    part = relay.part(wheel("MR_small_RLE.dcm"))
    relay.spool.store.path(relay.manifest(part).instances[0].file).unlink()
    with pytest.raises(StorageError, match="No such file"), ours(part):
        pass


def with_transcoder(folder: Path) -> tuple[Bench, Callable[[str], AbstractContextManager[Sendable]]]:
    """A bench, and what transcodes the first instance of a part to explicit; the block gets what it made."""
    relay = bench(folder)

    @contextmanager
    def ours(part: str) -> Iterator[Sendable]:
        transcoder = Transcoder(relay.spool.store)
        try:
            instance = relay.manifest(part).instances[0]
            with transcoder.transcoded(instance, ExplicitVRLittleEndian, lambda: None) as it:
                yield it
        finally:
            transcoder.close()

    return relay, ours


def known(sop_class_uid: str, transfer_syntax_uid: str) -> Instance:
    return Instance(
        file="f", sha256="", offset=0, size=0, sop_class_uid=sop_class_uid, sop_instance_uid="1.2",
        transfer_syntax_uid=transfer_syntax_uid,
    )  # fmt: skip


def left_behind(relay: Bench) -> list[str]:
    """Temporary files of the spool."""
    return relay.spool.store.list("tmp")


def peak_of_the_child() -> int:
    """Largest resident memory of the running child process, KiB."""
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            command = (status.parent / "cmdline").read_bytes()
            lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        except (FileNotFoundError, ProcessLookupError):
            continue
        if b"consumers.sender.transcoding" in command and int(lines["PPid"]) == os.getpid():
            return int(lines["VmHWM"].split()[0])
    raise AssertionError("no child runs")


def children_of_this_process() -> list[int]:
    me = os.getpid()
    return [int(pid) for pid in Path(f"/proc/{me}/task/{me}/children").read_text().split()]
