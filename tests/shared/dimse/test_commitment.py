"""Storage commitment on the wire: what we write others read, what others write we read, and nothing hostile hurts."""

import struct
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset

from shared.dimse.commands import action_request, event_report_request, parse_command, response_to
from shared.dimse.commitment import (
    CommitmentReport,
    CommitmentRequest,
    Reference,
    TooManyReferencesError,
    encode_report,
    encode_request,
    parse_report,
    parse_request,
)
from shared.errors import ProtocolError
from tests.modality import request_of

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
ONE, TWO = Reference("1.2.840.10008.5.1.4.1.1.2", "1.2.3.4"), Reference("1.2.840.10008.5.1.4.1.1.4", "1.2.3.45")


def encoded(ds: Dataset, *, implicit: bool, open_ended: bool = False) -> bytes:
    for element in ds:
        if element.VR == "SQ" and open_ended:
            element.is_undefined_length = True
            for item in element.value:
                item.is_undefined_length_sequence_item = True
    out = DicomBytesIO()
    out.is_little_endian, out.is_implicit_VR = True, implicit
    write_dataset(out, ds)
    return out.getvalue()


@pytest.mark.parametrize("open_ended", [False, True])
@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT])
def test_a_request_is_read_however_it_is_written(syntax: str, open_ended: bool) -> None:
    ds = request_of("1.9.1", (ONE.sop_class_uid, ONE.sop_instance_uid), (TWO.sop_class_uid, TWO.sop_instance_uid))
    deeper = Dataset()
    deeper.ReferencedSOPSequence = [Dataset()]
    ds.ReferencedPerformedProcedureStepSequence = [deeper]
    found = parse_request(encoded(ds, implicit=syntax == IMPLICIT, open_ended=open_ended), syntax)
    assert found == CommitmentRequest(transaction_uid="1.9.1", references=(ONE, TWO))


def test_what_we_write_is_read_by_others_and_by_us() -> None:
    report = CommitmentReport(transaction_uid="1.9.1", committed=(ONE,), failed={TWO: 0x0112})
    ds = read_dataset(BytesIO(encode_report(report)), is_implicit_VR=True, is_little_endian=True)
    assert (ds.TransactionUID, ds.FailedSOPSequence[0].FailureReason) == ("1.9.1", 0x0112)
    assert parse_report(encode_report(report), IMPLICIT) == report
    assert report.event_type_id == 2
    request = CommitmentRequest(transaction_uid="1.9.1", references=(ONE, TWO))
    assert parse_request(encode_request(request), IMPLICIT) == request


def test_commands_carry_class_instance_and_type_and_are_answered_with_them() -> None:
    for encode in (action_request, event_report_request):
        command = parse_command(encode(7, "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1", 1))
        assert (command.message_id, command.type_id, command.affected_sop_instance_uid) == (
            7, 1, "1.2.840.10008.1.20.1.1",
        )  # fmt: skip
        response = parse_command(response_to(command, 0x0110))
        assert (response.message_id_responded_to, response.status, response.type_id) == (7, 0x0110, 1)


def test_one_that_is_named_among_the_failed_is_not_committed() -> None:
    report = CommitmentReport(transaction_uid="1.9.1", committed=(ONE,), failed={ONE: 0x0110})
    assert parse_report(encode_report(report), IMPLICIT).committed == ()


NESTED = struct.pack("<HHL", 8, 0x1199, 0xFFFFFFFF) + struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)
UID = struct.pack("<HHL", 8, 0x1195, 4) + b"1.2\0"


@pytest.mark.parametrize(
    "hostile",
    [
        b"",
        UID,
        NESTED * 10_000,
        UID + struct.pack("<HHL", 8, 0x1199, 0xFFFFFFF0),
        UID + struct.pack("<HHL", 8, 0x1199, 8) + struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFF0),
        UID + struct.pack("<HHL", 8, 0x1199, 0xFFFFFFFF),
        UID + struct.pack("<HHL", 8, 0x1199, 8) + struct.pack("<HHL", 0xFFFE, 0xE000, 0),
        UID + struct.pack("<HHL", 8, 0x1199, 8) + struct.pack("<HHL", 8, 0x1155, 0),
    ],
    ids=["nothing", "no sequence", "deep", "too long", "long item", "no end", "empty item", "no item"],
)
def test_what_cannot_be_a_request_is_refused(hostile: bytes) -> None:
    for syntax in (IMPLICIT, EXPLICIT):
        with pytest.raises(ProtocolError):
            parse_request(hostile, syntax)


def test_more_references_than_are_taken_are_refused() -> None:
    many = tuple(Reference("1.2", f"1.2.{number}") for number in range(20_001))
    with pytest.raises(TooManyReferencesError):
        parse_request(encode_request(CommitmentRequest(transaction_uid="1.2", references=many)), IMPLICIT)


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=200), st.integers(0, 200), st.sampled_from((IMPLICIT, EXPLICIT)))
def test_whatever_comes_it_is_read_or_refused(noise: bytes, at: int, syntax: str) -> None:
    whole = encode_request(CommitmentRequest(transaction_uid="1.2", references=(ONE, TWO)))
    for content in (noise, whole[:at] + noise, whole[:at] + noise + whole[at + len(noise) :]):
        try:
            parse_request(content, syntax)
        except ProtocolError:
            continue
