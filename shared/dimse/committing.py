"""Storage commitment on an association: what comes is read and answered, what is to be said is said.

Source: PS3.4 J.3; PS3.7 10.1.1 (N-EVENT-REPORT), 10.1.4 (N-ACTION), Annex C (statuses).
"""

from shared.dimse.commands import (
    N_ACTION_RQ,
    N_ACTION_RSP,
    N_EVENT_REPORT_RQ,
    N_EVENT_REPORT_RSP,
    SUCCESS,
    Command,
    action_request,
    event_report_request,
    response_to,
)
from shared.dimse.commitment import (
    ALL_COMMITTED,
    COMMITMENT_CONTEXT,
    INVALID_ARGUMENT,
    MOST_COMMITMENT_BYTES,
    NO_SUCH_ACTION,
    NO_SUCH_CLASS,
    NO_SUCH_EVENT,
    NO_SUCH_INSTANCE,
    PROCESSING_FAILURE,
    REQUEST_COMMITMENT,
    RESOURCE_LIMITATION,
    SOME_FAILED,
    WELL_KNOWN_INSTANCE,
    CommitmentReport,
    CommitmentRequest,
    CommitmentService,
    TooManyReferencesError,
    encode_report,
    encode_request,
    parse_report,
    parse_request,
)
from shared.dimse.conversation import Conversation
from shared.dimse.negotiation import COMMITMENT
from shared.dimse.scu import Association
from shared.dimse.service import Session
from shared.errors import PeerError, ProtocolError, StorageError


def answer_to(
    command: Command, encoded: bytes, transfer_syntax_uid: str, service: CommitmentService[Session], session: Session
) -> int:
    """The status for an N-ACTION or N-EVENT-REPORT, once the service has made durable what it says.

    Args:
        command: either of the two.
        encoded: its information.
        transfer_syntax_uid: of the presentation context.
        service: who keeps it.
        session: the association's.
    """
    if command.affected_sop_class_uid != COMMITMENT:
        return NO_SUCH_CLASS
    if command.affected_sop_instance_uid != WELL_KNOWN_INSTANCE:
        return NO_SUCH_INSTANCE
    is_action = command.field == N_ACTION_RQ
    if command.type_id not in ((REQUEST_COMMITMENT,) if is_action else (ALL_COMMITTED, SOME_FAILED)):
        return NO_SUCH_ACTION if is_action else NO_SUCH_EVENT
    try:
        if is_action:
            return service.commitment_asked(session, parse_request(encoded, transfer_syntax_uid))
        return service.commitment_reported(session, parse_report(encoded, transfer_syntax_uid))
    except TooManyReferencesError:
        return RESOURCE_LIMITATION
    except ProtocolError:
        return INVALID_ARGUMENT
    except StorageError:
        return PROCESSING_FAILURE


def ask_commitment(association: Association, request: CommitmentRequest) -> None:
    """Ask for the commitment of instances with N-ACTION; the answer comes later, on any association.

    Args:
        association: with COMMITMENT_CONTEXT accepted.
        request: what is asked.

    Raises:
        PeerError: it was not accepted; abort the association.
    """
    context_id = _context(association)
    conversation, message_id = association.ask()
    command = action_request(message_id, COMMITMENT, WELL_KNOWN_INSTANCE, REQUEST_COMMITMENT)
    _say(conversation, context_id, command, encode_request(request))
    _await_success(conversation, context_id, N_ACTION_RSP, message_id)


def report_commitment(association: Association, report: CommitmentReport) -> None:
    """Answer a request with N-EVENT-REPORT.

    Args:
        association: with COMMITMENT_CONTEXT accepted, on which we are the SCP.
        report: the answer.

    Raises:
        PeerError: the peer did not take it; abort the association.
    """
    context_id = _context(association)
    conversation, message_id = association.ask()
    command = event_report_request(message_id, COMMITMENT, WELL_KNOWN_INSTANCE, report.event_type_id)
    _say(conversation, context_id, command, encode_report(report))
    _await_success(conversation, context_id, N_EVENT_REPORT_RSP, message_id)


def hear_report(association: Association, service: CommitmentService[Session], session: Session) -> None:
    """Take and answer the N-EVENT-REPORT that a peer says on the association on which it was asked.

    Args:
        association: that the peer has begun to say something on.
        service: who keeps it.
        session: passed on to the service.

    Raises:
        PeerError: something else came; abort the association.
    """
    conversation, _ = association.ask()
    message = conversation.receive_command(start_seconds=conversation.timeouts.response)
    if message is None:
        association.answer_release()
        return
    context_id, command = message
    syntaxes = association.contexts.get(context_id)
    if syntaxes is None or command.field != N_EVENT_REPORT_RQ or command.message_id is None:
        raise ProtocolError("something else than the answer to our request came")
    encoded = bytearray()
    for chunk in conversation.receive_data_set(context_id) if command.has_data_set else ():
        encoded += chunk
        if len(encoded) > MOST_COMMITMENT_BYTES:
            raise ProtocolError(f"an N-EVENT-REPORT is over {MOST_COMMITMENT_BYTES} bytes")
    status = answer_to(command, bytes(encoded), syntaxes[1], service, session)
    conversation.send_command(context_id, response_to(command, status))


def _context(association: Association) -> int:
    context_id = association.accepted_context(*COMMITMENT_CONTEXT)
    if context_id is None:
        raise ProtocolError("the peer accepted no context for storage commitment")
    return context_id


def _say(conversation: Conversation, context_id: int, command: bytes, information: bytes) -> None:
    conversation.send_command(context_id, command)
    conversation.send(conversation.data_pieces(context_id, memoryview(information), is_last=True))


def _await_success(conversation: Conversation, context_id: int, field: int, message_id: int) -> None:
    message = conversation.receive_command(start_seconds=conversation.timeouts.response)
    if message is None:
        raise ProtocolError("the peer asked for release instead of answering")
    answered_on, response = message
    if (answered_on, response.field, response.message_id_responded_to) != (context_id, field, message_id):
        raise ProtocolError("the peer's response is not one to our request")
    if response.has_data_set:
        for _ in conversation.receive_data_set(context_id):
            pass
    if response.status != SUCCESS:
        raise PeerError(f"storage commitment was answered with {response.status or 0:04X}")
