"""A destination that answers as a test says: our own acceptor with a script."""

import hashlib
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from consumers.sender.handler import Sender
from shared.dimse import Listener, Proposal, Rejection, StoreRequest, Timeouts
from shared.errors import PeerTimeoutError
from shared.spool.circuits import newest_circuit
from shared.spool.spool import Spool
from shared.spool.states import State
from tests.consumers.bench import RELAY, Bench

QUICK = Timeouts(connect=2, associate=2, pdu=2, idle=10, response=2, release=1)
ABORT = -1


@dataclass
class Sink:
    """Hashes one instance, then answers."""

    peer: "Peer"
    request: StoreRequest
    hash: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    def write(self, chunk: memoryview) -> None:
        self.hash.update(chunk)

    def commit(self) -> int:
        return self.peer.answer(self.request.affected_sop_instance_uid, self.hash.hexdigest())

    def discard(self) -> None:
        self.peer.discarded += 1


@dataclass
class Peer:
    """The service of the destination.

    Attributes:
        script: status of the first instance, the second, ...; ABORT aborts; 0000 once it is used up.
        always: status by SOP Instance UID, before the script.
        rejection: of every association.
        got: SOP Instance UIDs answered with anything, in order.
        kept: hash of each data set that was answered with 0000 or a warning, by SOP Instance UID.
        callers: of the accepted associations.
        ended: how many of them are over.
    """

    script: list[int] = field(default_factory=list)
    always: dict[str, int] = field(default_factory=dict)
    rejection: Rejection | None = None
    got: list[str] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)
    callers: list[Proposal] = field(default_factory=list)
    discarded: int = 0
    ended: int = 0
    port: int = 0

    def admit(self, _proposal: Proposal) -> Rejection | None:
        return self.rejection

    def opened(self, proposal: Proposal) -> str:
        self.callers.append(proposal)
        return proposal.host

    def store(self, _session: str, request: StoreRequest) -> Sink:
        return Sink(self, request)

    def answered(self, _session: str) -> None:
        """Nothing is made ready for the next."""

    def closed(self, _session: str) -> None:
        self.ended += 1

    def answer(self, uid: str, digest: str) -> int:
        status = self.always[uid] if uid in self.always else self.script.pop(0) if self.script else 0
        if status == ABORT:
            raise PeerTimeoutError("the script says abort")
        self.got.append(uid)
        if status == 0 or status & 0xF000 == 0xB000:
            self.kept[uid] = digest
        return status


@contextmanager
def listening(peer: Peer, tls: ssl.SSLContext | None = None, port: int = 0) -> Iterator[Peer]:
    """Serves a peer on a free port of loopback or this one, with TLS or without."""
    here = [("127.0.0.1", port)]
    plain, secured = ([], (here, tls)) if tls else (here, None)
    listener = Listener(plain, peer, tls=secured, max_instance=1 << 32, timeouts=QUICK)
    peer.port = listener.addresses[0][1]
    thread = threading.Thread(target=listener.serve)
    thread.start()
    try:
        yield peer
    finally:
        listener.close()
        thread.join()


def aimed(relay: Bench, port: int, more: str = "") -> None:
    """Configures the destination `archive` on a port."""
    text = RELAY.replace("port = 104\n", f"port = {port}\n{more}\n")
    relay.configure(text + '[[route]]\nname = "all"\nto = ["reading"]\n')


def sender(relay: Bench, **more: object) -> Sender:
    destination = relay.config.destination("archive")
    assert destination is not None
    arguments = {"may_send": lambda: None, "stopping": relay.stopping, "timeouts": QUICK, **more}
    return Sender(relay.spool, destination, **arguments)  # type: ignore[arg-type]


def after(relay: Bench, delivery: str, ours: Sender) -> State:
    """The delivery's newest record after one look at it."""
    relay.look(delivery, ours.handle)
    state = relay.spool.deliveries.newest(delivery)
    assert state is not None
    return state


def flip_last_byte(path: Path) -> None:
    content = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def open_since(spool: Spool, destination: str = "archive") -> datetime | None:
    """Since when nothing but probes goes to a destination, by the record; None: work goes out as it comes."""
    found = newest_circuit(spool, destination)
    return found.since if found is not None and found.open else None
