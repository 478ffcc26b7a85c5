"""The walk of A-ASSOCIATE PDUs: it reads what pynetdicom encodes, and ends in nothing but ProtocolError otherwise."""

import contextlib
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pynetdicom.pdu import A_ASSOCIATE_RQ

from shared.dimse import codec
from shared.dimse.items import AssociateRequest, ProposedContext, walk_answer, walk_request
from shared.dimse.negotiation import negotiate
from shared.dimse.terms import APPLICATION_CONTEXT, VERIFICATION
from shared.errors import ProtocolError

CT = "1.2.840.10008.5.1.4.1.1.2"
IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
CONTEXTS = [
    ProposedContext(context_id=1, abstract_syntax=VERIFICATION, transfer_syntaxes=(IMPLICIT,)),
    ProposedContext(context_id=3, abstract_syntax=CT, transfer_syntaxes=(EXPLICIT, IMPLICIT)),
]
REQUEST = codec.associate_request("MODALITY", "RELAY", CONTEXTS, 16384)


def item(kind: int, content: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(content)) + content


def context(context_id: int, abstract: str = CT, transfer: tuple[str, ...] = (EXPLICIT,)) -> bytes:
    items = item(0x30, abstract.encode()) + b"".join(item(0x40, uid.encode()) for uid in transfer)
    return item(0x20, bytes((context_id, 0, 0, 0)) + items)


def body(*variable: bytes, called: bytes = b"RELAY", calling: bytes = b"MODALITY") -> bytes:
    fixed = b"\0\x01\0\0" + called.ljust(16) + calling.ljust(16) + bytes(32)
    return fixed + item(0x10, APPLICATION_CONTEXT.encode()) + b"".join(variable)


def test_a_request_is_read_as_it_was_encoded() -> None:
    request = walk_request(REQUEST[6:])
    assert request == AssociateRequest(
        protocol_version=1,
        called_ae_title="RELAY",
        calling_ae_title="MODALITY",
        fixed_fields=REQUEST[10:74],
        application_context=APPLICATION_CONTEXT,
        contexts=tuple(CONTEXTS),
        user_information=request.user_information,
    )
    assert (request.user_information.max_pdu, request.user_information.asks_asynchronous_operations) == (16384, False)


def test_an_answer_is_read_as_it_was_encoded_and_repeats_the_titles() -> None:
    request = walk_request(REQUEST[6:])
    answer = codec.associate_accept(request, [negotiate(context) for context in request.contexts], 131072)
    assert answer[10:74] == REQUEST[10:74]
    assert walk_answer(answer[6:]).accepted == {1: IMPLICIT, 3: EXPLICIT}
    assert walk_answer(answer[6:]).max_pdu == 131072


def test_an_asked_for_window_of_operations_is_answered_with_one_and_one() -> None:
    user = item(0x50, item(0x51, struct.pack(">L", 16384)) + item(0x53, b"\0\x08\0\x08"))
    request = walk_request(body(context(1), user))
    answer = codec.associate_accept(request, [negotiate(context) for context in request.contexts], 131072)
    assert item(0x53, b"\0\x01\0\x01") in answer


def test_a_role_that_was_asked_for_is_not_answered() -> None:
    role = item(0x54, struct.pack(">H", len(CT)) + CT.encode() + b"\x01\x01")
    request = walk_request(body(context(1), item(0x50, role)))
    answer = codec.associate_accept(request, [negotiate(context) for context in request.contexts], 131072)
    assert b"\x54\x00" not in answer[74:]
    assert walk_answer(answer[6:]).accepted == {1: EXPLICIT}


@pytest.mark.parametrize(
    ("field", "title"),
    [
        (b"", ""),
        (bytes(16), ""),
        (b"  CT1 \0\0", "CT1"),
        (b"ct 1", "ct 1"),
        (b"CT\n\x1b[2J", "CT??[2J"),
        ("CT\u00c9".encode("latin-1"), "CT?"),
        (b"../../../../tmp", "../../../../tmp"),
    ],
)
def test_a_title_loses_its_padding_and_what_cannot_be_printed(field: bytes, title: str) -> None:
    assert walk_request(body(context(1), calling=field)).calling_ae_title == title


def test_unknown_items_and_sub_items_are_passed_over() -> None:
    user = item(0x50, item(0x5F, b"whatever") + item(0x51, struct.pack(">L", 4096)))
    request = walk_request(body(item(0x77, b"new in 2040"), context(1), user))
    assert len(request.contexts) == 1
    assert request.user_information.max_pdu == 4096


def test_a_uid_may_be_padded() -> None:
    assert walk_request(body(context(1, CT + "\0", (EXPLICIT + " ",)))).contexts[0].transfer_syntaxes == (EXPLICIT,)


@pytest.mark.parametrize(
    "variable",
    [
        [],
        [context(2)],
        [context(1), context(1)],
        [context(n % 256) for n in range(1, 259, 2)],
        [context(1, transfer=(EXPLICIT,) * 65)],
        [context(1, "../../etc/passwd")],
        [context(1, "1." + "2" * 63)],
        [context(1, "")],
        [context(1, transfer=("JPEG",))],
        [item(0x20, b"\x01\0\0\0")],
        [item(0x20, b"")],
        [context(1)[:-1]],
        [context(1), b"\x50"],
        [context(1), item(0x50, item(0x51, b"\0"))],
        [context(1), item(0x50, item(0x5F, b"") * 1025)],
    ],
    ids=[
        "no context",
        "even id",
        "same id twice",
        "129 contexts",
        "65 transfer syntaxes",
        "path for a UID",
        "65 characters for a UID",
        "empty UID",
        "word for a UID",
        "no abstract syntax",
        "empty context",
        "cut short",
        "half an item",
        "short maximum length",
        "1025 sub-items",
    ],
)
def test_a_request_out_of_bounds_is_a_protocol_error(variable: list[bytes]) -> None:
    with pytest.raises(ProtocolError):
        walk_request(body(*variable))


def test_128_contexts_are_read() -> None:
    assert len(walk_request(body(*(context(n) for n in range(1, 256, 2)))).contexts) == 128


@given(st.lists(st.tuples(st.integers(0, len(REQUEST) - 7), st.integers(0, 255)), max_size=6), st.integers(0, 400))
@settings(max_examples=400)
def test_a_mutated_request_is_read_or_a_protocol_error(changes: list[tuple[int, int]], cut: int) -> None:
    mutated = bytearray(REQUEST[6:])
    for position, value in changes:
        mutated[position] = value
    for walk in (walk_request, walk_answer):
        with contextlib.suppress(ProtocolError):
            walk(bytes(mutated[: len(mutated) - cut]))


@given(st.binary(max_size=300))
def test_random_items_are_read_or_a_protocol_error(variable: bytes) -> None:
    for walk in (walk_request, walk_answer):
        with contextlib.suppress(ProtocolError):
            walk(body(variable))


def test_our_walk_and_pynetdicom_read_the_same() -> None:
    decoded = A_ASSOCIATE_RQ()
    decoded.decode(REQUEST)
    theirs = decoded.to_primitive()
    ours = walk_request(REQUEST[6:])
    assert [(c.context_id, str(c.abstract_syntax)) for c in theirs.presentation_context_definition_list] == [
        (c.context_id, c.abstract_syntax) for c in ours.contexts
    ]
    assert (theirs.calling_ae_title, theirs.called_ae_title) == (ours.calling_ae_title, ours.called_ae_title)
