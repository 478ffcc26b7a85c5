"""The first elements of an instance, read with bounds; what is wrong with it never quotes it."""

import os
import struct
import tracemalloc
import zlib
from pathlib import Path

import pytest

from shared.dimse import part10_header
from shared.errors import DataSetError, StorageError
from shared.headers import LARGEST_INFLATED_BYTES, Identity, read_header, read_identity, read_meta
from tests.shared.spool.examples import data_set, header_of

UID = "1.2.3.4.1"
_DEFLATED, _IMPLICIT, _BIG = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"
_CT = "1.2.840.10008.5.1.4.1.1.2"
_UNDEFINED = 0xFFFFFFFF


def element(tag: int, vr: bytes, content: bytes, length: int | None = None) -> bytes:
    """An element, explicit VR little endian."""
    size = len(content) if length is None else length
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr)
    long = vr in (b"SQ", b"OB", b"UN", b"UT")
    return head + (struct.pack("<HI", 0, size) if long else struct.pack("<H", size)) + content


def nested(depth: int) -> bytes:
    """A sequence in a sequence in a sequence, of undefined lengths."""
    item = b"\xfe\xff\x00\xe0" + struct.pack("<I", _UNDEFINED)
    return (element(0x00081115, b"SQ", b"", _UNDEFINED) + item) * depth


def deflated(content: bytes, level: int = 1) -> bytes:
    packer = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush()


def write(path: Path, content: bytes, transfer_syntax: str = "1.2.840.10008.1.2.1") -> Path:
    head = part10_header(sop_class_uid=_CT, sop_instance_uid=UID, transfer_syntax_uid=transfer_syntax)
    path.write_bytes(head + content)
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "instance"


def test_an_instance_is_known_by_its_four_uids(file: Path) -> None:
    identity = read_identity(write(file, data_set(UID)))
    assert identity.sop_class_uid == _CT
    assert identity.sop_instance_uid == UID
    assert identity.study_instance_uid == "1.2.3.4"
    assert identity.series_instance_uid == "1.2.3.4.5"


def test_a_data_set_begins_right_behind_its_meta_information(file: Path) -> None:
    write(file, data_set(UID))
    offset, transfer_syntax = read_meta(file)
    assert file.read_bytes()[offset:] == data_set(UID)
    assert transfer_syntax == "1.2.840.10008.1.2.1"


def test_only_what_was_asked_for_is_read(file: Path) -> None:
    header = read_header(write(file, data_set(UID)), ["Modality", "PatientSex"])
    assert header.get("Modality") == "CT"
    assert "PatientSex" not in header
    assert "PatientName" not in header


def test_nothing_behind_the_last_element_asked_for_is_read(file: Path) -> None:
    content = data_set(UID)[: data_set(UID).index(b"\x10\x00\x10\x00PN")] + b"\x10\x00\x10\x00PN\xff\xffgarbage"
    assert read_identity(write(file, content)).study_instance_uid == ""
    assert read_header(write(file, content), ["Modality"]).get("Modality") == "CT"


@pytest.mark.parametrize("syntax", [_DEFLATED, _IMPLICIT, _BIG])
def test_other_transfer_syntaxes_are_read_too(file: Path, syntax: str) -> None:
    uid = b"1.2.3.4.1\0"
    contents = {
        _DEFLATED: deflated(data_set(UID)),
        _IMPLICIT: struct.pack("<HHI", 8, 0x18, len(uid)) + uid,
        _BIG: struct.pack(">HH2sH", 8, 0x18, b"UI", len(uid)) + uid,
    }
    assert read_identity(write(file, contents[syntax], syntax)).sop_instance_uid == UID


@pytest.mark.parametrize("value", ["a", "../../etc/passwd", "1.2\\1.3", "1" * 65, "1.2\x00x", ""])
def test_what_is_no_uid_reads_as_none(file: Path, value: str) -> None:
    content = element(0x00080018, b"UI", value.encode())
    assert read_identity(write(file, content)).sop_instance_uid == ""


