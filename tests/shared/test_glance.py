"""A glance at the first bytes says what pydicom would say, or nothing."""

import random
import warnings
from collections import Counter
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import CTImageStorage, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from shared.dimse import part10_header
from shared.errors import DataSetError
from shared.glance import LONGEST, identity_in
from shared.headers import Identity, read_identity

KNOWN = Identity(
    sop_class_uid=CTImageStorage,
    sop_instance_uid="1.2.3.4.5",
    study_instance_uid="1.2.3",
    series_instance_uid="1.2.3.4",
)


def ct(**more: object) -> Dataset:
    ds = Dataset()
    ds.SpecificCharacterSet, ds.SOPClassUID, ds.SOPInstanceUID = "ISO_IR 100", CTImageStorage, "1.2.3.4.5"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.InstanceNumber = "1.2.3", "1.2.3.4", 7
    ds.PatientName, ds.Modality, ds.ImageComments = "CANARY^PATIENT", "CT", "there is more"
    ds.private_block(0x0009, "SOMEBODY", create=True).add_new(1, "UN", b"\1\2\3\4")
    for keyword, value in more.items():
        setattr(ds, keyword, value)
    return ds


def encoded(ds: Dataset, *, implicit: bool = False, undefined_lengths: bool = False) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = implicit, True
    for element in ds:
        if element.VR == "SQ":
            element.is_undefined_length = undefined_lengths
    write_dataset(buffer, ds)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("syntax", "implicit"),
    [(ExplicitVRLittleEndian, False), (ImplicitVRLittleEndian, True)],
    ids=["explicit", "implicit"],
)
def test_the_four_uids_of_an_ordinary_header_are_seen(syntax: str, implicit: bool) -> None:
    assert identity_in(encoded(ct(), implicit=implicit), syntax) == KNOWN


def test_a_sequence_of_defined_length_is_passed_over() -> None:
    item = Dataset()
    item.ReferencedSOPInstanceUID = "9.9.9"
    content = encoded(ct(ReferencedImageSequence=[item]))
    assert identity_in(content, ExplicitVRLittleEndian) == KNOWN


def test_what_is_not_plain_is_left_to_pydicom() -> None:
    item = Dataset()
    item.ReferencedSOPInstanceUID = "9.9.9"
    plain = encoded(ct())
    at = plain.index(b"\x08\x00\x18\x00UI")
    not_plain = {
        "a sequence of undefined length": encoded(ct(ReferencedImageSequence=[item]), undefined_lengths=True),
        "cut short": plain[:100],
        "ends behind the last": plain[: plain.index(b"1.2.3.4", plain.index(b"\x20\x00\x0e\x00")) + 8],
        "no SOP Instance UID": plain[:at] + plain[at + 18 :],
        "not a UID": plain.replace(b"1.2.3.4.5", b"1.2.x.4.5"),
        "a space before it": plain.replace(b"1.2.3.4.5", b" .2.3.4.5"),
        "an unknown VR": plain.replace(b"\x08\x00\x18\x00UI", b"\x08\x00\x18\x00UJ"),
        "another VR": plain.replace(b"\x08\x00\x18\x00UI", b"\x08\x00\x18\x00LO"),
        "not in order": plain[at : at + 18] + plain,
        "a length beyond what is there": plain.replace(b"\x10\x00\x10\x00PN\x0e\x00", b"\x10\x00\x10\x00PN\xff\xff"),
        "empty": b"",
    }
    told = {what for what, content in not_plain.items() if identity_in(content, ExplicitVRLittleEndian) is not None}
    assert told == set()
    assert identity_in(plain, DeflatedExplicitVRLittleEndian) is None


def test_a_mutated_header_never_tells_another_identity_than_pydicom_reads(tmp_path: Path) -> None:
    draw, told = random.Random(20260304), Counter[bool]()
    plain = {ExplicitVRLittleEndian: encoded(ct()), ImplicitVRLittleEndian: encoded(ct(), implicit=True)}
    for _ in range(3000):
        syntax = draw.choice([*plain])
        content = bytearray(plain[syntax])
        for _ in range(draw.choice((1, 1, 2))):
            at = draw.randrange(len(content))
            content[at : at + draw.choice((0, 1, 1, 1, 8))] = draw.randbytes(draw.choice((0, 1, 1, 1, 8)))
        seen = identity_in(bytes(content[:LONGEST]), syntax)
        told[seen is not None] += 1
        assert seen is None or seen == _read(tmp_path / "mutated.dcm", bytes(content), syntax)
    assert min(told.values()) > 300


def _read(file: Path, content: bytes, syntax: str) -> Identity | None:
    head = part10_header(sop_class_uid=CTImageStorage, sop_instance_uid="1.2", transfer_syntax_uid=syntax)
    file.write_bytes(head + content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return read_identity(file)
        except DataSetError:
            return None
