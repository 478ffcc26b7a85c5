"""Which contexts we take, by table; and what we rely on of the tables of pydicom and pynetdicom."""

import pytest
from pydicom.uid import UID_dictionary
from pynetdicom import presentation
from pynetdicom.pdu import A_ASSOCIATE_AC

from shared.dimse import codec
from shared.dimse.items import ProposedContext, walk_request
from shared.dimse.negotiation import LOSSLESS, LOSSY, is_accepted_service, is_storage, negotiate
from shared.dimse.terms import (
    CALLED_NOT_RECOGNIZED,
    CALLING_NOT_RECOGNIZED,
    LOCAL_LIMIT,
    TEMPORARY_CONGESTION,
    VERIFICATION,
    Rejection,
)
from shared.uids import is_conformant_uid

DICOM = "1.2.840.10008."
IMPLICIT, EXPLICIT, DEFLATED, BIG = (DICOM + it for it in ("1.2", "1.2.1", "1.2.1.99", "1.2.2"))
ENCAPSULATED, RLE = DICOM + "1.2.1.98", DICOM + "1.2.5"
JPEG, JPEG_LOSSLESS, JPEG_LS, JPEG_LS_NEAR = (f"{DICOM}1.2.4.{n}" for n in (50, 70, 80, 81))
J2K_LOSSLESS, J2K, MPEG2, H264, HEVC = (f"{DICOM}1.2.4.{n}" for n in (90, 91, 100, 102, 107))
HTJ2K_LOSSLESS, HTJ2K_RPCL, HTJ2K = (f"{DICOM}1.2.4.{n}" for n in (201, 202, 203))
JPEG_XL_LOSSLESS, JPEG_XL_RECOMPRESSED, JPEG_XL = (f"{DICOM}1.2.4.{n}" for n in (110, 111, 112))
JPIP, JPIP_HTJ2K, SMPTE, MIME = (DICOM + it for it in ("1.2.4.94", "1.2.4.204", "1.2.7.1", "1.2.6.1"))
PRIVATE_SYNTAX = "1.2.840.113619.5.2"
CT = DICOM + "5.1.4.1.1.2"
NO_ABSTRACT, NO_TRANSFER = 3, 4

