"""A connection as PDUs: every wait has a deadline, every length is checked before anything is read for it.

The socket is non-blocking and waited for with poll, so descriptors beyond 1,024 work and a read that finds bytes costs
one system call. A plain socket gathers what it sends (`sendmsg`); a TLS socket, which cannot, writes record by record.
`TCP_NODELAY` and `TCP_QUICKACK` keep either side's Nagle algorithm from costing 40 ms a message.
Source: PS3.8 9.3.1 (PDU header).
"""

import contextlib
import mmap
import select
import socket
import ssl
import struct
import time
from collections.abc import Iterator, Mapping, Sequence

from shared.dimse import tls
from shared.errors import PeerAbortedError, PeerTimeoutError, ProtocolError

ASSOCIATE_RQ, ASSOCIATE_AC, ASSOCIATE_RJ, P_DATA, RELEASE_RQ, RELEASE_RP, ABORT = range(1, 8)

# Lengths a PDU of each type may claim, in bytes after its header. Old modalities overshoot the maximum that was
# negotiated for P-DATA-TF, so it is not held against them below 1 MiB.
LENGTHS: Mapping[int, range] = {
    ASSOCIATE_RQ: range(68, (128 << 10) + 1),
    ASSOCIATE_AC: range(68, (128 << 10) + 1),
    ASSOCIATE_RJ: range(4, 5),
    P_DATA: range(6, (1 << 20) + 1),
    RELEASE_RQ: range(4, 5),
    RELEASE_RP: range(4, 5),
    ABORT: range(4, 5),
}

UNRECOGNIZED_PDU, UNEXPECTED_PDU, INVALID_PDU_PARAMETER = 1, 2, 6

_HEADER = struct.Struct(">BxL")
HEADER_SIZE = _HEADER.size
_BUFFER = 256 << 10
_MOST_PIECES = 512
_TLS_RECORD = 16 << 10
_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)

Piece = bytes | bytearray | memoryview


class PduError(ProtocolError):
    """A PDU that may not come, or not in this shape.

    Args:
        text: one line.
        abort_reason: what to say in A-ABORT (PS3.8 9.3.8).
    """

    def __init__(self, text: str, abort_reason: int = INVALID_PDU_PARAMETER) -> None:
        super().__init__(text)
        self.abort_reason = abort_reason


