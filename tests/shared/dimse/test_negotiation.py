"""Which contexts we take, by table."""

import pytest
from pynetdicom import presentation

from shared.dimse.items import ProposedContext
from shared.dimse.negotiation import choose_transfer_syntax, is_accepted_service, negotiate
from shared.dimse.terms import (
    CALLED_NOT_RECOGNIZED,
    CALLING_NOT_RECOGNIZED,
    LOCAL_LIMIT,
    TEMPORARY_CONGESTION,
    VERIFICATION,
    Rejection,
)

IMPLICIT, EXPLICIT, BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
JPEG, J2K_LOSSLESS, J2K, MPEG = (f"1.2.840.10008.1.2.4.{n}" for n in (50, 90, 91, 100))
CT = "1.2.840.10008.5.1.4.1.1.2"


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ((IMPLICIT,), IMPLICIT),
        ((IMPLICIT, EXPLICIT), IMPLICIT),
        ((EXPLICIT, IMPLICIT), EXPLICIT),
        ((BIG, EXPLICIT), BIG),
        ((J2K_LOSSLESS, EXPLICIT, IMPLICIT), J2K_LOSSLESS),
        ((JPEG, IMPLICIT), IMPLICIT),
        ((J2K, J2K_LOSSLESS), J2K_LOSSLESS),
        ((JPEG,), JPEG),
        ((MPEG, JPEG), MPEG),
        (("1.2.3.4", JPEG), JPEG),
        (("1.2.3.4",), None),
        (("1.2.840.10008.1.2.4.94",), None),
        ((), None),
    ],
)
def test_the_requestors_first_lossless_syntax_wins(offered: tuple[str, ...], chosen: str | None) -> None:
    assert choose_transfer_syntax(offered) == chosen


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


@pytest.mark.parametrize("abstract_syntax", [*NOT_STORAGE, "1.2.840.10008.4.2", EXPLICIT, "1.2.840.10008.1.20.2"])
def test_no_other_service_is_taken(abstract_syntax: str) -> None:
    assert not is_accepted_service(abstract_syntax)


@pytest.mark.parametrize(
    ("abstract_syntax", "taken"),
    [
        (VERIFICATION, True),
        ("1.2.840.113619.4.26", True),
        ("1.3.12.2.1107.5.9.1", True),
        ("1.2.840.10008.5.1.4.1.1.12.77", True),
        ("1.2.840.10008.5.1.4.1.1.9999", True),
        ("1.2.840.10008.5.1.1.29", True),
        ("1.2.840.10008.5.1.4.34.7", True),
        ("1.2.840.113619.04.26", False),
    ],
)
def test_private_unknown_and_retired_storage_is_taken(abstract_syntax: str, taken: bool) -> None:
    assert is_accepted_service(abstract_syntax) is taken


@pytest.mark.parametrize(
    ("abstract_syntax", "transfer_syntaxes", "result", "transfer_syntax"),
    [
        (CT, (EXPLICIT,), 0, EXPLICIT),
        (VERIFICATION, (IMPLICIT,), 0, IMPLICIT),
        (CT, ("1.2.3",), 4, IMPLICIT),
        ("1.2.840.10008.5.1.4.31", (EXPLICIT,), 3, EXPLICIT),
    ],
)
def test_each_context_is_answered_by_itself(
    abstract_syntax: str, transfer_syntaxes: tuple[str, ...], result: int, transfer_syntax: str
) -> None:
    answer = negotiate(
        ProposedContext(context_id=7, abstract_syntax=abstract_syntax, transfer_syntaxes=transfer_syntaxes)
    )
    assert (answer.context_id, answer.result, answer.transfer_syntax) == (7, result, transfer_syntax)


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