# What is proposed: abstract syntax, transfer syntaxes in order; the answer: result, and the syntax when it is accepted.
TABLE: list[tuple[str, tuple[str, ...], int, str | None]] = [
    # The requestor's first lossless one wins, whichever it is.
    (CT, (IMPLICIT,), 0, IMPLICIT),
    (CT, (IMPLICIT, EXPLICIT), 0, IMPLICIT),
    (CT, (EXPLICIT, IMPLICIT), 0, EXPLICIT),
    (CT, (BIG, EXPLICIT), 0, BIG),
    (CT, (DEFLATED, EXPLICIT), 0, DEFLATED),
    (CT, (ENCAPSULATED,), 0, ENCAPSULATED),
    (CT, (RLE, IMPLICIT), 0, RLE),
    (CT, (JPEG_LOSSLESS, EXPLICIT, IMPLICIT), 0, JPEG_LOSSLESS),
    (CT, (JPEG_LS, IMPLICIT), 0, JPEG_LS),
    (CT, (J2K_LOSSLESS, EXPLICIT, IMPLICIT), 0, J2K_LOSSLESS),
    (CT, (HTJ2K_RPCL, HTJ2K_LOSSLESS, EXPLICIT), 0, HTJ2K_RPCL),
    (CT, (JPEG_XL_LOSSLESS,), 0, JPEG_XL_LOSSLESS),
    # A lossy one only if nothing lossless stands beside it.
    (CT, (JPEG, IMPLICIT), 0, IMPLICIT),
    (CT, (J2K, J2K_LOSSLESS), 0, J2K_LOSSLESS),
    (CT, (JPEG_LS_NEAR, JPEG, BIG), 0, BIG),
    (CT, (HTJ2K, JPEG_XL, HTJ2K_LOSSLESS), 0, HTJ2K_LOSSLESS),
    (CT, (JPEG,), 0, JPEG),
    (CT, (J2K, JPEG), 0, J2K),
    (CT, (HTJ2K,), 0, HTJ2K),
    (CT, (JPEG_XL_RECOMPRESSED,), 0, JPEG_XL_RECOMPRESSED),
    (CT, (MPEG2, JPEG), 0, MPEG2),
    (CT, (H264,), 0, H264),
    (CT, (HEVC, EXPLICIT), 0, EXPLICIT),
    # Of what is unknown, or has its pixels elsewhere, nothing.
    (CT, ("1.2.3.4", JPEG), 0, JPEG),
    (CT, (PRIVATE_SYNTAX, EXPLICIT), 0, EXPLICIT),
    (CT, ("1.2.3.4",), NO_TRANSFER, None),
    (CT, (PRIVATE_SYNTAX,), NO_TRANSFER, None),
    (CT, (JPIP, JPIP_HTJ2K, SMPTE, MIME), NO_TRANSFER, None),
    (CT, (CT,), NO_TRANSFER, None),
    (CT, (), NO_TRANSFER, None),
    # Verification, storage new, private, retired or unknown; nothing that is known to be another service.
    (VERIFICATION, (IMPLICIT,), 0, IMPLICIT),
    (VERIFICATION, (EXPLICIT, IMPLICIT), 0, EXPLICIT),
    ("1.2.840.113619.4.26", (IMPLICIT,), 0, IMPLICIT),
    ("1.3.12.2.1107.5.9.1", (IMPLICIT,), 0, IMPLICIT),
    (DICOM + "5.1.4.1.1.12.77", (IMPLICIT,), 0, IMPLICIT),
    (DICOM + "5.1.4.1.1.9999", (IMPLICIT,), 0, IMPLICIT),
    (DICOM + "5.1.1.29", (IMPLICIT,), 0, IMPLICIT),
    (DICOM + "5.1.4.34.7", (IMPLICIT,), 0, IMPLICIT),
    ("1.2.840.113619.04.26", (IMPLICIT,), NO_ABSTRACT, None),
    (DICOM + "4.2", (IMPLICIT,), NO_ABSTRACT, None),
    (EXPLICIT, (IMPLICIT,), NO_ABSTRACT, None),
    (DICOM + "1.20.2", (IMPLICIT,), NO_ABSTRACT, None),
    (DICOM + "5.1.4.31", (EXPLICIT,), NO_ABSTRACT, None),
    (DICOM + "5.1.4.31", ("1.2.3.4",), NO_ABSTRACT, None),
]


@pytest.mark.parametrize(("abstract_syntax", "offered", "result", "chosen"), TABLE)
def test_each_context_is_answered_by_itself(
    abstract_syntax: str, offered: tuple[str, ...], result: int, chosen: str | None
) -> None:
    answer = negotiate(ProposedContext(context_id=7, abstract_syntax=abstract_syntax, transfer_syntaxes=offered))
    assert (answer.context_id, answer.abstract_syntax, answer.result) == (7, abstract_syntax, result)
    assert answer.transfer_syntax == chosen or result != 0


@pytest.mark.parametrize("many", [1, len(TABLE), 128])
def test_the_whole_table_goes_over_the_wire_and_comes_back_in_order(many: int) -> None:
    rows = [row for row in TABLE * 5 if row[1] and is_conformant_uid(row[0])][:many]
    proposed = [
        ProposedContext(context_id=2 * k + 1, abstract_syntax=row[0], transfer_syntaxes=row[1])
        for k, row in enumerate(rows)
    ]
    request = walk_request(codec.associate_request("MODALITY", "DCMRELAY", proposed, 16384)[6:])
    assert request.contexts == tuple(proposed)
    read = A_ASSOCIATE_AC()
    read.decode(codec.associate_accept(request, [negotiate(it) for it in request.contexts], 131072))
    answers = [(it.context_id, it.result, it.transfer_syntax) for it in read.presentation_context]
    assert [(context_id, result) for context_id, result, _ in answers] == [
        (2 * k + 1, row[2]) for k, row in enumerate(rows)
    ]
    accepted = [syntax for _, result, syntax in answers if result == 0]
    assert accepted == [row[3] for row in rows if row[2] == 0]


