"""The acceptor: one accepted connection from its first byte to its last, C-ECHO, C-STORE, storage commitment.

What is done with an instance is the business of the `StorageService` that the listener plugs in, and of what is said
of storage commitment, that of its `CommitmentService`; this module sees to it that a service hears of every
association's end, and a sink of its instance's end, whatever the peer does.
Source: PS3.8 9.2 (states), PS3.4 Annex A and B (Verification, Storage), PS3.7 9.1.1, 9.1.5.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic

from shared.dimse import codec, items
from shared.dimse.commands import (
    C_ECHO_RQ,
    C_STORE_RQ,
    CANNOT_UNDERSTAND,
    N_ACTION_RQ,
    N_EVENT_REPORT_RQ,
    OUT_OF_RESOURCES,
    SUCCESS,
    Command,
    response_to,
)
from shared.dimse.commitment import MOST_COMMITMENT_BYTES, RESOURCE_LIMITATION, CommitmentService
from shared.dimse.committing import answer_to
from shared.dimse.conversation import Conversation, abort
from shared.dimse.items import Roles
from shared.dimse.negotiation import ACCEPTED, COMMITMENT, is_storage, negotiate
from shared.dimse.service import Session, StorageService, StoreRequest, StoreSink
from shared.dimse.terms import (
    APPLICATION_CONTEXT,
    APPLICATION_CONTEXT_NOT_SUPPORTED,
    OUR_MAX_PDU,
    PROTOCOL_VERSION_NOT_SUPPORTED,
    Proposal,
    Rejection,
    Timeouts,
)
from shared.dimse.wire import ASSOCIATE_RQ, Wire
from shared.errors import PeerError, PeerTimeoutError, ProtocolError, StorageError
from shared.uids import is_uid

_LINGER_SECONDS = 1.0
_PROMPT_ECHOES, _ECHO_PAUSE_SECONDS = 100, 0.01


class TooLargeError(ProtocolError):
    """A data set passed the largest size that is taken."""


def serve_wire(
    wire: Wire,
    service: StorageService[Session],
    timeouts: Timeouts,
    *,
    max_instance: int,
    max_pdu: int = OUR_MAX_PDU,
    commitment: CommitmentService[Session] | None = None,
) -> str:
    """Serve one connection to its end.

    Args:
        wire: the connection; closed on return.
        service: who decides and keeps.
        timeouts: how long to wait for the peer.
        max_instance: largest data set taken, in bytes; beyond it the answer is 0xA700 and the association is aborted.
        max_pdu: the PDU length we say we take, in bytes.
        commitment: who takes part in storage commitment; None: nobody.

    Returns:
        How it ended, for a log: `released`, `rejected`, `aborted` (by the peer, or the connection was lost), `timeout`,
        `protocol`, `too_large`, or `stopped` (`Wire.stop` was called).
    """
    ended: BaseException | None = None
    linger_seconds = 0.0  # before an association the peer has nothing to say that we have not read
    try:
        request = _request(wire, timeouts)
        proposal = _proposal(wire, request)
        rejection = _unsupported(request) or service.admit(proposal)
        if rejection is not None:
            wire.send([codec.associate_reject(rejection)], stall_seconds=timeouts.associate)
            return "rejected"
        linger_seconds = _LINGER_SECONDS
        _associate(_Terms(wire, request, timeouts, max_instance, max_pdu), service, commitment, proposal)
        return "released"
    except PeerError as error:
        ended = error
        return "stopped" if wire.stopped else _reason(error)
    except BaseException as error:
        ended = error
        raise
    finally:
        if ended is None:
            wire.close(linger_seconds=linger_seconds)
        else:
            abort(wire, ended, linger_seconds=linger_seconds)


def _request(wire: Wire, timeouts: Timeouts) -> items.AssociateRequest:
    _, length = wire.next_pdu((ASSOCIATE_RQ,), start_seconds=timeouts.associate, whole_seconds=timeouts.associate)
    return items.walk_request(bytes(wire.take(length)))


def _proposal(wire: Wire, request: items.AssociateRequest) -> Proposal:
    return Proposal(
        calling_ae_title=request.calling_ae_title,
        called_ae_title=request.called_ae_title,
        host=wire.host,
        certificate=wire.certificate,
    )


@dataclass(frozen=True)
class _Terms:
    """What an association is made of."""

    wire: Wire
    request: items.AssociateRequest
    timeouts: Timeouts
    max_instance: int
    max_pdu: int


def _associate(
    terms: _Terms,
    service: StorageService[Session],
    commitment: CommitmentService[Session] | None,
    proposal: Proposal,
) -> None:
    request, timeouts = terms.request, terms.timeouts
    session = service.opened(proposal)
    try:
        takes_commitment = _takes_commitment(request, commitment, session)
        answers = [negotiate(context, takes_commitment=takes_commitment) for context in request.contexts]
        accept = codec.associate_accept(request, answers, terms.max_pdu, _roles(request) if takes_commitment else {})
        terms.wire.send([accept], stall_seconds=timeouts.associate)
        contexts = {a.context_id: (a.abstract_syntax, a.transfer_syntax) for a in answers if a.result == ACCEPTED}
        conversation = Conversation(terms.wire, request.user_information.max_pdu, timeouts)
        _Acceptor(conversation, contexts, service, commitment, session, terms.max_instance).answer_until_release()
    finally:
        service.closed(session)


def _takes_commitment(
    request: items.AssociateRequest, commitment: CommitmentService[Session] | None, session: Session
) -> bool:
    is_proposed = any(context.abstract_syntax == COMMITMENT for context in request.contexts)
    return is_proposed and commitment is not None and commitment.takes_commitment(session)


def _roles(request: items.AssociateRequest) -> dict[str, Roles]:
    """The requestor may ask, or answer what we asked: whichever it wants, it may be."""
    return {uid: roles for uid, roles in request.user_information.roles.items() if uid == COMMITMENT}


def _unsupported(request: items.AssociateRequest) -> Rejection | None:
    if not request.protocol_version & 1:
        return PROTOCOL_VERSION_NOT_SUPPORTED
    return None if request.application_context == APPLICATION_CONTEXT else APPLICATION_CONTEXT_NOT_SUPPORTED


def _reason(error: PeerError) -> str:
    reasons: tuple[tuple[type[PeerError], str], ...] = (
        (PeerTimeoutError, "timeout"),
        (TooLargeError, "too_large"),
        (ProtocolError, "protocol"),
    )
    return next((reason for kind, reason in reasons if isinstance(error, kind)), "aborted")


@dataclass(frozen=True)
class _Acceptor(Generic[Session]):
    conversation: Conversation
    contexts: dict[int, tuple[str, str]]
    service: StorageService[Session]
    commitment: CommitmentService[Session] | None
    session: Session
    max_instance: int

    def answer_until_release(self) -> None:
        echoes = 0
        while message := self.conversation.receive_command(start_seconds=self.conversation.timeouts.idle):
            context_id, command = message
            if context_id not in self.contexts or command.message_id is None:
                raise ProtocolError("a message came on a context that was not accepted, or without a message id")
            if command.field == C_ECHO_RQ and not command.has_data_set:
                status, echoes = SUCCESS, echoes + 1
                time.sleep(_ECHO_PAUSE_SECONDS if echoes > _PROMPT_ECHOES else 0)
            elif command.field == C_STORE_RQ and is_storage(self.contexts[context_id][0]):
                status = self._store(context_id, command, command.message_id)
            elif command.field in (N_ACTION_RQ, N_EVENT_REPORT_RQ) and self.contexts[context_id][0] == COMMITMENT:
                status = self._commitment(context_id, command)
            else:
                raise ProtocolError("a DIMSE service that was not agreed on was asked for")
            self._respond(context_id, command, status)
            if command.field == C_STORE_RQ:
                self.service.answered(self.session)
        self.conversation.send([codec.release_response()])

    def _respond(self, context_id: int, command: Command, status: int) -> None:
        self.conversation.send_command(context_id, response_to(_without_bad_uids(command), status))

    def _store(self, context_id: int, command: Command, message_id: int) -> int:
        if not command.has_data_set:
            return CANNOT_UNDERSTAND
        chunks = _bounded(self.conversation.receive_data_set(context_id), self.max_instance)
        try:
            target = self._target(context_id, command, message_id)
            if isinstance(target, int):
                _drop(chunks)
                return target
            return _fill(target, chunks)
        except TooLargeError:
            self._respond(context_id, command, OUT_OF_RESOURCES)
            raise

    def _commitment(self, context_id: int, command: Command) -> int:
        encoded = bytearray()
        try:
            if command.has_data_set:
                for chunk in _bounded(self.conversation.receive_data_set(context_id), MOST_COMMITMENT_BYTES):
                    encoded += chunk
        except TooLargeError:
            self._respond(context_id, command, RESOURCE_LIMITATION)
            raise
        if self.commitment is None:
            raise ProtocolError("storage commitment was spoken of and not agreed on")
        return answer_to(command, bytes(encoded), self.contexts[context_id][1], self.commitment, self.session)

    def _target(self, context_id: int, command: Command, message_id: int) -> StoreSink | int:
        class_uid, instance_uid = command.affected_sop_class_uid, command.affected_sop_instance_uid
        if class_uid is None or instance_uid is None or not is_uid(class_uid) or not is_uid(instance_uid):
            return CANNOT_UNDERSTAND
        request = StoreRequest(
            context_id=context_id,
            message_id=message_id,
            affected_sop_class_uid=class_uid,
            affected_sop_instance_uid=instance_uid,
            transfer_syntax_uid=self.contexts[context_id][1],
        )
        try:
            return self.service.store(self.session, request)
        except StorageError:
            return OUT_OF_RESOURCES


def _fill(sink: StoreSink, chunks: Iterator[memoryview]) -> int:
    """Bring a whole data set into a sink; returns the status to answer."""
    kept = False
    try:
        for chunk in chunks:
            sink.write(chunk)
        status = sink.commit()
        kept = True
        return status
    except StorageError:
        _drop(chunks)
        return OUT_OF_RESOURCES
    finally:
        if not kept:
            sink.discard()


def _drop(chunks: Iterator[memoryview]) -> None:
    for _ in chunks:
        pass


def _bounded(chunks: Iterator[memoryview], most: int) -> Iterator[memoryview]:
    received = 0
    for chunk in chunks:
        received += len(chunk)
        if received > most:
            raise TooLargeError(f"a data set is over {most} bytes")
        yield chunk


def _without_bad_uids(command: Command) -> Command:
    """What may be repeated in a response."""
    class_uid, instance_uid = command.affected_sop_class_uid, command.affected_sop_instance_uid
    return Command(
        field=command.field,
        has_data_set=command.has_data_set,
        message_id=command.message_id,
        message_id_responded_to=None,
        status=None,
        affected_sop_class_uid=class_uid if is_uid(class_uid) else None,
        affected_sop_instance_uid=instance_uid if is_uid(instance_uid) else None,
        type_id=command.type_id,
    )
