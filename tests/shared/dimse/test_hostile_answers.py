"""What a destination may answer: a mismatch is an error, never a status, and never quotes the peer."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shared.dimse import Timeouts, request
from shared.errors import PeerError, ProtocolError
from tests.shared.dimse.pdus import ABORT, CT, IMPLICIT, RELEASE, exactly, pdata, pdv


@contextmanager
def answering(*answers: bytes) -> Iterator[int]:
    """A peer on loopback that accepts our association, reads a whole store, and says what it is told to."""

    def serve() -> None:
        peer, _ = server.accept()
        with peer:
            peer.settimeout(10)
            _, length = struct.unpack(">BxL", exactly(peer, 6))
            exactly(peer, length)
            for answer in answers:
                peer.sendall(answer)
                rest_of_message(peer)

    def rest_of_message(peer: socket.socket) -> None:
        control = 0
        while not (control & 2 and not control & 1):
            header = exactly(peer, 12)
            if len(header) < 12 or header[0] != 4:
                return
            control = header[11]
            exactly(peer, struct.unpack(">L", header[2:6])[0] - 6)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            thread.join()


def accepted(context_id: int = 1, result: int = 0, syntax: str = IMPLICIT, max_pdu: int = 0) -> bytes:
    context = struct.pack(">BxHBxBx", 0x21, 8 + len(syntax), context_id, result)
    context += struct.pack(">BxH", 0x40, len(syntax)) + syntax.encode()
    user = struct.pack(">BxHBxHL", 0x50, 8, 0x51, 4, max_pdu)
    body = b"\0\x01\0\0" + bytes(64) + context + user
    return struct.pack(">BxL", 2, len(body)) + body


def response(
    *,
    field: int = 0x8001,
    message_id: int = 1,
    status: int | None = 0,
    instance_uid: str = "1.2.3",
    follows: int = 0x101,
) -> bytes:
    def element(tag: int, content: bytes) -> bytes:
        return struct.pack("<HHL", 0, tag, len(content)) + content

    elements = element(0x100, struct.pack("<H", field)) + element(0x120, struct.pack("<H", message_id))
    elements += element(0x800, struct.pack("<H", follows))
    elements += b"" if status is None else element(0x900, struct.pack("<H", status))
    return elements + element(0x1000, instance_uid.encode())


def store_to(port: int, folder: Path) -> int:
    path = folder / "instance"
    path.write_bytes(bytes(50000))
    with request(
        "127.0.0.1",
        port,
        calling_ae_title="A",
        called_ae_title="B",
        contexts=[(CT, [IMPLICIT])],
        timeouts=Timeouts(response=1, pdu=1),
    ) as association:
        return association.store(path, 0, 50000, context_id=1, sop_class_uid=CT, sop_instance_uid="1.2.3")


@pytest.mark.parametrize("max_pdu", [0, 1, 4096, 0xFFFFFFFF])
def test_a_proper_answer_is_its_status_whatever_pdu_length_was_said(tmp_path: Path, max_pdu: int) -> None:
    answer = pdata(pdv(response(status=0xB000), 3, context_id=1))
    with answering(accepted(max_pdu=max_pdu), answer) as port:
        assert store_to(port, tmp_path) == 0xB000


@pytest.mark.parametrize(
    "answer",
    [
        pdata(pdv(response(message_id=2), 3, context_id=1)),
        pdata(pdv(response(instance_uid="1.2.4"), 3, context_id=1)),
        pdata(pdv(response(field=0x8030), 3, context_id=1)),
        pdata(pdv(response(status=None), 3, context_id=1)),
        pdata(pdv(response(follows=0), 3, context_id=1)),
        pdata(pdv(response(), 3, context_id=3)),
        pdata(pdv(b"", 3, context_id=1)),
        pdata(pdv(b"garbage", 3, context_id=1)),
        b"HTTP/1.1 200 OK\r\n",
        b"\x04\x00\xff\xff\xff\x00",
        RELEASE,
        ABORT,
        b"\x04",
        b"",
    ],
    ids=[
        "another message",
        "another instance",
        "another command",
        "no status",
        "a data set follows",
        "another context",
        "empty",
        "garbage",
        "HTTP",
        "4 GB",
        "release",
        "abort",
        "half an answer",
        "silence",
    ],
)
def test_an_improper_answer_is_an_error_and_never_a_status(tmp_path: Path, answer: bytes) -> None:
    with answering(accepted(), answer) as port, pytest.raises(PeerError):
        store_to(port, tmp_path)


@pytest.mark.parametrize(
    "answer",
    [
        accepted(context_id=3),
        accepted(syntax="1.2.840.10008.1.2.2"),
        accepted().replace(b"\x51\0\0\x04", b"\x51\0\0\x05"),
        b"\x02\0\xff\0\0\0",
    ],
    ids=["context not proposed", "syntax not proposed", "wrong length", "4 GB"],
)
def test_an_improper_acceptance_is_an_error(tmp_path: Path, answer: bytes) -> None:
    with answering(answer) as port, pytest.raises(ProtocolError):
        store_to(port, tmp_path)


def test_an_error_never_quotes_the_peer(tmp_path: Path) -> None:
    with answering(accepted(syntax="1.2.3.99999")) as port, pytest.raises(ProtocolError) as caught:
        store_to(port, tmp_path)
    assert "99999" not in str(caught.value)
