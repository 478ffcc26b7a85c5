"""Listens for associations: one thread for each, bounded in number, in total and by host.

A connection without a whole A-ASSOCIATE-RQ counts apart: when there are too many of those the oldest goes, so that
silent connections cannot keep a sender out. Threads end with their connection.
"""

import os
import selectors
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Generic

from shared.dimse.scp import serve_wire
from shared.dimse.service import Session, StorageService, StoreRequest, StoreSink
from shared.dimse.terms import LOCAL_LIMIT, OUR_MAX_PDU, Proposal, Rejection, Timeouts
from shared.dimse.wire import Wire
from shared.errors import StartError

_BACKLOG = 128
_PAUSE_SECONDS = 0.2
_LOOK_UP_SECONDS = 0.25


class Listener(Generic[Session]):
    """Accepts connections on some addresses and serves each in a thread.

    Args:
        addresses: host and port of each; port 0 takes a free one.
        service: who decides and keeps.
        timeouts: how long to wait for a peer; the defaults when None.
        max_instance: largest data set taken, in bytes.
        max_pdu: the PDU length we say we take, in bytes.
        max_associations: accepted ones at a time; beyond it the answer is `LOCAL_LIMIT`.
        max_associations_per_host: likewise, from one IP address.
        max_pending: connections at a time that have not sent a whole A-ASSOCIATE-RQ.
        ended: told the peer's IP address and how it ended (`serve_wire`) for each connection, in its thread.

    Raises:
        StartError: an address cannot be listened on.
    """

    def __init__(
        self,
        addresses: Sequence[tuple[str, int]],
        service: StorageService[Session],
        *,
        max_instance: int,
        timeouts: Timeouts | None = None,
        max_pdu: int = OUR_MAX_PDU,
        max_associations: int = 100,
        max_associations_per_host: int = 20,
        max_pending: int = 100,
        ended: Callable[[str, str], None] = lambda host, how: None,  # noqa: ARG005
    ) -> None:
        self._service, self._ended = service, ended
        self._timeouts = timeouts or Timeouts()
        self._max_instance, self._max_pdu = max_instance, max_pdu
        self._places = _Places(max_associations, max_associations_per_host, max_pending)
        self._threads: dict[threading.Thread, Wire] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._sockets = _listen(addresses)
        self.addresses: list[tuple[str, int]] = [sock.getsockname()[:2] for sock in self._sockets]

    def serve(self) -> None:
        """Accept connections until `close`."""
        with selectors.DefaultSelector() as selector:
            with self._lock:
                for sock in () if self._closing.is_set() else self._sockets:
                    selector.register(sock, selectors.EVENT_READ, sock)
            while not self._closing.is_set():
                for key, _ in selector.select(_LOOK_UP_SECONDS):
                    self._accept(key.data)

    def close(self, grace_seconds: float = 0) -> None:
        """Stop accepting, let what runs finish for a while, then abort it; callable from any thread.

        Args:
            grace_seconds: how long associations may go on.
        """
        self._closing.set()
        with self._lock:
            for sock in self._sockets:
                sock.close()
        self._join(grace_seconds)
        for wire in self._running().values():
            wire.stop()
        self._join(self._timeouts.release)

    @property
    def associations(self) -> int:
        """Associations that are accepted now."""
        return self._places.taken

    def _join(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        for thread in self._running():
            thread.join(max(0.0, deadline - time.monotonic()))

    def _running(self) -> dict[threading.Thread, Wire]:
        with self._lock:
            return dict(self._threads)

    def _accept(self, listening: socket.socket) -> None:
        try:
            sock, _ = listening.accept()
        except (BlockingIOError, ConnectionError):
            return
        except OSError:
            self._closing.wait(_PAUSE_SECONDS)  # out of descriptors or memory: what runs must end first
            return
        wire = Wire(sock)
        thread = threading.Thread(target=self._serve, args=(wire,), name="association", daemon=True)
        with self._lock:
            if self._closing.is_set():
                wire.close()
                return
            self._threads[thread] = wire
        self._places.wait(wire)
        try:
            thread.start()
        except RuntimeError:
            self._forget(thread, wire)

    def _serve(self, wire: Wire) -> None:
        host = wire.host
        try:
            how = serve_wire(
                wire,
                _Admission(self._service, self._places, wire),
                self._timeouts,
                max_instance=self._max_instance,
                max_pdu=self._max_pdu,
            )
            self._ended(host, how)
        finally:
            self._forget(threading.current_thread(), wire)

    def _forget(self, thread: threading.Thread, wire: Wire) -> None:
        wire.close()
        self._places.leave(wire)
        with self._lock:
            del self._threads[thread]


class _Places:
    """Who waits to be heard and who has a place, by connection."""

    def __init__(self, most: int, most_per_host: int, most_waiting: int) -> None:
        self._most, self._most_per_host, self._most_waiting = most, most_per_host, most_waiting
        self._waiting: dict[Wire, None] = {}
        self._hosts: dict[Wire, str] = {}
        self._by_host: Counter[str] = Counter()
        self._lock = threading.Lock()

    @property
    def taken(self) -> int:
        """Places taken."""
        return len(self._hosts)

    def wait(self, wire: Wire) -> None:
        """A connection begins; the one that has waited longest goes when there are too many."""
        with self._lock:
            self._waiting[wire] = None
            oldest = next(iter(self._waiting)) if len(self._waiting) > self._most_waiting else None
            if oldest:
                del self._waiting[oldest]
        if oldest:
            oldest.stop()

    def take(self, wire: Wire, host: str) -> bool:
        """A request is whole; whether there is a place for it."""
        with self._lock:
            self._waiting.pop(wire, None)
            if len(self._hosts) >= self._most or self._by_host[host] >= self._most_per_host:
                return False
            self._hosts[wire] = host
            self._by_host[host] += 1
            return True

    def leave(self, wire: Wire) -> None:
        """A connection is over, wherever it had got to."""
        with self._lock:
            self._waiting.pop(wire, None)
            host = self._hosts.pop(wire, None)
            if host is not None:
                self._by_host[host] -= 1
                self._by_host += Counter()


class _Admission(Generic[Session]):
    """A service that first looks whether there is a place."""

    def __init__(self, service: StorageService[Session], places: _Places, wire: Wire) -> None:
        self._service, self._places, self._wire = service, places, wire

    def admit(self, proposal: Proposal) -> Rejection | None:
        if not self._places.take(self._wire, proposal.host):
            return LOCAL_LIMIT
        rejection = self._service.admit(proposal)
        if rejection is not None:
            self._places.leave(self._wire)
        return rejection

    def opened(self, proposal: Proposal) -> Session:
        return self._service.opened(proposal)

    def store(self, session: Session, request: StoreRequest) -> StoreSink | int:
        return self._service.store(session, request)

    def closed(self, session: Session) -> None:
        self._service.closed(session)
        self._places.leave(self._wire)


def _listen(addresses: Sequence[tuple[str, int]]) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    for host, port in addresses:
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            sock = socket.create_server((host, port), family=family, backlog=_BACKLOG)
        except OSError as error:
            for opened in sockets:
                opened.close()
            reason = os.strerror(error.errno) if error.errno and error.errno > 0 else "no such address"
            raise StartError(
                f"cannot listen on {host}:{port}: {reason}; stop what listens there, or change `listen` in [ingress]"
            ) from error
        sock.setblocking(False)
        sockets.append(sock)
    return sockets
