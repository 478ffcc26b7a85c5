"""Listens for associations: a thread for each, once it has said a whole A-ASSOCIATE-RQ; before that the lobby.

Associations count when they are accepted, in total and by host. Threads end with their connection.
"""

import contextlib
import os
import selectors
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Generic

from shared.dimse import codec
from shared.dimse.commitment import CommitmentService
from shared.dimse.lobby import Lobby
from shared.dimse.scp import serve_wire
from shared.dimse.service import Session, StorageService, StoreRequest, StoreSink
from shared.dimse.terms import LOCAL_LIMIT, OUR_MAX_PDU, Proposal, Rejection, Timeouts
from shared.dimse.wire import Wire
from shared.errors import PeerError, StartError

_BACKLOG = 128
_PAUSE_SECONDS = 0.2
_LOOK_UP_SECONDS = 0.25

Address = tuple[str, int]


class Listener(Generic[Session]):
    """Accepts connections on some addresses and serves each association in a thread.

    Args:
        addresses: host and port of each; port 0 takes a free one.
        service: who decides and keeps.
        tls: addresses where callers must speak TLS, and how.
        timeouts: how long to wait for a peer; the defaults when None.
        max_instance: largest data set taken, in bytes.
        max_pdu: the PDU length we say we take, in bytes.
        max_associations: accepted ones at a time; beyond it the answer is `LOCAL_LIMIT`.
        max_associations_per_host: likewise, from one IP address.
        max_pending: connections at a time that have not sent a whole A-ASSOCIATE-RQ; the same number may be having
            theirs answered.
        commitment: who takes part in storage commitment; None: nobody.
        ended: told the peer's IP address and how it ended (`serve_wire`, `Lobby`) for each connection.

    Raises:
        StartError: an address cannot be listened on.
    """

    def __init__(
        self,
        addresses: Sequence[Address],
        service: StorageService[Session],
        *,
        max_instance: int,
        tls: tuple[Sequence[Address], ssl.SSLContext] | None = None,
        timeouts: Timeouts | None = None,
        max_pdu: int = OUR_MAX_PDU,
        max_associations: int = 100,
        max_associations_per_host: int = 20,
        max_pending: int = 100,
        commitment: CommitmentService[Session] | None = None,
        ended: Callable[[str, str], None] = lambda host, how: None,  # noqa: ARG005
    ) -> None:
        self._service, self._commitment, self._ended = service, commitment, ended
        self._timeouts = timeouts or Timeouts()
        self._max_instance, self._max_pdu, self._max_pending = max_instance, max_pdu, max_pending
        self._places = _Places(max_associations, max_associations_per_host)
        self._threads: dict[threading.Thread, Wire] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._is_serving = False
        self._tls = tls[1] if tls else None
        self._sockets = _listen([*addresses, *(tls[0] if tls else ())])
        self._plain = self._sockets[: len(addresses)]
        self.addresses: list[Address] = [sock.getsockname()[:2] for sock in self._sockets]

    def limit(self, *, max_instance: int, max_associations: int, max_associations_per_host: int) -> None:
        """Other limits for the associations that come from now on; nobody is sent away."""
        self._max_instance = max_instance
        self._places.limit(max_associations, max_associations_per_host)

    def serve(self) -> None:
        """Accept connections until `close`."""
        with contextlib.ExitStack() as stack:
            selector = stack.enter_context(selectors.DefaultSelector())
            with self._lock:
                self._is_serving = True
                for sock in () if self._closing.is_set() else self._sockets:
                    selector.register(stack.enter_context(sock), selectors.EVENT_READ)
            lobby = Lobby(
                selector,
                seconds=self._timeouts.associate,
                most=self._max_pending,
                whole=self._begin,
                ended=self._ended,
            )
            while not self._closing.is_set():
                for key, _ in selector.select(_LOOK_UP_SECONDS):
                    if key.data is None:
                        self._accept(key.fileobj, lobby)
                    else:
                        lobby.hear(key.data)
                lobby.expire()
            lobby.close()

    def close(self, grace_seconds: float = 0) -> None:
        """Stop accepting, let what runs finish for a while, then abort it; callable from any thread.

        Args:
            grace_seconds: how long associations may go on.
        """
        self._closing.set()
        with self._lock:
            for sock in self._sockets:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)  # wakes `serve`, which closes them
                if not self._is_serving:
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

    def _accept(self, listening: object, lobby: Lobby) -> None:
        if not isinstance(listening, socket.socket):
            return
        try:
            sock, _ = listening.accept()
        except (BlockingIOError, ConnectionError):
            return
        except OSError:
            if not lobby.evict():  # out of descriptors or memory: what runs must end first
                self._closing.wait(_PAUSE_SECONDS)
            return
        if self._tls is not None and listening not in self._plain:
            sock = self._tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        lobby.welcome(sock)

    def _begin(self, sock: socket.socket, request: bytes) -> None:
        """Serve a connection that has said its request in a thread, if there may be one more."""
        wire = Wire(sock, request)
        thread = threading.Thread(target=self._serve, args=(wire,), name="association", daemon=True)
        with self._lock:
            has_begun = self._has_begun(thread)
            if has_begun:
                self._threads[thread] = wire
        if not has_begun:
            with contextlib.suppress(PeerError):
                wire.send([codec.associate_reject(LOCAL_LIMIT)], stall_seconds=0)
            self._ended(wire.host, "rejected")
            wire.close()

    def _has_begun(self, thread: threading.Thread) -> bool:
        if self._closing.is_set() or len(self._threads) - self._places.taken >= self._max_pending:
            return False
        try:
            thread.start()  # the lock is held, so that it cannot end before it is known
        except RuntimeError:
            return False
        return True

    def _serve(self, wire: Wire) -> None:
        host = wire.host
        try:
            how = serve_wire(
                wire,
                _Admission(self._service, self._places, wire),
                self._timeouts,
                max_instance=self._max_instance,
                max_pdu=self._max_pdu,
                commitment=self._commitment,
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
    """Who has a place, by connection."""

    def __init__(self, most: int, most_per_host: int) -> None:
        self._most, self._most_per_host = most, most_per_host
        self._hosts: dict[Wire, str] = {}
        self._lock = threading.Lock()

    @property
    def taken(self) -> int:
        """Places taken."""
        return len(self._hosts)

    def limit(self, most: int, most_per_host: int) -> None:
        """Other numbers from now on."""
        with self._lock:
            self._most, self._most_per_host = most, most_per_host

    def take(self, wire: Wire, host: str) -> bool:
        """Whether there is a place; if so it is taken."""
        with self._lock:
            if len(self._hosts) >= self._most or Counter(self._hosts.values())[host] >= self._most_per_host:
                return False
            self._hosts[wire] = host
            return True

    def leave(self, wire: Wire) -> None:
        """A connection needs its place no more, if it had one."""
        with self._lock:
            self._hosts.pop(wire, None)


class _Admission(Generic[Session]):
    """A service that gives a place to those whom it admits, while there are places."""

    def __init__(self, service: StorageService[Session], places: _Places, wire: Wire) -> None:
        self._service, self._places, self._wire = service, places, wire

    def admit(self, proposal: Proposal) -> Rejection | None:
        rejection = self._service.admit(proposal)
        if rejection is None and not self._places.take(self._wire, proposal.host):
            return LOCAL_LIMIT
        return rejection

    def opened(self, proposal: Proposal) -> Session:
        return self._service.opened(proposal)

    def store(self, session: Session, request: StoreRequest) -> StoreSink | int:
        return self._service.store(session, request)

    def answered(self, session: Session) -> None:
        self._service.answered(session)

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
