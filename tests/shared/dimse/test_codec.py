"""Golden bytes: an upgrade of pynetdicom may not change what we put on the wire.

Written from the standard: PS3.8 9.3.2 (A-ASSOCIATE-RQ), 9.3.3 (-AC), 9.3.4 (-RJ), 9.3.6 to 9.3.8 (release, abort),
Annex F (UIDs, never padded) and D (user information); PS3.7 D.3.3.
"""

import pytest

from shared.dimse import codec, terms
from shared.dimse.items import ProposedContext, walk_request
from shared.dimse.negotiation import negotiate
from shared.dimse.terms import Rejection
from tests.shared.dimse.golden import golden

CT = "1.2.840.10008.5.1.4.1.1.2"
IMPLICIT, EXPLICIT, RLE = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.5"
CONTEXTS = [
    ProposedContext(context_id=1, abstract_syntax=terms.VERIFICATION, transfer_syntaxes=(IMPLICIT,)),
    ProposedContext(context_id=3, abstract_syntax=CT, transfer_syntaxes=(RLE,)),
    ProposedContext(context_id=255, abstract_syntax=CT, transfer_syntaxes=(EXPLICIT, IMPLICIT)),
]

REQUEST = """
01 00 00000166                          ; A-ASSOCIATE-RQ, reserved, length 358 = 68 + 25 + 50 + 60 + 81 + 74
0001 0000                               ; protocol version 1, reserved
'ARCHIVE         ' 'DCMRELAY        '   ; called and calling AE title, 16 characters each
00*32                                   ; reserved
10 00 0015 '1.2.840.10008.3.1.1.1'      ; application context
20 00 002E  01 00 00 00                 ; presentation context 1, 46 bytes = 4 + 21 + 21
  30 00 0011 '1.2.840.10008.1.1'        ; abstract syntax: Verification, 17 characters, not padded
  40 00 0011 '1.2.840.10008.1.2'        ; transfer syntax: implicit VR little endian
20 00 0038  03 00 00 00                 ; presentation context 3, 56 bytes = 4 + 29 + 23
  30 00 0019 '1.2.840.10008.5.1.4.1.1.2'
  40 00 0013 '1.2.840.10008.1.2.5'
20 00 004D  FF 00 00 00                 ; presentation context 255, the last there can be, 77 = 4 + 29 + 23 + 21
  30 00 0019 '1.2.840.10008.5.1.4.1.1.2'
  40 00 0013 '1.2.840.10008.1.2.1'      ; in our order
  40 00 0011 '1.2.840.10008.1.2'
"""
USER_INFORMATION = """
50 00 0046                              ; user information, 70 bytes = 8 + 48 + 14
  51 00 0004 00020000                   ; maximum length received: 131072
  52 00 002C '2.25.275182458763214808819071100322544695201'
  55 00 000A 'DCMRELAY_1'
"""
ANSWER = """
02 00 00000127                          ; A-ASSOCIATE-AC, length 295 = 68 + 25 + 29 + 31 + 31 + 29 + 82
0001 0000
'ARCHIVE         ' 'CT 1            '   ; titles and reserved bytes as they came
11*32
10 00 0015 '1.2.840.10008.3.1.1.1'
21 00 0019  01 00 00 00                 ; context 1: result 0, acceptance
  40 00 0011 '1.2.840.10008.1.2'
21 00 001B  03 00 00 00                 ; context 3: acceptance, of the one we know of two
  40 00 0013 '1.2.840.10008.1.2.1'
21 00 001B  05 00 03 00                 ; context 5: result 3, abstract syntax not supported
  40 00 0013 '1.2.840.10008.1.2.1'      ; not significant
21 00 0019  07 00 04 00                 ; context 7: result 4, transfer syntaxes not supported
  40 00 0011 '1.2.840.10008.1.2'        ; not significant
50 00 004E                              ; user information, 78 bytes = 8 + 48 + 14 + 8
  51 00 0004 00020000
  52 00 002C '2.25.275182458763214808819071100322544695201'
  55 00 000A 'DCMRELAY_1'
  53 00 0004 0001 0001                  ; asynchronous operations window, asked for: one and one
"""
ASKED = """
00 01 0000 'ARCHIVE         ' 'CT 1            ' 11*32
10 00 0015 '1.2.840.10008.3.1.1.1'
20 00 002E  01 00 FF 00  30 00 0011 '1.2.840.10008.1.1'          40 00 0011 '1.2.840.10008.1.2'
20 00 0051  03 00 FF 00  30 00 0019 '1.2.840.10008.5.1.4.1.1.2'  40 00 0013 '1.2.840.10008.1.2.1'
                         40 00 0015 '1.2.840.10008.1.2.999'
20 00 0035  05 00 FF 00  30 00 0016 '1.2.840.10008.5.1.4.31'     40 00 0013 '1.2.840.10008.1.2.1'
20 00 0026  07 00 FF 00  30 00 0019 '1.2.840.10008.5.1.4.1.1.2'  40 00 0001 '1'
50 00 0010  51 00 0004 00004000  53 00 0004 0000 0000
"""


