"""Bytes on the wire, and sockets to say them on: what no proper requestor can be made to send."""

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from shared.dimse import VERIFICATION, codec
from shared.dimse.commands import store_request
from shared.dimse.items import ProposedContext

CT, IMPLICIT = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2"
FIND = "1.2.840.10008.5.1.4.31"
CONTEXTS = [
    ProposedContext(context_id=1, abstract_syntax=VERIFICATION, transfer_syntaxes=(IMPLICIT,)),
    ProposedContext(context_id=3, abstract_syntax=CT, transfer_syntaxes=(IMPLICIT,)),
    ProposedContext(context_id=5, abstract_syntax=FIND, transfer_syntaxes=(IMPLICIT,)),
]
RELEASE, RELEASED = codec.release_request(), codec.release_response()
ABORT = codec.abort(0)
PROVIDER_ABORT = b"\x07\x00\x00\x00\x00\x04\x00\x00\x02"


def associate_rq(calling: str = "CT1", called: str = "DCMRELAY") -> bytes:
    """An A-ASSOCIATE-RQ: Verification as 1, CT as 3, a worklist as 5."""
    return codec.associate_request(calling, called, CONTEXTS, 16384)


def pdata(*pdvs: bytes) -> bytes:
    """A P-DATA-TF PDU."""
    content = b"".join(pdvs)
    return struct.pack(">BxL", 4, len(content)) + content


def pdv(content: bytes, control: int, context_id: int = 3) -> bytes:
    """A PDV; control: 1 of a command, 2 the last."""
    return struct.pack(">LBB", len(content) + 2, context_id, control) + content


def store_rq(instance_uid: str = "1.2.3", message_id: int = 1) -> bytes:
    """A C-STORE-RQ as a PDU."""
    return pdata(pdv(store_request(message_id, CT, instance_uid), 3))


def data_pdus(content: bytes, size: int = 16000) -> bytes:
    """A whole data set in PDUs."""
    pieces = [content[at : at + size] for at in range(0, len(content), size)]
    return b"".join(pdata(pdv(piece, 2 if piece is pieces[-1] else 0)) for piece in pieces)


def exactly(peer: socket.socket, count: int) -> bytes:
    """So many bytes, fewer when it ends before."""
    return peer.recv(count, socket.MSG_WAITALL)


def pdu(peer: socket.socket) -> bytes:
    """The next PDU, whole."""
    header = exactly(peer, 6)
    return header + exactly(peer, struct.unpack(">BxL", header)[1])


def status_of(response: bytes) -> int:
    """The status in a P-DATA-TF PDU with a whole response."""
    at = response.index(b"\x00\x00\x00\x09\x02\x00\x00\x00")
    return int(struct.unpack_from("<H", response, at + 8)[0])


def rest(peer: socket.socket) -> bytes:
    """All that still comes until the other side closes."""
    said = b""
    while chunk := peer.recv(65536):
        said += chunk
    return said


@contextmanager
def connected(port: int, first: bytes = b"", host: str = "127.0.0.1") -> Iterator[socket.socket]:
    """A connection from an address of loopback, on which something has been said."""
    with socket.create_connection(("127.0.0.1", port), timeout=20, source_address=(host, 0)) as peer:
        if first:
            peer.sendall(first)
        yield peer


@contextmanager
def associated(port: int, request: bytes = b"", host: str = "127.0.0.1") -> Iterator[socket.socket]:
    """A connection on which the association was accepted."""
    with connected(port, request or associate_rq(), host) as peer:
        accepted = pdu(peer)
        assert accepted[0] == 2, accepted[:10]
        yield peer


def reset(peer: socket.socket) -> None:
    """Let its close be a reset."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
