"""Connections that have not said a whole A-ASSOCIATE-RQ: no thread, little memory, little time.

One thread looks after all of them with the listener's selector. When there are too many, the oldest of the host that
has most of them goes, so that a storm from one place does not keep out a sender from another. A TLS handshake is a part
of the waiting: it is taken a step at a time.
Source: PS3.8 9.2 (ARTIM timer), 9.3.1 (PDU header).
"""

import contextlib
import selectors
import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from shared.dimse import codec, tls
from shared.dimse.wire import ASSOCIATE_RQ, HEADER_SIZE, PduError, header_of, host_of
from shared.errors import PeerAbortedError

log = structlog.get_logger()
_LEAVE_SECONDS = 1.0
_SILENCE_SECONDS = 1.0
_DROPPED_AT_ONCE = 64 << 10

Whole = Callable[[socket.socket, bytes], None]
Ended = Callable[[str, str], None]


@dataclass(eq=False)
class _Arrival:
    """A connection; `is_leaving`: it has been answered, what it still sends is dropped until it closes."""

    sock: socket.socket
    host: str
    deadline: float
    received: bytearray = field(default_factory=bytearray)
    is_leaving: bool = False


class Lobby:
    """Where connections wait; used by one thread.

    Args:
        selector: arrivals are registered with it; the caller hands back those that it finds ready (`hear`).
        seconds: what a connection has for its whole request, the TLS handshake included.
        most: connections at a time.
        whole: takes over a connection and all it said, once that is a PDU that says to be a request.
        ended: told host and how for each connection that ends here: `timeout`, `aborted`, `protocol`, `tls`, `stopped`.
    """

    def __init__(
        self, selector: selectors.BaseSelector, *, seconds: float, most: int, whole: Whole, ended: Ended
    ) -> None:
        self._selector, self._seconds, self._most = selector, seconds, most
        self._whole, self._ended = whole, ended
        self._arrivals: dict[_Arrival, None] = {}
        self._silent_until, self._untold = 0.0, 0

    def __len__(self) -> int:
        return len(self._arrivals)

    def welcome(self, sock: socket.socket) -> None:
        """Let a connection wait; it is closed here unless it becomes whole."""
        sock.setblocking(False)
        arrival = _Arrival(sock, host_of(sock), time.monotonic() + self._seconds)
        self._arrivals[arrival] = None
        self._selector.register(sock, selectors.EVENT_READ, arrival)
        if len(self._arrivals) > self._most:
            self.evict()

    def hear(self, arrival: _Arrival) -> None:
        """Take what a connection says."""
        if arrival not in self._arrivals:
            return  # evicted since it was found ready
        if arrival.is_leaving:
            self._drop(arrival)
            return
        try:
            self._read(arrival)
        except (BlockingIOError, ssl.SSLWantReadError):
            self._selector.modify(arrival.sock, selectors.EVENT_READ, arrival)
        except ssl.SSLWantWriteError:
            self._selector.modify(arrival.sock, selectors.EVENT_WRITE, arrival)
        except PduError as error:
            self._leave(arrival, "protocol", codec.abort(2, error.abort_reason))
        except OSError as error:
            if tls.is_closed(error):
                self._close(arrival, "aborted")
            else:
                self._tell(arrival.host, tls.why(error))
                self._leave(arrival, "tls")
        except PeerAbortedError:
            self._close(arrival, "aborted")
        else:
            self._forget(arrival)
            self._whole(arrival.sock, bytes(arrival.received))

    def expire(self) -> None:
        """End those whose time is over."""
        now = time.monotonic()
        for arrival in [it for it in self._arrivals if it.deadline <= now]:
            self._close(arrival, "timeout")

    def evict(self) -> bool:
        """End the oldest connection of the host that has most; False when there is none."""
        crowded = Counter(it.host for it in self._arrivals).most_common(1)
        for host, _ in crowded:
            self._close(next(it for it in self._arrivals if it.host == host), "stopped")
        return bool(crowded)

    def close(self) -> None:
        """End all."""
        for arrival in [*self._arrivals]:
            self._close(arrival, "stopped")

    def _read(self, arrival: _Arrival) -> None:
        """Read until the request is whole; never a byte beyond it, so nothing is lost with a TLS connection."""
        while missing := _missing(arrival.received):
            chunk = arrival.sock.recv(missing)
            if not chunk:
                raise PeerAbortedError("the peer closed the connection")
            arrival.received += chunk

    def _leave(self, arrival: _Arrival, how: str, last: bytes = b"") -> None:
        """Say a last word, and give the peer a moment to hear it, or TLS its alert: unread bytes make it reset."""
        with contextlib.suppress(OSError):
            if last:
                arrival.sock.send(last)
            socket.socket.shutdown(arrival.sock, socket.SHUT_WR)
        self._ended(arrival.host, how)
        self._selector.modify(arrival.sock, selectors.EVENT_READ, arrival)
        arrival.is_leaving, arrival.deadline = True, time.monotonic() + _LEAVE_SECONDS

    def _tell(self, host: str, why: str) -> None:
        """Log why there is no TLS with a caller, a line a second at most."""
        now = time.monotonic()
        if now < self._silent_until:
            self._untold += 1
            return
        log.warning("no_tls", host=host, why=why, untold_before=self._untold)
        self._silent_until, self._untold = now + _SILENCE_SECONDS, 0

    def _drop(self, arrival: _Arrival) -> None:
        try:
            if not socket.socket.recv(arrival.sock, _DROPPED_AT_ONCE):
                self._close(arrival, "")
        except BlockingIOError:
            return
        except OSError:
            self._close(arrival, "")

    def _close(self, arrival: _Arrival, how: str) -> None:
        self._forget(arrival)
        arrival.sock.close()
        if not arrival.is_leaving:
            self._ended(arrival.host, how)

    def _forget(self, arrival: _Arrival) -> None:
        self._selector.unregister(arrival.sock)
        del self._arrivals[arrival]


def _missing(received: bytearray) -> int:
    """How many bytes of the request are still to come."""
    if len(received) < HEADER_SIZE:
        return HEADER_SIZE - len(received)
    _, length = header_of(received[:HEADER_SIZE], (ASSOCIATE_RQ,))
    return HEADER_SIZE + length - len(received)
