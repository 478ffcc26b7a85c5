"""Command sets: what we encode other implementations read, and what others may send is read or refused."""

import contextlib
import struct
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.filereader import read_dataset

from shared.dimse.commands import (
    C_ECHO_RQ,
    C_STORE_RQ,
    C_STORE_RSP,
    MOST_BYTES,
    Command,
    echo_request,
    parse_command,
    response_to,
    store_request,
)
from shared.errors import ProtocolError

CT, INSTANCE = "1.2.840.10008.5.1.4.1.1.2", "1.2.3.4.5"


def element(tag: int, content: bytes, group: int = 0) -> bytes:
    return struct.pack("<HHL", group, tag, len(content)) + content


FIELD, NO_DATA = element(0x0100, b"\x01\x00"), element(0x0800, b"\x01\x01")


def test_a_store_request_is_read_as_it_was_encoded() -> None:
    assert parse_command(store_request(7, CT, INSTANCE)) == Command(
        field=C_STORE_RQ,
        has_data_set=True,
        message_id=7,
        message_id_responded_to=None,
        status=None,
        affected_sop_class_uid=CT,
        affected_sop_instance_uid=INSTANCE,
    )


def test_a_response_repeats_the_request() -> None:
    response = parse_command(response_to(parse_command(store_request(7, CT, INSTANCE)), 0xA700))
    assert (response.field, response.message_id_responded_to, response.status) == (C_STORE_RSP, 7, 0xA700)
    assert (response.affected_sop_class_uid, response.affected_sop_instance_uid) == (CT, INSTANCE)
    assert not response.has_data_set


def test_another_implementation_reads_our_requests() -> None:
    encoded = store_request(65535, CT, INSTANCE, move_originator=("PACS1", 12))
    ds = read_dataset(BytesIO(encoded), is_implicit_VR=True, is_little_endian=True)
    assert ds.CommandGroupLength == len(encoded) - 12
    assert (ds.CommandField, ds.MessageID, ds.Priority, ds.CommandDataSetType) == (C_STORE_RQ, 65535, 0, 1)
    assert (ds.AffectedSOPClassUID, ds.AffectedSOPInstanceUID) == (CT, INSTANCE)
    assert (ds.MoveOriginatorApplicationEntityTitle, ds.MoveOriginatorMessageID) == ("PACS1", 12)
    echo = read_dataset(BytesIO(echo_request(3, "1.2.840.10008.1.1")), is_implicit_VR=True, is_little_endian=True)
    assert (echo.CommandField, echo.MessageID, echo.CommandDataSetType) == (C_ECHO_RQ, 3, 0x0101)


def test_what_is_missing_is_none_and_what_is_unknown_is_passed_over() -> None:
    command = parse_command(element(0x9999, b"what") + FIELD + NO_DATA)
    assert (command.message_id, command.status, command.affected_sop_instance_uid) == (None, None, None)


@pytest.mark.parametrize(
    "encoded",
    [
        b"",
        FIELD,
        NO_DATA,
        FIELD + NO_DATA + b"\0",
        FIELD + NO_DATA + struct.pack("<HHL", 0, 0x1000, 0xFFFFFFF0),
        FIELD + NO_DATA + element(0x0010, b"CANARY^P", group=0x0010),
        FIELD + FIELD + NO_DATA,
        element(0x0100, b"\x01\0\0\0") + NO_DATA,
        FIELD + NO_DATA + element(0x5110, bytes(MOST_BYTES)),
    ],
    ids=[
        "empty",
        "no data set type",
        "no field",
        "odd byte",
        "length past the end",
        "another group",
        "same element twice",
        "field of two numbers",
        "over 64 KiB",
    ],
)
def test_a_bad_command_set_is_a_protocol_error_that_quotes_nothing(encoded: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse_command(encoded)
    assert "CANARY" not in str(caught.value)


@given(st.binary(max_size=200))
def test_random_bytes_are_read_or_a_protocol_error(encoded: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        parse_command(FIELD + NO_DATA + encoded)