class Wire:
    """One connection, plain or TLS, used by one thread; `stop` may come from another.

    Args:
        sock: taken over; `close` closes it. A TLS one has shaken hands.
        received: what it has said already, at most 256 KiB.
    """

    def __init__(self, sock: socket.socket, received: bytes = b"") -> None:
        sock.setblocking(False)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._sock = sock
        self._gathers = not isinstance(sock, ssl.SSLSocket)
        self._buffer = memoryview(mmap.mmap(-1, _BUFFER))  # goes back to the system at once, unlike the heap
        self._buffer[: len(received)] = received
        self._begin, self._end = 0, len(received)
        self._deadline = 0.0
        self._slowest = self._allowance = self._most_allowed = 0.0
        self._stopped = False
        self._poll = select.poll()

    def next_pdu(self, allowed: Sequence[int], *, start_seconds: float, whole_seconds: float) -> tuple[int, int]:
        """Read a PDU's header; what is read after it is under its deadline.

        Args:
            allowed: PDU types that may come now.
            start_seconds: how long to wait for its first byte.
            whole_seconds: how long the whole PDU may take from there.

        Returns:
            Its type, and its length after the header, in bytes, within the bounds of `LENGTHS`.

        Raises:
            PduError: another type, or a length out of bounds; nothing was read for it.
            PeerTimeoutError: silent or too slow.
            PeerAbortedError: the connection is gone.
        """
        self._deadline = time.monotonic() + start_seconds
        if self._begin == self._end:
            self._receive()
        self._deadline = time.monotonic() + whole_seconds
        return header_of(self.take(HEADER_SIZE), allowed)

    def expect(self, bytes_per_second: float, allowance_seconds: float = 0) -> None:
        """From now on, weigh the bytes that come against the time waited for them; too slow is a timeout.

        Args:
            bytes_per_second: on average; 0 for any.
            allowance_seconds: how far the peer may fall behind.
        """
        self._slowest = bytes_per_second
        self._allowance = self._most_allowed = allowance_seconds * bytes_per_second

    def take(self, count: int) -> memoryview:
        """Read exactly so many bytes, at most 128 KiB; valid until the next read."""
        while self._end - self._begin < count:
            self._receive()
        self._begin += count
        return self._buffer[self._begin - count : self._begin]

    def chunks(self, count: int) -> Iterator[memoryview]:
        """Read so many bytes in pieces as they arrive; each is valid until the next."""
        while count:
            if self._begin == self._end:
                self._receive()
            size = min(count, self._end - self._begin)
            self._begin += size
            count -= size
            yield self._buffer[self._begin - size : self._begin]

    def send(self, pieces: Sequence[Piece], *, stall_seconds: float) -> None:
        """Send pieces one after another, whole.

        Args:
            pieces: sent as they lie, nothing is copied on a plain connection.
            stall_seconds: how long the peer may take nothing at all.

        Raises:
            PeerTimeoutError: it took nothing for so long.
            PeerAbortedError: the connection is gone.
        """
        waiting = [piece for piece in pieces if len(piece)]
        first = 0
        while first < len(waiting):
            self._deadline = time.monotonic() + stall_seconds
            sent = self._attempt_send(waiting[first : first + _MOST_PIECES])
            while first < len(waiting) and sent >= len(waiting[first]):
                sent -= len(waiting[first])
                first += 1
            if sent:
                waiting[first] = memoryview(waiting[first])[sent:]

    def is_quiet(self) -> bool:
        """Whether the peer has neither said anything nor closed since it was last read."""
        self._poll.register(self._sock, select.POLLIN)
        return self._begin == self._end and not self._poll.poll(0)

    def speaks(self, seconds: float) -> bool:
        """Whether the peer says something, or closes, within so many seconds; nothing is read."""
        self._poll.register(self._sock, select.POLLIN)
        return self._begin != self._end or bool(self._poll.poll(seconds * 1000))

    def stop(self) -> None:
        """Let the thread that uses this connection find it ended at its next read; callable from any thread."""
        self._stopped = True
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self._sock, socket.SHUT_RD)

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopped

    @property
    def host(self) -> str:
        """The peer's IP address; empty when it is gone already."""
        return host_of(self._sock)

    @property
    def certificate(self) -> frozenset[str] | None:
        """Who the peer's certificate says it is (`tls.identities_of`); None on a plain connection."""
        return tls.identities_of(self._sock) if isinstance(self._sock, ssl.SSLSocket) else None

    def close(self, *, linger_seconds: float = 0) -> None:
        """Close; harmless when done before.

        Args:
            linger_seconds: how long to wait for the peer to close first, dropping what it still sends. Without it,
                unread bytes make the kernel reset the connection, and the peer may lose what we said last.
        """
        with contextlib.suppress(OSError, PeerAbortedError, PeerTimeoutError):
            self._end_tls()
            socket.socket.shutdown(self._sock, socket.SHUT_WR)
            self._deadline = time.monotonic() + linger_seconds
            while linger_seconds and time.monotonic() < self._deadline:
                self._begin = self._end
                self._receive()
        self._sock.close()

    def _end_tls(self) -> None:
        """Say close_notify; what still comes is only dropped, so from here on nothing is decrypted."""
        if isinstance(self._sock, ssl.SSLSocket):
            with contextlib.suppress(OSError, ValueError):
                self._sock.unwrap()
            self._sock = socket.socket(fileno=self._sock.detach())

    def _receive(self) -> None:
        if self._begin == self._end:
            self._begin = self._end = 0
        elif self._end == len(self._buffer) or self._begin > len(self._buffer) // 2:
            rest = self._end - self._begin
            self._buffer[:rest] = bytes(self._buffer[self._begin : self._end])
            self._begin, self._end = 0, rest
        count = 0
        while not count:
            if self._stopped:
                raise PeerAbortedError("the relay is stopping")
            count = self._attempt_receive()
        self._end += count
        self._allowance = min(self._allowance + count, self._most_allowed)
        if self._allowance < 0:
            raise PeerTimeoutError("the peer was too slow")
        if _QUICKACK is not None:
            with contextlib.suppress(OSError):
                self._sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)

    def _attempt_receive(self) -> int:
        try:
            count = self._sock.recv_into(self._buffer[self._end :])
        except (BlockingIOError, ssl.SSLWantReadError):
            return self._wait(select.POLLIN)
        except ssl.SSLWantWriteError:
            return self._wait(select.POLLOUT)
        except OSError as error:
            raise _lost(error) from error
        if not count:
            raise PeerAbortedError("the peer closed the connection")
        return count

    def _attempt_send(self, pieces: Sequence[Piece]) -> int:
        try:
            return self._sock.sendmsg(pieces) if self._gathers else self._sock.send(_record(pieces))
        except (BlockingIOError, ssl.SSLWantWriteError):
            return self._wait(select.POLLOUT)
        except ssl.SSLWantReadError:
            return self._wait(select.POLLIN)
        except OSError as error:
            raise _lost(error) from error

    def _wait(self, event: int) -> int:
        """Wait until the socket can go on; returns 0, the bytes moved meanwhile."""
        self._poll.register(self._sock, event)
        begun = time.monotonic()
        if not self._poll.poll(max(0.0, self._deadline - begun) * 1000):
            raise PeerTimeoutError("the peer was silent or too slow")
        self._allowance -= (time.monotonic() - begun) * self._slowest
        return 0


def _record(pieces: Sequence[Piece]) -> Piece:
    """What fits into one TLS record, so that no header travels in a record of its own."""
    if len(pieces[0]) >= _TLS_RECORD:
        return pieces[0][:_TLS_RECORD]
    record = bytearray()
    for piece in pieces:
        record += piece[: _TLS_RECORD - len(record)]
        if len(record) == _TLS_RECORD:
            break
    return record


def _lost(error: OSError) -> PeerAbortedError:
    because = f" (TLS: {tls.why(error)})" if isinstance(error, ssl.SSLError) else ""
    return PeerAbortedError(f"the connection was lost{because}")


def header_of(header: Piece, allowed: Sequence[int]) -> tuple[int, int]:
    """A PDU's type, and its length after the header in bytes, within the bounds of `LENGTHS`.

    Args:
        header: its first `HEADER_SIZE` bytes.
        allowed: PDU types that may come now.

    Raises:
        PduError: another type, or a length out of bounds.
    """
    kind, length = _HEADER.unpack(header)
    if kind not in LENGTHS:
        raise PduError("not a DICOM PDU", UNRECOGNIZED_PDU)
    if kind not in allowed:
        raise PduError(f"a PDU of type {kind:02X}H may not come now", UNEXPECTED_PDU)
    if length not in LENGTHS[kind]:
        raise PduError(f"a PDU of type {kind:02X}H claims {length} bytes")
    return kind, length


def host_of(sock: socket.socket) -> str:
    """The peer's IP address; empty when it is gone already."""
    try:
        return str(sock.getpeername()[0]).removeprefix("::ffff:")
    except OSError:
        return ""
