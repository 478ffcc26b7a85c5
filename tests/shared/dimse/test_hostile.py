"""What a stranger or a broken modality may send: it is refused, bounded in time and memory, and harms nobody else."""

import socket
import struct
import threading
from contextlib import suppress
from functools import partial

import pytest

from shared.dimse import CALLING_NOT_RECOGNIZED, VERIFICATION, Listener, Timeouts, request
from shared.dimse.commands import echo_request, store_request
from tests.shared.dimse.pdus import (
    ABORT,
    CT,
    IMPLICIT,
    PROVIDER_ABORT,
    RELEASE,
    RELEASED,
    associate_rq,
    associated,
    connected,
    exactly,
    pdata,
    pdu,
    pdv,
    reset,
    rest,
    status_of,
)
from tests.shared.dimse.shelf import QUICK, Shelf, listening
from tests.support import eventually

REQUEST = associate_rq()
STORE = store_request(1, CT, "1.2.3")
COMMAND = pdata(pdv(STORE, 3))


def port_of(listener: Listener[str]) -> int:
    return listener.addresses[0][1]


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
        with connected(port_of(listener), first) as peer:
            assert rest(peer).startswith(PROVIDER_ABORT)
        eventually(lambda: shelf.ended == ["protocol"])
        assert_still_serving(listener)


@pytest.mark.parametrize("first", [b"", REQUEST[:3], REQUEST[:100]], ids=["nothing", "half a header", "half a request"])
def test_a_request_that_does_not_come_whole_in_time_ends_the_connection(first: bytes) -> None:
    shelf = Shelf()
    with listening(shelf, timeouts=Timeouts(associate=0.1)) as listener, connected(port_of(listener), first) as peer:
        rest(peer)
        eventually(lambda: shelf.ended == ["timeout"])
    assert shelf.proposals == []


def test_a_request_that_trickles_is_under_one_deadline() -> None:
    shelf = Shelf()
    with listening(shelf, timeouts=Timeouts(associate=0.3)) as listener, connected(port_of(listener)) as peer:
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
    with listening(shelf) as listener, connected(port_of(listener), blank) as peer:
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
    with listening(Shelf()) as listener, connected(port_of(listener), other) as peer:
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
        with associated(port_of(listener)) as peer:
            peer.sendall(sent)
            assert rest(peer).startswith(PROVIDER_ABORT)
        eventually(lambda: shelf.ended == ["protocol"])
        assert (shelf.kept, shelf.discarded, shelf.closed_count) == ([], shelf.sinks, 1)
        assert_still_serving(listener)


def test_a_store_without_data_set_is_not_understood_and_the_association_goes_on() -> None:
    without = STORE.replace(b"\x00\x08\x02\x00\x00\x00\x01\x00", b"\x00\x08\x02\x00\x00\x00\x01\x01")
    assert without != STORE
    with listening(Shelf()) as listener, associated(port_of(listener)) as peer:
        peer.sendall(pdata(pdv(without, 3)))
        assert status_of(pdu(peer)) == 0xC000
        peer.sendall(pdata(pdv(echo_request(2, VERIFICATION), 3, context_id=1)))
        assert status_of(pdu(peer)) == 0


@pytest.mark.parametrize("half", [COMMAND[:4], COMMAND[:20], COMMAND + pdata(pdv(bytes(1000), 0))[:500], COMMAND])
def test_silence_in_mid_message_ends_the_association_and_nothing_is_kept(half: bytes) -> None:
    shelf = Shelf()
    with listening(shelf, timeouts=Timeouts(pdu=0.1)) as listener, associated(port_of(listener)) as peer:
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
            with associated(port_of(listener)) as peer:
                peer.sendall(whole[:position])
                if how == "abort":
                    peer.sendall(ABORT)
                elif how == "half-close":
                    peer.shutdown(socket.SHUT_WR)
                    rest(peer)
                elif how == "reset":
                    reset(peer)
            eventually(partial(closed, done))
    assert (shelf.kept, shelf.discarded) == ([], shelf.sinks)
    assert shelf.sinks > 0
    assert len(shelf.ended) == len(positions)
    assert "released" not in shelf.ended


def test_a_data_set_in_tiny_and_in_oversized_pdus_is_taken() -> None:
    shelf = Shelf()
    with listening(shelf) as listener, associated(port_of(listener)) as peer:
        peer.sendall(COMMAND + b"".join(pdata(pdv(bytes((n,)), 0)) for n in range(200)))
        peer.sendall(pdata(pdv(bytes(1_000_000), 0)) + pdata(pdv(b"", 2)))
        assert status_of(pdu(peer)) == 0
        peer.sendall(RELEASE)
        assert exactly(peer, 10) == RELEASED
    assert len(shelf.kept) == 1


def test_three_hundred_quick_connections_leave_no_thread_behind() -> None:
    shelf = Shelf()
    before = threading.active_count()
    with listening(shelf) as listener:
        for _ in range(300):
            with connected(port_of(listener)):
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
