"""What a stranger or a broken modality may send: it is refused, bounded in time and memory, and harms nobody else."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

from shared.dimse import CALLING_NOT_RECOGNIZED, VERIFICATION, Listener, Timeouts, codec, request
from shared.dimse.commands import echo_request, store_request
from shared.dimse.items import ProposedContext
from shared.errors import PeerError, ProtocolError
from tests.shared.dimse.shelf import QUICK, Shelf, listening
from tests.support import eventually

CT, IMPLICIT = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2"
CONTEXTS = [
    ProposedContext(context_id=1, abstract_syntax=VERIFICATION, transfer_syntaxes=(IMPLICIT,)),
    ProposedContext(context_id=3, abstract_syntax=CT, transfer_syntaxes=(IMPLICIT,)),
    ProposedContext(context_id=5, abstract_syntax="1.2.840.10008.5.1.4.31", transfer_syntaxes=(IMPLICIT,)),
]
REQUEST = codec.associate_request("CT1", "RELAY", CONTEXTS, 16384)
RELEASE = codec.release_request()
ABORT = codec.abort(0)
PROVIDER_ABORT = b"\x07\x00\x00\x00\x00\x04\x00\x00\x02"
STORE = store_request(1, CT, "1.2.3")


def pdata(*pdvs: bytes) -> bytes:
    content = b"".join(pdvs)
    return struct.pack(">BxL", 4, len(content)) + content


def pdv(content: bytes, control: int, context_id: int = 3) -> bytes:
    return struct.pack(">LBB", len(content) + 2, context_id, control) + content


COMMAND = pdata(pdv(STORE, 3))


@contextmanager
def connected(listener: Listener[str], first: bytes = b"") -> Iterator[socket.socket]:
    with socket.create_connection(listener.addresses[0], timeout=10) as peer:
        if first:
            peer.sendall(first)
        yield peer


@contextmanager
def associated(listener: Listener[str]) -> Iterator[socket.socket]:
    with connected(listener, REQUEST) as peer:
        _, length = struct.unpack(">BxL", exactly(peer, 6))
        exactly(peer, length)
        yield peer


def exactly(peer: socket.socket, count: int) -> bytes:
    return peer.recv(count, socket.MSG_WAITALL)


def rest(peer: socket.socket) -> bytes:
    """All that still comes until the other side closes."""
    said = b""
    while chunk := peer.recv(65536):
        said += chunk
    return said


def assert_still_serving(listener: Listener[str]) -> None:
    host, port = listener.addresses[0]
    with request(
        host, port, calling_ae_title="A", called_ae_title="B", contexts=[(VERIFICATION, [IMPLICIT])], timeouts=QUICK
    ) as association:
        assert association.echo() == 0


@pytest.mark.parametrize(
    "first",
    [
        b"GET / HTTP/1.1\r\nHost: relay\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x01\x00\xff\xff\xff\x00",
        b"\x01\x00\x00\x00\x00\x00",
        b"\x01\x00\x00\x02\x00\x01",
        b"\x04\x00\xff\xff\xff\x00",
        COMMAND,
        RELEASE,
        REQUEST[:80].replace(REQUEST[2:6], struct.pack(">L", 74)),
    ],
    ids=[
        "HTTP",
        "TLS",
        "4 GB request",
        "empty request",
        "request of 128 KiB and one",
        "4 GB of data",
        "data first",
        "release first",
        "no contexts",
    ],
)
def test_what_is_no_association_request_is_aborted_and_closed(first: bytes) -> None:
    shelf = Shelf()
    with listening(shelf) as listener:
        with connected(listener, first) as peer:
            assert rest(peer).startswith(PROVIDER_ABORT)
        eventually(lambda: shelf.ended == ["protocol"])
        assert_still_serving(listener)


@pytest.mark.parametrize("first", [b"", REQUEST[:3], REQUEST[:100]], ids=["nothing", "half a header", "half a request"])
def test_a_request_that_does_not_come_whole_in_time_ends_the_connection(first: bytes) -> None:
    shelf = Shelf()
    with listening(shelf, timeouts=Timeouts(associate=0.1)) as listener, connected(listener, first) as peer:
        rest(peer)
        eventually(lambda: shelf.ended == ["timeout"])
    assert shelf.proposals == []


def test_a_request_that_trickles_is_under_one_deadline() -> None:
    shelf = Shelf()
    with listening(shelf, timeouts=Timeouts(associate=0.3)) as listener, connected(listener) as peer:
        trickle = iter(REQUEST)

        def drip() -> list[str]:
            with suppress(OSError):
                peer.sendall(bytes((next(trickle),)))
            return shelf.ended

        eventually(drip)
    assert shelf.ended == ["timeout"]


def test_a_blank_calling_title_is_rejected_properly() -> None:
    shelf = Shelf(rejection=CALLING_NOT_RECOGNIZED)
    blank = REQUEST[:26] + b" " * 16 + REQUEST[42:]
    with listening(shelf) as listener, connected(listener, blank) as peer:
        assert exactly(peer, 10) == b"\x03\0\0\0\0\x04\0\x01\x01\x03"
    assert shelf.proposals[0].calling_ae_title == ""


@pytest.mark.parametrize(
    ("change", "answer"),
    [
        ((6, b"\x00\x02"), b"\x03\0\0\0\0\x04\0\x01\x02\x02"),
        ((78, b"9"), b"\x03\0\0\0\0\x04\0\x01\x01\x02"),
    ],
    ids=["protocol version", "application context"],
)
def test_another_protocol_is_rejected_properly(change: tuple[int, bytes], answer: bytes) -> None:
    position, value = change
    other = REQUEST[:position] + value + REQUEST[position + len(value) :]
    with listening(Shelf()) as listener, connected(listener, other) as peer:
        assert exactly(peer, 10) == answer


@pytest.mark.parametrize(
    "sent",
    [
        b"\x99\x00\x00\x00\x00\x04\0\0\0\0",
        b"\x04\x00\xff\xff\xff\x00",
        b"\x04\x00\x00\x10\x00\x01",
        b"\x04\x00\x00\x00\x00\x00",
        REQUEST,
        pdata(struct.pack(">LBB", 100, 3, 3)),
        pdata(struct.pack(">LBB", 1, 3, 3)),
        pdata(struct.pack(">LBB", 0xFFFFFFFF, 3, 3)),
        pdata(pdv(b"data", 2)),
        pdata(pdv(STORE, 3, context_id=5)),
        pdata(pdv(STORE, 3, context_id=7)),
        pdata(pdv(STORE, 3, context_id=1)),
        pdata(pdv(STORE[:20], 1), pdv(STORE[20:], 3, context_id=1)),
        pdata(pdv(STORE, 1)) + RELEASE,
        pdata(pdv(b"", 1)) * 2000,
        pdata(pdv(bytes(40000), 1)) * 2,
        pdata(pdv(STORE.replace(b"\x00\x01\x02\x00\x00\x00\x01\x00", b"\x00\x01\x02\x00\x00\x00\x20\x00"), 3)),
        pdata(pdv(b"garbage", 3)),
        COMMAND + COMMAND,
        COMMAND + pdata(pdv(b"data", 2, context_id=1)),
        COMMAND + pdata(pdv(b"", 0)) * 2000,
        COMMAND + pdata(*(pdv(b"1", 0),) * 2000),
        COMMAND + RELEASE,
    ],
    ids=[
        "unknown PDU",
        "4 GB of data",
        "1 MiB and one of data",
        "empty PDU",
        "second request",
        "PDV past its PDU",
        "PDV shorter than its header",
        "PDV of 4 GB",
        "data before command",
        "context refused",
        "context never proposed",
        "store on the Verification context",
        "command over two contexts",
        "release inside a command",
        "empty fragments in a command",
        "command over 64 KiB",
        "C-FIND",
        "no command set",
        "command after command",
        "data on another context",
        "empty fragments in data",
        "fragments of one byte",
        "release inside data",
    ],
)
def test_what_breaks_the_protocol_is_aborted_and_nothing_is_kept(sent: bytes) -> None:
    shelf = Shelf()
    with listening(shelf) as listener:
        with associated(listener) as peer:
            peer.sendall(sent)
            assert rest(peer).startswith(PROVIDER_ABORT)
        eventually(lambda: shelf.ended == ["protocol"])
        assert (shelf.kept, shelf.discarded, shelf.closed_count) == ([], shelf.sinks, 1)
        assert_still_serving(listener)


def test_a_store_without_data_set_is_not_understood_and_the_association_goes_on() -> None:
    without = STORE.replace(b"\x00\x08\x02\x00\x00\x00\x01\x00", b"\x00\x08\x02\x00\x00\x00\x01\x01")
    assert without != STORE
    with listening(Shelf()) as listener, associated(listener) as peer:
        peer.sendall(pdata(pdv(without, 3)))
        _, length = struct.unpack(">BxL", exactly(peer, 6))
        assert b"\x00\x09\x02\x00\x00\x00\x00\xc0" in exactly(peer, length)
        peer.sendall(pdata(pdv(echo_request(2, VERIFICATION), 3, context_id=1)))
        _, length = struct.unpack(">BxL", exactly(peer, 6))
        assert b"\x00\x09\x02\x00\x00\x00\x00\x00" in exactly(peer, length)


@pytest.mark.parametrize("half", [COMMAND[:4], COMMAND[:20], COMMAND + pdata(pdv(bytes(1000), 0))[:500], COMMAND])
def test_silence_in_mid_message_ends_the_association_and_nothing_is_kept(half: bytes) -> None:
    shelf = Shelf()
    with listening(shelf, timeouts=Timeouts(pdu=0.1)) as listener, associated(listener) as peer:
        peer.sendall(half)
        rest(peer)
        eventually(lambda: shelf.ended == ["timeout"])
    assert (shelf.kept, shelf.discarded, shelf.closed_count) == ([], shelf.sinks, 1)


@pytest.mark.parametrize("how", ["close", "reset", "abort", "half-close"])
def test_a_store_cut_anywhere_keeps_nothing(how: str) -> None:
    whole = COMMAND + pdata(pdv(bytes(3000), 0)) + pdata(pdv(bytes(3000), 0), pdv(bytes(500), 2))
    shelf = Shelf()
    positions = range(1, len(whole) - 20, len(whole) // 12)

    def closed(times: int) -> bool:
        return shelf.closed_count == times

    with listening(shelf) as listener:
        for done, position in enumerate(positions, 1):
            with associated(listener) as peer:
                peer.sendall(whole[:position])
                if how == "abort":
                    peer.sendall(ABORT)
                elif how == "half-close":
                    peer.shutdown(socket.SHUT_WR)
                    rest(peer)
                elif how == "reset":
                    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            eventually(partial(closed, done))
    assert (shelf.kept, shelf.discarded) == ([], shelf.sinks)
    assert shelf.sinks > 0
    assert len(shelf.ended) == len(positions)
    assert "released" not in shelf.ended


def test_a_data_set_in_tiny_and_in_oversized_pdus_is_taken() -> None:
    shelf = Shelf()
    with listening(shelf) as listener, associated(listener) as peer:
        peer.sendall(COMMAND + b"".join(pdata(pdv(bytes((n,)), 0)) for n in range(200)))
        peer.sendall(pdata(pdv(bytes(1_000_000), 0)) + pdata(pdv(b"", 2)))
        _, length = struct.unpack(">BxL", exactly(peer, 6))
        exactly(peer, length)
        peer.sendall(RELEASE)
        assert exactly(peer, 10) == codec.release_response()
    assert len(shelf.kept) == 1


def test_three_hundred_quick_connections_leave_no_thread_behind() -> None:
    shelf = Shelf()
    before = threading.active_count()
    with listening(shelf) as listener:
        for _ in range(300):
            with connected(listener):
                pass
        eventually(lambda: len(shelf.ended) == 300)
        eventually(lambda: threading.active_count() == before + 1)
        assert_still_serving(listener)


def test_silent_connections_do_not_keep_a_sender_out() -> None:
    shelf = Shelf()
    with listening(shelf, timeouts=Timeouts(associate=60), max_pending=5) as listener:
        silent = [socket.create_connection(listener.addresses[0]) for _ in range(20)]
        assert_still_serving(listener)
        eventually(lambda: shelf.ended.count("stopped") >= 15)
        for peer in silent:
            peer.close()


# The other way: a destination that answers garbage.


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
