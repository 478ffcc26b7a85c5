"""What other people's applications really say, captured once: read as it was meant, and answered so that they read it.

The files in `captured/` hold A-ASSOCIATE-RQs as applications sent them to a socket, and A-ASSOCIATE-ACs to the request
below. They need none of the applications, so an upgrade of pynetdicom is tested where these are not.
"""

import pytest
from pynetdicom.pdu import A_ASSOCIATE_AC

from shared.dimse import codec
from shared.dimse.items import ProposedContext, walk_answer, walk_request
from shared.dimse.negotiation import ACCEPTED, negotiate
from tests.shared.dimse.golden import captured, golden

VERIFICATION, FIND = "1.2.840.10008.1.1", "1.2.840.10008.5.1.4.31"
CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
IMPLICIT, EXPLICIT, BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
JPEG_LOSSLESS, J2K_LOSSLESS, RLE = "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.5"

ALL, NONE = "all", "none"
# File: calling AE title, maximum PDU length, contexts proposed, taken, and what CT or Verification would travel in.
REQUESTS = {
    "storescu": ("MODALITY", 16384, 128, ALL, [EXPLICIT, BIG]),
    "storescu-jpeg": ("MODALITY", 16384, 2, ALL, [JPEG_LOSSLESS, EXPLICIT]),
    "dcmsend": ("MODALITY", 16384, 2, ALL, [EXPLICIT]),
    "findscu": ("MODALITY", 16384, 1, NONE, []),
    "echoscu": ("MODALITY", 16384, 1, ALL, [IMPLICIT]),
    "orthanc-store": ("ORTHANC", 16384, 126, ALL, [EXPLICIT, IMPLICIT]),
    "orthanc-echo": ("ORTHANC", 16384, 5, "the first", [IMPLICIT]),
    "pynetdicom": ("MODALITY", 16382, 2, ALL, [IMPLICIT, IMPLICIT]),
    "pynetdicom-extended": ("MODALITY", 16382, 1, ALL, [IMPLICIT]),
}
# By hand, in the manner of others: sub-items in another order, without a version name, with what is long retired.
FIXED = "0001 0000 'DCMRELAY        ' 'MODALITY        ' 00*32  10 00 0015 '1.2.840.10008.3.1.1.1'"
ONE_CT = "20 00 0038 01 00 00 00  30 00 0019 '1.2.840.10008.5.1.4.1.1.2'  40 00 0013 '1.2.840.10008.1.2.1'"
OTHERS = {
    "dcm4che: role, window of any number, common extended negotiation": f"""
        {FIXED} {ONE_CT}
        50 00 00AF
          51 00 0004 00003FFA
          52 00 0011 '1.2.40.0.13.1.1.1'
          53 00 0004 0000 0000                                        ; any number of operations
          54 00 001D 0019 '1.2.840.10008.5.1.4.1.1.2' 00 01           ; SCU no, SCP yes
          55 00 000E 'dcm4che-2.0.29'
          57 00 0053 001D '1.2.840.10008.5.1.4.1.1.88.22' 0011 '1.2.840.10008.4.2' 001F 001D
                     '1.2.840.10008.5.1.4.1.1.88.11'
    """,
    "a console: no version name, user information before the contexts, reserved bytes not zero": f"""
        {FIXED.replace("0001 0000", "0001 FFFF").replace("00*32", "20*32")}
        50 FF 001F
          51 FF 0004 00020000
          52 FF 0013 '1.3.12.2.1107.5.8.2'
        {ONE_CT.replace("01 00 00 00", "01 FF FF FF")}
    """,
    "a workstation: UIDs padded to even length, user identity of a kind to come, no maximum length": f"""
        {FIXED}
        20 00 003A  01 00 00 00  30 00 001A '1.2.840.10008.5.1.4.1.1.2' 00  40 00 0014 '1.2.840.10008.1.2.1' 00
        50 00 002E
          52 00 0014 '1.2.840.113619.6.33' 00
          55 00 0006 'CW 2.1'
          58 00 0008 06 00 0002 'xx' 0000
    """,
}
ASKED = [
    ProposedContext(context_id=1, abstract_syntax=VERIFICATION, transfer_syntaxes=(IMPLICIT,)),
    ProposedContext(context_id=3, abstract_syntax=CT, transfer_syntaxes=(J2K_LOSSLESS,)),
    ProposedContext(context_id=5, abstract_syntax=CT, transfer_syntaxes=(EXPLICIT, IMPLICIT)),
    ProposedContext(context_id=7, abstract_syntax=FIND, transfer_syntaxes=(IMPLICIT,)),
]
ANSWERS = {
    "answer-storescp": ({1: IMPLICIT, 3: J2K_LOSSLESS, 5: EXPLICIT}, 16384),
    "answer-storescp-implicit": ({1: IMPLICIT, 5: IMPLICIT}, 16384),
    "answer-orthanc": ({1: IMPLICIT, 3: J2K_LOSSLESS, 5: EXPLICIT}, 16384),
    "answer-pynetdicom": ({1: IMPLICIT, 5: IMPLICIT}, 16382),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_of_another_application_is_read_as_it_was_meant(name: str) -> None:
    calling, max_pdu, proposed, taken, syntaxes = REQUESTS[name]
    request = walk_request(captured(name)[6:])
    assert (request.called_ae_title, request.calling_ae_title) == ("DCMRELAY", calling)
    assert request.user_information.max_pdu == max_pdu
    assert request.user_information.asks_asynchronous_operations is (name == "pynetdicom-extended")
    assert len(request.contexts) == proposed
    answers = [negotiate(context) for context in request.contexts]
    accepted = [answer for answer in answers if answer.result == ACCEPTED]
    assert len(accepted) == {ALL: proposed, NONE: 0, "the first": 1}[taken]
    assert [it.transfer_syntax for it in accepted if it.abstract_syntax in (CT, VERIFICATION)] == syntaxes


@pytest.mark.parametrize("name", OTHERS)
def test_a_request_in_the_manner_of_other_makers_is_read_as_it_was_meant(name: str) -> None:
    request = walk_request(golden(OTHERS[name]))
    assert (request.called_ae_title, request.calling_ae_title) == ("DCMRELAY", "MODALITY")
    assert request.contexts == (ProposedContext(context_id=1, abstract_syntax=CT, transfer_syntaxes=(EXPLICIT,)),)
    assert request.user_information.asks_asynchronous_operations is name.startswith("dcm4che")
    expected = {"dcm4che": 16378, "a console": 131072, "a workstation": 16384}
    assert request.user_information.max_pdu == expected[name.partition(":")[0]]


@pytest.mark.parametrize("name", [*REQUESTS, *OTHERS])
def test_the_answer_to_another_application_is_read_by_pynetdicom_and_by_us_alike(name: str) -> None:
    body = captured(name)[6:] if name in REQUESTS else golden(OTHERS[name])
    request = walk_request(body)
    answers = [negotiate(context) for context in request.contexts]
    encoded = codec.associate_accept(request, answers, 131072)
    assert encoded[10:74] == body[4:68]
    theirs = A_ASSOCIATE_AC()
    theirs.decode(encoded)
    read = {it.context_id: (it.result, str(it.transfer_syntax)) for it in theirs.presentation_context}
    assert read == {it.context_id: (it.result, it.transfer_syntax) for it in answers}
    assert walk_answer(encoded[6:]).accepted == {k: syntax for k, (result, syntax) in read.items() if result == 0}
    assert bytes.fromhex("54 00") not in encoded[74:], "a role is not answered, which refuses it"


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_of_another_application_is_read_as_it_was_meant(name: str) -> None:
    accepted, max_pdu = ANSWERS[name]
    answer = walk_answer(captured(name)[6:])
    assert (answer.accepted, answer.max_pdu) == (accepted, max_pdu)
    assert answer.accepted.keys() <= {context.context_id for context in ASKED}
