"""The PDUs of an association, encoded. No I/O, no clock, no globals.

A-ASSOCIATE-RQ and -AC come from pynetdicom's codec, which sees only what we propose or answer, never bytes of a peer.
Source: PS3.8 9.3.2 to 9.3.8.
"""

from collections.abc import Mapping, Sequence

from pydicom.uid import UID
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    AsynchronousOperationsWindowNegotiation,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
    SCP_SCU_RoleSelectionNegotiation,
)
from pynetdicom.presentation import PresentationContext

from shared.dimse.items import AssociateRequest, ProposedContext, Roles
from shared.dimse.negotiation import ContextAnswer
from shared.dimse.terms import APPLICATION_CONTEXT, IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, Rejection
from shared.dimse.wire import ABORT, ASSOCIATE_RJ, RELEASE_RP, RELEASE_RQ

_TITLES = slice(10, 74)
_ANY_TITLE = "ANY"

UserItem = (
    MaximumLengthNotification
    | ImplementationClassUIDNotification
    | ImplementationVersionNameNotification
    | AsynchronousOperationsWindowNegotiation
    | SCP_SCU_RoleSelectionNegotiation
)
_NO_ROLES: Mapping[str, Roles] = {}


def associate_request(
    calling_ae_title: str,
    called_ae_title: str,
    contexts: Sequence[ProposedContext],
    max_pdu: int,
    roles: Mapping[str, Roles] = _NO_ROLES,
) -> bytes:
    """Encode an A-ASSOCIATE-RQ.

    Args:
        calling_ae_title: ours, 1 to 16 characters (PS3.5 6.2).
        called_ae_title: the peer's, likewise.
        contexts: 1 to 128, UIDs conformant.
        max_pdu: what we take, in bytes.
        roles: that we ask for, by SOP class; of all others we are the SCU.
    """
    primitive = _primitive([*_user_information(max_pdu), *_role_selections(roles)])
    primitive.calling_ae_title, primitive.called_ae_title = calling_ae_title, called_ae_title
    primitive.presentation_context_definition_list = [
        _context(context.context_id, context.transfer_syntaxes, abstract_syntax=context.abstract_syntax)
        for context in contexts
    ]
    pdu = A_ASSOCIATE_RQ()
    pdu.from_primitive(primitive)
    return pdu.encode()


def associate_accept(
    request: AssociateRequest, answers: Sequence[ContextAnswer], max_pdu: int, roles: Mapping[str, Roles] = _NO_ROLES
) -> bytes:
    """Encode an A-ASSOCIATE-AC.

    Args:
        request: what is answered; its titles are repeated byte for byte.
        answers: one for each proposed context.
        max_pdu: what we take, in bytes.
        roles: that the requestor is given; those of other SOP classes are not answered, which refuses them.
    """
    user = [*_user_information(max_pdu), *_role_selections(roles)]
    if request.user_information.asks_asynchronous_operations:
        window = AsynchronousOperationsWindowNegotiation()
        window.maximum_number_operations_invoked = window.maximum_number_operations_performed = 1
        user.append(window)
    primitive = _primitive(user)
    primitive.presentation_context_definition_results_list = [
        _context(answer.context_id, [answer.transfer_syntax], result=answer.result) for answer in answers
    ]
    pdu = A_ASSOCIATE_AC()
    pdu.from_primitive(primitive)
    encoded = bytearray(pdu.encode())
    encoded[_TITLES] = request.fixed_fields
    return bytes(encoded)


def associate_reject(rejection: Rejection) -> bytes:
    """Encode an A-ASSOCIATE-RJ."""
    return _short(ASSOCIATE_RJ, rejection.result, rejection.source, rejection.reason)


def release_request() -> bytes:
    """Encode an A-RELEASE-RQ."""
    return _short(RELEASE_RQ)


def release_response() -> bytes:
    """Encode an A-RELEASE-RP."""
    return _short(RELEASE_RP)


def abort(source: int, reason: int = 0) -> bytes:
    """Encode an A-ABORT.

    Args:
        source: 0 the service user, 2 the service provider (what arrived broke PS3.8).
        reason: of a provider; 0 when not specified.
    """
    return _short(ABORT, 0, source, reason)


def _short(kind: int, *content: int) -> bytes:
    return bytes((kind, 0, 0, 0, 0, 4, 0, *content)).ljust(10, b"\0")


def _primitive(user: list[UserItem]) -> A_ASSOCIATE:
    primitive = A_ASSOCIATE()
    primitive.application_context_name = APPLICATION_CONTEXT
    primitive.calling_ae_title = primitive.called_ae_title = _ANY_TITLE
    primitive.result = 0
    primitive.user_information = [*user]
    return primitive


def _user_information(max_pdu: int) -> list[UserItem]:
    length = MaximumLengthNotification()
    length.maximum_length_received = max_pdu
    uid = ImplementationClassUIDNotification()
    uid.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    version = ImplementationVersionNameNotification()
    version.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    return [length, uid, version]


def _role_selections(roles: Mapping[str, Roles]) -> list[UserItem]:
    selections: list[UserItem] = []
    for sop_class_uid, granted in roles.items():
        selection = SCP_SCU_RoleSelectionNegotiation()
        selection.sop_class_uid, selection.scu_role, selection.scp_role = UID(sop_class_uid), granted.scu, granted.scp
        selections.append(selection)
    return selections


def _context(
    context_id: int, transfer_syntaxes: Sequence[str], *, abstract_syntax: str = "", result: int | None = None
) -> PresentationContext:
    context = PresentationContext()
    context.context_id, context.result = context_id, result
    context.transfer_syntax = [*transfer_syntaxes]
    if abstract_syntax:
        context.abstract_syntax = abstract_syntax
    return context
