"""The requestor: an association of ours with another application, C-ECHO and C-STORE.

Source: PS3.8 9.2 (states), PS3.4 Annex A and B (Verification, Storage), PS3.7 9.1.1, 9.1.5.
"""

import os
import socket
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from shared.dimse import codec, items
from shared.dimse.commands import C_ECHO_RSP, C_STORE_RSP, Command, echo_request, store_request
from shared.dimse.conversation import Conversation, abort
from shared.dimse.items import MOST_CONTEXTS, ProposedContext, Roles
from shared.dimse.negotiation import DEFLATED
from shared.dimse.terms import OUR_MAX_PDU, VERIFICATION, Rejection, Timeouts
from shared.dimse.tls import TlsPeer
from shared.dimse.wire import ABORT, ASSOCIATE_AC, ASSOCIATE_RJ, RELEASE_RP, RELEASE_RQ, Piece, Wire
from shared.errors import (
    PeerAbortedError,
    PeerError,
    PeerRejectedError,
    PeerUnreachableError,
    ProtocolError,
    StorageError,
)
from shared.uids import is_conformant_uid

# Small, so that the peer receives one while we read the next.
_BLOCK = 64 << 10
Context = tuple[str, str]


class Association:
    """An association we asked for; a context manager that releases it, or aborts it when an exception passes.

    Args:
        conversation: with the peer.
        contexts: abstract and transfer syntax of each accepted context id.
        proposed: abstract and transfer syntaxes that the peer was asked for.
    """

    def __init__(
        self, conversation: Conversation, contexts: dict[int, Context], proposed: frozenset[Context] = frozenset()
    ) -> None:
        self.contexts, self.proposed = contexts, proposed
        self._conversation = conversation
        self._context_ids = {syntaxes: context_id for context_id, syntaxes in reversed(contexts.items())}
        self._message_id = 0
        self._buffer: memoryview | None = None
        self._over = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.release()
        else:
            self.abort(error)

    def accepted_context(self, sop_class_uid: str, transfer_syntax_uid: str) -> int | None:
        """The context id for such instances, or None when the peer did not accept one."""
        return self._context_ids.get((sop_class_uid, transfer_syntax_uid))

    def echo(self) -> int:
        """Ask C-ECHO; returns the status, 0 for success.

        Raises:
            PeerError: no proper answer; abort the association.
        """
        context_id = next((c for c, (abstract, _) in self.contexts.items() if abstract == VERIFICATION), None)
        if context_id is None:
            raise ProtocolError("the peer accepted no context for Verification")
        message_id = self._next_message_id()
        self._conversation.send_command(context_id, echo_request(message_id, VERIFICATION))
        return self._status(C_ECHO_RSP, context_id, message_id)

    def store(
        self,
        content: memoryview | Path | str,
        offset: int,
        length: int,
        *,
        context_id: int,
        sop_class_uid: str,
        sop_instance_uid: str,
        move_originator: tuple[str, int] | None = None,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> int:
        """Send one instance with C-STORE.

        Args:
            content: the data set, encoded in the context's transfer syntax; or a file that holds it.
            offset: where the data set begins in the file, in bytes.
            length: of the data set, in bytes. It goes as it lies, but for the one NUL byte that a deflated one of odd
                length must end with (PS3.5 A.5), or others abort.
            context_id: an accepted one.
            sop_class_uid: Affected SOP Class UID.
            sop_instance_uid: Affected SOP Instance UID.
            move_originator: AE title and message id of the C-MOVE that asked for it, if any did.
            meanwhile: called when all was sent, before the response is waited for.

        Returns:
            The status the peer answered to this very request.

        Raises:
            PeerError: no proper answer; whether the peer has the instance is not known. Abort the association.
            StorageError: the file could not be read whole. Abort the association.
        """
        message_id = self._next_message_id()
        command = store_request(message_id, sop_class_uid, sop_instance_uid, move_originator)
        pieces: list[Piece] = [self._conversation.command_pdu(context_id, command)]
        padding = length % 2 if self.contexts[context_id][1] == DEFLATED else 0
        for block, is_last in self._blocks(content, offset, length, padding):
            self._conversation.send([*pieces, *self._conversation.data_pieces(context_id, block, is_last=is_last)])
            pieces = []
        meanwhile()
        return self._status(C_STORE_RSP, context_id, message_id, (sop_class_uid, sop_instance_uid))

    def is_open(self) -> bool:
        """Whether it can be used, as far as can be seen now: the peer has neither closed it nor said anything."""
        return not self._over and self._conversation.wire.is_quiet()

    def release(self) -> None:
        """Release and close. A peer that does not answer properly changes nothing: all it was asked is answered."""
        if self._over:
            return
        self._over = True
        wire, seconds = self._conversation.wire, self._conversation.timeouts.release
        try:
            self._conversation.send([codec.release_request()])
            self._await_release(wire, seconds)
        except PeerError as error:
            abort(wire, error)
        else:
            wire.close()

    def abort(self, error: BaseException | None = None) -> None:
        """Abort and close; harmless when it is over.

        Args:
            error: why, if it was for an error.
        """
        if not self._over:
            self._over = True
            abort(self._conversation.wire, error)

    def _await_release(self, wire: Wire, seconds: float) -> None:
        while True:
            kind, length = wire.next_pdu((RELEASE_RP, RELEASE_RQ, ABORT), start_seconds=seconds, whole_seconds=seconds)
            wire.take(length)
            if kind != RELEASE_RQ:
                return
            self._conversation.send([codec.release_response()])

    def speaks(self, seconds: float) -> bool:
        """Whether the peer says something of its own accord, or closes, within so many seconds."""
        return self._conversation.wire.speaks(seconds)

    def answer_release(self) -> None:
        """The peer asked for release: grant it, and close."""
        if not self._over:
            self._over = True
            self._conversation.send([codec.release_response()])
            self._conversation.wire.close()

    def ask(self) -> tuple[Conversation, int]:
        """The conversation, and a message id for one more request."""
        return self._conversation, self._next_message_id()

    def _next_message_id(self) -> int:
        self._message_id = self._message_id % 65535 + 1
        return self._message_id

    def _blocks(
        self, content: memoryview | Path | str, offset: int, length: int, padding: int
    ) -> Iterator[tuple[memoryview, bool]]:
        if not isinstance(content, memoryview):
            yield from self._blocks_of(Path(content), offset, length, padding)
        else:
            yield memoryview(bytes(content) + bytes(padding)) if padding else content, True

    def _blocks_of(self, file: Path, offset: int, length: int, padding: int) -> Iterator[tuple[memoryview, bool]]:
        """The data set in whole fragments, about 64 KiB at a time, and whether each block is the last."""
        if self._buffer is None:
            size = self._conversation.fragment_size
            self._buffer = memoryview(bytearray(size * max(1, _BLOCK // size)))
        try:
            with file.open("rb", buffering=0) as opened:
                end = offset + length
                while True:
                    block = self._buffer[: min(len(self._buffer), end - offset)]
                    if os.preadv(opened.fileno(), [block], offset) != len(block):
                        raise StorageError(f"{file} ends before its data set does; the spool's copy is damaged")
                    offset += len(block)
                    if offset == end:
                        yield self._padded(block, padding), True
                        return
                    yield block, False
        except OSError as error:
            raise StorageError(f"cannot read {file}: {os.strerror(error.errno or 0)}") from error

    def _padded(self, block: memoryview, padding: int) -> memoryview:
        """The last block with a NUL byte after it; the buffer has room, as its size is even and the block's is not."""
        if not padding or self._buffer is None:
            return block
        self._buffer[len(block)] = 0
        return self._buffer[: len(block) + 1]

    def _status(self, field: int, context_id: int, message_id: int, uids: tuple[str, str] | None = None) -> int:
        """Wait for the response, and see that it is one to this request."""
        message = self._conversation.receive_command(start_seconds=self._conversation.timeouts.response)
        if message is None:
            self._conversation.send([codec.release_response()])
            raise PeerAbortedError("the peer asked for release instead of answering")
        answered_on, response = message
        expected = (context_id, field, message_id, False)
        if (answered_on, response.field, response.message_id_responded_to, response.has_data_set) != expected:
            raise ProtocolError("the peer's response is not one to our request")
        if response.status is None or not _same_instance(response, uids):
            raise ProtocolError("the peer's response has no status, or is about another instance")
        return response.status


def request(
    host: str,
    port: int,
    *,
    calling_ae_title: str,
    called_ae_title: str,
    contexts: Sequence[tuple[str, Sequence[str]]],
    timeouts: Timeouts | None = None,
    tls: TlsPeer | None = None,
    as_scp_of: Collection[str] = (),
) -> Association:
    """Ask a peer for an association.

    Args:
        host: name or address of the peer.
        port: TCP port.
        calling_ae_title: ours, 1 to 16 characters (PS3.5 6.2).
        called_ae_title: the peer's, likewise.
        contexts: SOP Class UID and transfer syntaxes of each, 1 to 128 in order of preference; those with a UID that
            PS3.5 9.1 does not allow are left out.
        timeouts: how long to wait; the defaults when None.
        tls: whom its certificate must show, and ours; None for a plain connection.
        as_scp_of: SOP classes of which we are to be the SCP, and not the SCU (PS3.7 D.3.3.4).

    Raises:
        PeerUnreachableError: no connection, or no TLS with the right peer.
        PeerRejectedError: A-ASSOCIATE-RJ.
        PeerAbortedError: A-ABORT, or the connection was lost.
        PeerTimeoutError: silent or too slow.
        ProtocolError: something else came, or there was nothing to propose, or we are not to be the SCP.
    """
    timeouts = timeouts or Timeouts()
    proposed = _proposed(contexts)
    wire = _wire(host, port, timeouts, tls)
    try:
        roles = dict.fromkeys(as_scp_of, Roles(scu=False, scp=True))
        rq = codec.associate_request(calling_ae_title, called_ae_title, proposed, OUR_MAX_PDU, roles)
        wire.send([rq], stall_seconds=timeouts.associate)
        answer = items.walk_answer(_answer(wire, timeouts.associate))
        accepted = _accepted(proposed, answer)
        # Some peers do not answer what they were asked about roles; those that do must not refuse it.
        if any(uid in answer.roles and not answer.roles[uid].scp for uid in as_scp_of):
            raise ProtocolError("the peer does not let us be the SCP of what is to be said")
    except BaseException as error:
        abort(wire, error)
        raise
    asked = frozenset((it.abstract_syntax, syntax) for it in proposed for syntax in it.transfer_syntaxes)
    return Association(Conversation(wire, answer.max_pdu, timeouts), accepted, asked)


def _proposed(contexts: Sequence[tuple[str, Sequence[str]]]) -> list[ProposedContext]:
    if len(contexts) > MOST_CONTEXTS:
        raise ValueError(f"{len(contexts)} contexts for one association, {MOST_CONTEXTS} at most")
    proposed = [
        ProposedContext(context_id=2 * n + 1, abstract_syntax=abstract, transfer_syntaxes=tuple(transfer))
        for n, (abstract, transfer) in enumerate(contexts)
        if transfer and all(is_conformant_uid(uid) for uid in (abstract, *transfer))
    ]
    if not proposed:
        raise ProtocolError("no context to propose has proper UIDs")
    return proposed


def _wire(host: str, port: int, timeouts: Timeouts, tls: TlsPeer | None) -> Wire:
    """A connection, with TLS when there is to be any, to the peer that was meant."""
    sock = _connect(host, port, timeouts.connect)
    if tls is None:
        return Wire(sock)
    try:
        return Wire(tls.secured(sock, timeouts.handshake))
    except PeerUnreachableError as error:
        raise PeerUnreachableError(f"no TLS with {host}:{port}: {error}") from None


def _connect(host: str, port: int, seconds: float) -> socket.socket:
    try:
        return socket.create_connection((host, port), timeout=seconds)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else "no such host, or no answer in time"
        raise PeerUnreachableError(f"cannot connect to {host}:{port}: {reason}") from error


def _answer(wire: Wire, seconds: float) -> bytes:
    """The body of an A-ASSOCIATE-AC."""
    kind, length = wire.next_pdu((ASSOCIATE_AC, ASSOCIATE_RJ, ABORT), start_seconds=seconds, whole_seconds=seconds)
    body = bytes(wire.take(length))
    if kind == ABORT:
        raise PeerAbortedError("the peer aborted instead of answering the association request")
    if kind == ASSOCIATE_RJ:
        rejection = Rejection(result=body[1], source=body[2], reason=body[3])
        raise PeerRejectedError(rejection.result, rejection.source, rejection.reason, rejection.text)
    return body


def _accepted(proposed: list[ProposedContext], answer: items.AssociateAnswer) -> dict[int, Context]:
    ours = {context.context_id: context for context in proposed}
    accepted: dict[int, Context] = {}
    for context_id, transfer_syntax in answer.accepted.items():
        if context_id not in ours or transfer_syntax not in ours[context_id].transfer_syntaxes:
            raise ProtocolError("the peer accepted a context or a transfer syntax that was not proposed")
        accepted[context_id] = (ours[context_id].abstract_syntax, transfer_syntax)
    return accepted


def _same_instance(response: Command, uids: tuple[str, str] | None) -> bool:
    """Whether the UIDs of a response, where it has them, are those of the request."""
    if uids is None:
        return True
    answered = (response.affected_sop_class_uid, response.affected_sop_instance_uid)
    return all(theirs in (None, "", ours) for theirs, ours in zip(answered, uids, strict=True))
