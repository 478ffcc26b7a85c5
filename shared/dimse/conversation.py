"""DIMSE messages over an association's P-DATA-TF PDUs, both directions.

Bytes of a data set are never gathered: they are handed on from the receive buffer, and sent from where they lie.
Source: PS3.8 9.3.5 and Annex E (PDVs), PS3.7 6.3 (messages).
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from struct import Struct

from shared.dimse import codec
from shared.dimse.commands import MOST_BYTES, Command, parse_command
from shared.dimse.terms import OUR_MAX_PDU, Timeouts
from shared.dimse.wire import ABORT, P_DATA, RELEASE_RQ, PduError, Piece, Wire
from shared.errors import PeerAbortedError, PeerError, ProtocolError

SMALLEST_MAX_PDU = 4096
_FRAGMENTS_TO_START_WITH, _BYTES_FOR_ANOTHER_FRAGMENT = 1024, 128
_COMMAND, _LAST = 1, 2

_PDV = Struct(">LBB")
_PDU_WITH_ONE_PDV = Struct(">BxLLBB")
_PDV_OVERHEAD = 6
_LINGER_SECONDS = 1.0


@dataclass(frozen=True)
class _Fragment:
    context_id: int
    is_command: bool
    is_last: bool
    length: int


class Conversation:
    """What is said on one association after it was agreed.

    Args:
        wire: the connection.
        peer_max_pdu: as the peer said, in bytes, 0 for any; held between 4 and 128 KiB.
        timeouts: how long to wait.
    """

    def __init__(self, wire: Wire, peer_max_pdu: int, timeouts: Timeouts) -> None:
        self.wire = wire
        self.timeouts = timeouts
        # Even, whatever the peer said: a fragment of odd length makes others abort (PS3.8 Annex E).
        self.fragment_size = (max(SMALLEST_MAX_PDU, min(peer_max_pdu or OUR_MAX_PDU, OUR_MAX_PDU)) - _PDV_OVERHEAD) & ~1
        self._left_in_pdu = 0
        self._fragments_left = 0.0

    def receive_command(self, *, start_seconds: float) -> tuple[int, Command] | None:
        """Wait for the next message's command set.

        Args:
            start_seconds: how long to wait for it to begin.

        Returns:
            Presentation context id and command set; None when the peer asks for release instead.

        Raises:
            ProtocolError: something else came, or not in bounds.
            PeerTimeoutError: silent or too slow.
            PeerAbortedError: A-ABORT, or the connection is gone.
        """
        encoded, context_id = bytearray(), None
        self.wire.expect(0)
        self._fragments_left = _FRAGMENTS_TO_START_WITH
        while True:
            fragment = self._next_fragment(start_seconds)
            if fragment is None:
                if context_id is None:
                    return None
                raise ProtocolError("release was asked for inside a message")
            if not fragment.is_command or context_id not in (None, fragment.context_id):
                raise ProtocolError("a data set or another context's fragment came where a command set goes on")
            if len(encoded) + fragment.length > MOST_BYTES:
                raise ProtocolError(f"a command set is over {MOST_BYTES} bytes")
            if context_id is None:
                self.wire.expect(self.timeouts.slowest, self.timeouts.pdu)
            context_id, start_seconds = fragment.context_id, self.timeouts.pdu
            for chunk in self.wire.chunks(fragment.length):
                encoded += chunk
            if fragment.is_last:
                return context_id, parse_command(bytes(encoded))

    def receive_data_set(self, context_id: int) -> Iterator[memoryview]:
        """The bytes of the data set that follows a command set, as they arrive; each piece is valid until the next.

        Ends after the last fragment; anything else that ends it raises as `receive_command`.
        """
        while True:
            fragment = self._next_fragment(self.timeouts.pdu)
            if fragment is None:
                raise ProtocolError("release was asked for inside a message")
            if fragment.is_command or fragment.context_id != context_id:
                raise ProtocolError("a command set or another context's fragment came where a data set goes on")
            yield from self.wire.chunks(fragment.length)
            if fragment.is_last:
                return

    def send_command(self, context_id: int, encoded: bytes) -> None:
        """Send a command set, in one piece."""
        self.send([self.command_pdu(context_id, encoded)])

    def send(self, pieces: Sequence[Piece]) -> None:
        """Send pieces of PDUs one after another; raises `PeerTimeoutError`, `PeerAbortedError`."""
        self.wire.send(pieces, stall_seconds=self.timeouts.pdu)

    def command_pdu(self, context_id: int, encoded: bytes) -> bytes:
        """A P-DATA-TF PDU with a whole command set, which must fit (ours do: under 1 KiB)."""
        return self._pdu_header(context_id, len(encoded), _COMMAND | _LAST) + encoded

    def data_pieces(self, context_id: int, block: memoryview, *, is_last: bool) -> list[Piece]:
        """P-DATA-TF PDUs for a stretch of a data set: a header, a slice, a header, a slice.

        Args:
            context_id: presentation context.
            block: bytes of the data set; may be empty only when it is the last stretch.
            is_last: whether the data set ends with it.
        """
        size = self.fragment_size
        whole = max(0, len(block) - 1) // size * size
        header = self._pdu_header(context_id, size, 0)
        pieces: list[Piece] = []
        for offset in range(0, whole, size):
            pieces += (header, block[offset : offset + size])
        last = block[whole:]
        return [*pieces, self._pdu_header(context_id, len(last), _LAST if is_last else 0), last]

    def _next_fragment(self, start_seconds: float) -> _Fragment | None:
        """The next PDV's header; None when the peer asks for release."""
        if not self._left_in_pdu:
            kind, length = self.wire.next_pdu(
                (P_DATA, RELEASE_RQ, ABORT), start_seconds=start_seconds, whole_seconds=self.timeouts.pdu
            )
            if kind == ABORT:
                raise PeerAbortedError("the peer aborted the association")
            if kind == RELEASE_RQ:
                self.wire.take(length)
                return None
            self._left_in_pdu = length
        if self._left_in_pdu < _PDV.size:
            raise PduError("a P-DATA-TF PDU ends inside a PDV's header")
        size, context_id, control = _PDV.unpack(self.wire.take(_PDV.size))
        self._left_in_pdu -= 4 + size
        if size < 2 or self._left_in_pdu < 0:
            raise PduError("a PDV is shorter than its header or longer than its PDU")
        self._fragments_left += (size - 2) / _BYTES_FOR_ANOTHER_FRAGMENT - 1
        if self._fragments_left < 0:
            raise ProtocolError("a message is cut into too many fragments for its size")
        return _Fragment(context_id, bool(control & _COMMAND), bool(control & _LAST), size - 2)

    def _pdu_header(self, context_id: int, length: int, control: int) -> bytes:
        return _PDU_WITH_ONE_PDV.pack(P_DATA, length + _PDV_OVERHEAD, length + 2, context_id, control)


def abort(wire: Wire, error: BaseException | None = None, *, linger_seconds: float = _LINGER_SECONDS) -> None:
    """Say A-ABORT if the peer may still listen, and close; harmless when closed before.

    Args:
        wire: the connection.
        error: why; an error of the peer's is answered in the provider's name.
        linger_seconds: how long the peer may go on before the connection is closed (`Wire.close`).
    """
    if isinstance(error, PeerAbortedError) and not wire.stopped:
        wire.close()
        return
    reason = error.abort_reason if isinstance(error, PduError) else 0
    with contextlib.suppress(PeerError):
        wire.send([codec.abort(2 if isinstance(error, ProtocolError) else 0, reason)], stall_seconds=0)
    wire.close(linger_seconds=0 if wire.stopped else linger_seconds)