@pytest.mark.parametrize("value", ["1.2.3\0", "1.2.3 ", "1.2.3"])
def test_padding_is_no_part_of_a_uid(file: Path, value: str) -> None:
    assert read_identity(write(file, element(0x00080018, b"UI", value.encode()))).sop_instance_uid == "1.2.3"


def test_a_deflated_bomb_is_inflated_no_further_than_the_bound(file: Path) -> None:
    bomb = element(0x00080005, b"UT", b"", 1 << 30) + bytes(64 << 20)
    packed = deflated(bomb)
    assert len(packed) < 1 << 20
    write(file, packed, _DEFLATED)
    assert peak_memory_of(file) < 8 * LARGEST_INFLATED_BYTES


def test_a_large_deflated_instance_is_not_read_whole(file: Path) -> None:
    content = data_set(UID) + element(0x7FE10010, b"OB", os.urandom(48 << 20))
    write(file, deflated(content, level=0), _DEFLATED)
    assert read_identity(file).sop_instance_uid == UID
    assert peak_memory_of(file) < 8 * LARGEST_INFLATED_BYTES


def peak_memory_of(file: Path) -> int:
    """The most bytes that reading a file's identity takes at once."""
    tracemalloc.start()
    try:
        identity_or_error(file)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return peak


def hostile_files() -> dict[str, bytes]:
    name = b"CANARY^PATIENT  "
    head = header_of(UID)
    return {
        "empty": b"",
        "text": name * 100,
        "a preamble only": bytes(128) + b"DICM",
        "no transfer syntax": bytes(128) + b"DICM" + element(0x00020000, b"UL", b"\0\0\0\0"),
        "meta longer than the file": bytes(128) + b"DICM" + element(0x00020000, b"UL", b"\xff\xff\xff\x7f"),
        "a name for a transfer syntax": part10_header(
            sop_class_uid=_CT, sop_instance_uid=UID, transfer_syntax_uid="CANARY^PATIENT"
        ) + data_set(UID),
        "garbage": head + bytes(range(256)) * 64,
        "an element longer than the file": head + element(0x00080018, b"UI", name, 0xFFFE),
        "300 nested sequences": head + nested(300),
        "20,000 nested sequences": head + nested(20_000),
        "an unknown VR": head + b"\x08\x00\x18\x00??\x10\x00" + name,
        "an undefined length without an end": head + element(0x00081115, b"SQ", name, _UNDEFINED),
        "an unknown character set": head + element(0x00080005, b"CS", b"CANARY^PATIENT") + element(
            0x00080018, b"UI", b"1.2.3.4"
        ),
        "not deflated": part10_header(sop_class_uid=_CT, sop_instance_uid=UID, transfer_syntax_uid=_DEFLATED) + name,
    }  # fmt: skip


def identity_or_error(file: Path) -> Identity | DataSetError:
    try:
        return read_identity(file)
    except DataSetError as error:
        return error


@pytest.mark.parametrize("name", hostile_files())
def test_a_hostile_file_is_read_as_far_as_it_goes_or_refused_without_quoting_it(file: Path, name: str) -> None:
    file.write_bytes(hostile_files()[name])
    said = identity_or_error(file)
    assert "CANARY" not in repr(said)
    if isinstance(said, DataSetError):
        assert (said.dead_letter_class, said.__cause__) == ("invalid", None)


@pytest.mark.parametrize(
    "name", ["empty", "text", "a preamble only", "no transfer syntax", "not deflated", "300 nested sequences"]
)
def test_what_is_no_dicom_is_refused(file: Path, name: str) -> None:
    file.write_bytes(hostile_files()[name])
    with pytest.raises(DataSetError):
        read_identity(file)


def test_a_file_that_is_gone_is_damaged_like_any_other(file: Path) -> None:
    for read in (read_meta, read_identity):
        with pytest.raises(DataSetError, match="is gone"):
            read(file)


def test_a_disk_that_refuses_says_nothing_about_the_instance(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StorageError, match="Is a directory"):
        read_identity(file.parent)
    write(file, data_set(UID))

    def refuse(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("shared.headers.read_dataset", refuse)
    with pytest.raises(StorageError, match="Input/output error"):
        read_identity(file)