def test_a_request_on_the_wire() -> None:
    expected = golden(REQUEST + USER_INFORMATION)
    assert len(expected) == 6 + int.from_bytes(expected[2:6])
    assert codec.associate_request("DCMRELAY", "ARCHIVE", CONTEXTS, 131072).hex() == expected.hex()


def test_a_title_of_sixteen_characters_fills_its_field() -> None:
    encoded = codec.associate_request("SIXTEEN LETTERS.", "A", CONTEXTS[:1], 16384)
    assert encoded[10:42] == b"A               SIXTEEN LETTERS."


def test_an_answer_on_the_wire() -> None:
    request = walk_request(golden(ASKED))
    expected = golden(ANSWER)
    assert len(expected) == 6 + int.from_bytes(expected[2:6])
    answers = [negotiate(context) for context in request.contexts]
    assert codec.associate_accept(request, answers, 131072).hex() == expected.hex()


def test_an_answer_to_who_asked_for_no_window_has_none() -> None:
    request = walk_request(codec.associate_request("DCMRELAY", "ARCHIVE", CONTEXTS, 16384)[6:])
    answer = codec.associate_accept(request, [negotiate(context) for context in request.contexts], 131072)
    assert answer.endswith(golden(USER_INFORMATION))


@pytest.mark.parametrize(
    ("rejection", "on_the_wire"),
    [
        (terms.NO_REASON, "01 01 01"),
        (terms.APPLICATION_CONTEXT_NOT_SUPPORTED, "01 01 02"),
        (terms.CALLING_NOT_RECOGNIZED, "01 01 03"),
        (terms.CALLED_NOT_RECOGNIZED, "01 01 07"),
        (terms.PROTOCOL_VERSION_NOT_SUPPORTED, "01 02 02"),
        (terms.TEMPORARY_CONGESTION, "02 03 01"),
        (terms.LOCAL_LIMIT, "02 03 02"),
    ],
)
def test_a_rejection_on_the_wire(rejection: Rejection, on_the_wire: str) -> None:
    assert codec.associate_reject(rejection).hex() == golden(f"03 00 00000004 00 {on_the_wire}").hex()


@pytest.mark.parametrize(
    ("encoded", "on_the_wire"),
    [
        (codec.release_request(), "05 00 00000004 00000000"),
        (codec.release_response(), "06 00 00000004 00000000"),
        (codec.abort(0), "07 00 00000004 00 00 00 00"),  # source 0: the service user
        (codec.abort(2, 1), "07 00 00000004 00 00 02 01"),  # source 2: the provider; 1: unrecognized PDU
        (codec.abort(2, 6), "07 00 00000004 00 00 02 06"),  # 6: invalid parameter value
    ],
)
def test_release_and_abort_on_the_wire(encoded: bytes, on_the_wire: str) -> None:
    assert encoded.hex() == golden(on_the_wire).hex()
