"""Golden bytes: an upgrade of pynetdicom may not change what we put on the wire."""

from shared.dimse import codec
from shared.dimse.items import ProposedContext, walk_request
from shared.dimse.negotiation import negotiate
from shared.dimse.terms import CALLING_NOT_RECOGNIZED, IMPLEMENTATION_CLASS_UID, VERIFICATION

IMPLICIT = "1.2.840.10008.1.2"
CONTEXT = ProposedContext(context_id=1, abstract_syntax=VERIFICATION, transfer_syntaxes=(IMPLICIT,))
USER = (
    b"\x50\x00\x00\x46\x51\x00\x00\x04\x00\x02\x00\x00"
    b"\x52\x00\x00\x2c" + IMPLEMENTATION_CLASS_UID.encode() + b"\x55\x00\x00\x0aDCMRELAY_1"
)


def test_a_request_on_the_wire() -> None:
    expected = (
        b"\x01\x00\x00\x00\x00\xd9\x00\x01\x00\x00"
        b"ARCHIVE         DCMRELAY        "
        + bytes(32)
        + b"\x10\x00\x00\x151.2.840.10008.3.1.1.1"
        + b"\x20\x00\x00\x2e\x01\x00\x00\x00\x30\x00\x00\x111.2.840.10008.1.1\x40\x00\x00\x111.2.840.10008.1.2"
        + USER
    )
    assert codec.associate_request("DCMRELAY", "ARCHIVE", [CONTEXT], 131072) == expected


def test_an_answer_on_the_wire() -> None:
    request = walk_request(codec.associate_request("DCMRELAY", "ARCHIVE", [CONTEXT], 131072)[6:])
    expected = (
        b"\x02\x00\x00\x00\x00\xc4\x00\x01\x00\x00"
        b"ARCHIVE         DCMRELAY        "
        + bytes(32)
        + b"\x10\x00\x00\x151.2.840.10008.3.1.1.1"
        + b"\x21\x00\x00\x19\x01\x00\x00\x00\x40\x00\x00\x111.2.840.10008.1.2"
        + USER
    )
    assert codec.associate_accept(request, [negotiate(CONTEXT)], 131072) == expected


def test_the_short_pdus_on_the_wire() -> None:
    assert codec.associate_reject(CALLING_NOT_RECOGNIZED) == b"\x03\0\0\0\0\x04\0\x01\x01\x03"
    assert codec.release_request() == b"\x05\0\0\0\0\x04\0\0\0\0"
    assert codec.release_response() == b"\x06\0\0\0\0\x04\0\0\0\0"
    assert codec.abort(2, 1) == b"\x07\0\0\0\0\x04\0\0\x02\x01"