NOT_TAKEN = {
    *(f"{DICOM}1.2.4.{n}" for n in (94, 95, 204, 205)),  # JPIP: the pixels are elsewhere
    *(f"{DICOM}1.2.7.{n}" for n in (1, 2, 3)),  # SMPTE ST 2110: a stream, never stored
    *(DICOM + it for it in ("1.2.6.1", "1.2.6.2", "1.20")),  # MIME, XML, Papyrus 3: not for instances of an association
}


def test_every_transfer_syntax_that_pydicom_knows_is_taken_or_left_on_purpose() -> None:
    known = {uid for uid, entry in UID_dictionary.items() if entry[1] == "Transfer Syntax"}
    assert known - NOT_TAKEN == LOSSLESS | LOSSY
    assert not LOSSLESS & LOSSY
    assert known >= NOT_TAKEN


def test_what_pydicom_calls_a_sop_class_and_we_take_says_storage_in_its_name() -> None:
    known = {uid: entry[0] for uid, entry in UID_dictionary.items() if entry[1] == "SOP Class"}
    taken = {uid: name for uid, name in known.items() if is_storage(uid)}
    assert len(taken) > 200
    assert [uid for uid, name in taken.items() if name and "Storage" not in name] == []
    assert {name for uid, name in known.items() if uid not in taken and "Storage" in name} == {
        "Media Storage Directory Storage",
        "Storage Commitment Push Model SOP Class",
        "Storage Commitment Pull Model SOP Class",
    }


@pytest.mark.parametrize("context", presentation.StoragePresentationContexts, ids=lambda c: str(c.abstract_syntax))
def test_every_storage_class_is_taken(context: presentation.PresentationContext) -> None:
    assert is_accepted_service(str(context.abstract_syntax))


NOT_STORAGE = [
    str(context.abstract_syntax)
    for group in (
        presentation.ApplicationEventLoggingPresentationContexts,
        presentation.BasicWorklistManagementPresentationContexts,
        presentation.ColorPalettePresentationContexts,
        presentation.DefinedProcedureProtocolPresentationContexts,
        presentation.DisplaySystemPresentationContexts,
        presentation.HangingProtocolPresentationContexts,
        presentation.ImplantTemplatePresentationContexts,
        presentation.InstanceAvailabilityPresentationContexts,
        presentation.MediaCreationManagementPresentationContexts,
        presentation.MediaStoragePresentationContexts,
        presentation.PrintManagementPresentationContexts,
        presentation.ProcedureStepPresentationContexts,
        presentation.ProtocolApprovalPresentationContexts,
        presentation.QueryRetrievePresentationContexts,
        presentation.RelevantPatientInformationPresentationContexts,
        presentation.RTMachineVerificationPresentationContexts,
        presentation.StorageCommitmentPresentationContexts,
        presentation.SubstanceAdministrationPresentationContexts,
        presentation.UnifiedProcedurePresentationContexts,
    )
    for context in group
]


@pytest.mark.parametrize("abstract_syntax", NOT_STORAGE)
def test_no_other_service_is_taken(abstract_syntax: str) -> None:
    assert not is_accepted_service(abstract_syntax)


@pytest.mark.parametrize(
    ("rejection", "text"),
    [
        (CALLING_NOT_RECOGNIZED, "calling AE title not recognized (permanent)"),
        (CALLED_NOT_RECOGNIZED, "called AE title not recognized (permanent)"),
        (LOCAL_LIMIT, "local limit exceeded (transient)"),
        (TEMPORARY_CONGESTION, "temporary congestion (transient)"),
        (Rejection(result=9, source=9, reason=9), "unknown reason (unknown result)"),
    ],
)
def test_a_rejection_says_what_it_means(rejection: Rejection, text: str) -> None:
    assert rejection.text == text
