"""Too many, too slow, too silent: nobody else is kept out, and what it took is given back."""

import os
import resource
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from shared.dimse import VERIFICATION, Listener, Proposal, Rejection, Timeouts, request
from shared.dimse.commands import echo_request
from tests.shared.dimse.pdus import IMPLICIT, associate_rq, associated, connected, data_pdus, pdata, pdu, pdv, status_of
from tests.shared.dimse.pdus import store_rq as store_rq_pdu
from tests.shared.dimse.shelf import QUICK, Shelf, listening
from tests.support import eventually

REQUEST = associate_rq()
PATIENT = Timeouts(associate=60)


def port_of(listener: Listener[str]) -> int:
    return listener.addresses[0][1]


def echo(listener: Listener[str]) -> int:
    """A good peer's C-ECHO."""
    port, contexts = port_of(listener), [(VERIFICATION, [IMPLICIT])]
    with request(
        "127.0.0.1", port, calling_ae_title="A", called_ae_title="B", contexts=contexts, timeouts=QUICK
    ) as association:
        return association.echo()


@contextmanager
def descriptors(soft: int) -> Iterator[None]:
    """So many descriptors may be open."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_five_hundred_half_requests_take_no_thread_and_no_place() -> None:
    shelf = Shelf()
    with listening(shelf, timeouts=PATIENT) as listener, ExitStack() as storm:
        before = threading.active_count()
        for n in range(500):
            storm.enter_context(connected(port_of(listener), REQUEST[: n % len(REQUEST)], f"127.0.1.{1 + n % 200}"))
        assert threading.active_count() == before
        assert listener.associations == 0
        assert echo(listener) == 0
        eventually(lambda: shelf.ended.count("stopped") >= 400)
    assert len(shelf.ended) == 501


def test_a_crowd_from_one_host_does_not_push_out_another_host() -> None:
    with listening(Shelf(), timeouts=PATIENT, max_pending=10) as listener, ExitStack() as crowd:
        port = port_of(listener)
        with connected(port, REQUEST[:50], "127.0.0.2") as slow:
            for _ in range(50):
                crowd.enter_context(connected(port))
            assert echo(listener) == 0
            slow.sendall(REQUEST[50:])
            assert pdu(slow)[0] == 2


class Slow(Shelf):
    """Does not decide until it may."""

    may = threading.Event()

    def admit(self, proposal: Proposal) -> Rejection | None:
        self.may.wait(10)
        return super().admit(proposal)


def test_whole_requests_that_nobody_has_a_thread_for_are_refused_for_now() -> None:
    shelf = Slow()
    with listening(shelf, max_pending=2) as listener, ExitStack() as waiting:
        before = threading.active_count()
        peers = [waiting.enter_context(connected(port_of(listener), REQUEST)) for _ in range(2)]
        eventually(lambda: threading.active_count() == before + 2)
        with connected(port_of(listener), REQUEST) as peer:
            assert pdu(peer) == b"\x03\0\0\0\0\x04\0\x02\x03\x02"
        shelf.may.set()
        assert [pdu(peer)[0] for peer in peers] == [2, 2]


def test_it_works_beyond_descriptor_1024() -> None:
    with descriptors(2000), ExitStack() as stack:
        for _ in range(1100):
            stack.callback(os.close, os.open(os.devnull, os.O_RDONLY))
        with listening(Shelf()) as listener:
            assert listener._sockets[0].fileno() > 1024
            assert echo(listener) == 0


def test_out_of_descriptors_it_makes_room_among_those_who_wait_and_goes_on() -> None:
    shelf = Shelf()
    with listening(shelf, timeouts=PATIENT) as listener, associated(port_of(listener)) as good, ExitStack() as stack:
        peers = [stack.enter_context(socket.socket()) for _ in range(30)]
        with descriptors(max(int(path.name) for path in Path("/proc/self/fd").iterdir()) + 10), ExitStack() as taken:
            five = [taken.enter_context(socket.socket()) for _ in range(5)]
            with suppress(OSError):
                while True:
                    taken.callback(os.close, os.open(os.devnull, os.O_RDONLY))
            for one in five:
                one.close()
            for peer in peers:
                peer.connect(listener.addresses[0])
            eventually(lambda: shelf.ended.count("stopped") > 20)
            good.sendall(pdata(pdv(echo_request(1, VERIFICATION), 3, context_id=1)))
            assert status_of(pdu(good)) == 0
        assert echo(listener) == 0


def test_without_any_descriptor_it_waits_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    with listening(Shelf()) as listener, socket.socket() as peer:
        assert echo(listener) == 0
        eventually(lambda: not listener._running())
        monkeypatch.setattr(listener._closing, "wait", pauses.append)
        with descriptors(max(int(path.name) for path in Path("/proc/self/fd").iterdir()) + 10), ExitStack() as taken:
            with suppress(OSError):
                while True:
                    taken.callback(os.close, os.open(os.devnull, os.O_RDONLY))
            peer.connect(listener.addresses[0])
            eventually(lambda: pauses)
            monkeypatch.undo()
        peer.sendall(REQUEST)
        assert pdu(peer)[0] == 2


def test_a_sender_below_the_least_rate_is_ended_though_it_never_pauses() -> None:
    shelf = Shelf()
    slow = Timeouts(pdu=0.3, slowest=20_000)
    with listening(shelf, timeouts=slow) as listener, associated(port_of(listener)) as peer:
        peer.sendall(store_rq_pdu())

        def drip() -> list[str]:
            with suppress(OSError):
                peer.sendall(pdata(pdv(bytes(100), 0)))
            return shelf.ended

        assert eventually(drip) == ["timeout"]
    assert (shelf.kept, shelf.discarded) == ([], 1)


def test_who_pauses_between_messages_is_not_slow() -> None:
    shelf = Shelf()
    strict = Timeouts(pdu=0.05, slowest=20_000)
    with listening(shelf, timeouts=strict) as listener, associated(port_of(listener)) as peer:
        for n in range(3):
            threading.Event().wait(0.2)
            peer.sendall(store_rq_pdu(f"1.2.{n}", n) + data_pdus(bytes(50_000)))
            assert status_of(pdu(peer)) == 0
    assert len(shelf.kept) == 3


def test_a_flood_of_echoes_is_answered_ever_so_slowly() -> None:
    with listening(Shelf()) as listener, associated(port_of(listener)) as peer:
        begun = time.monotonic()
        peer.sendall(pdata(pdv(echo_request(1, VERIFICATION), 3, context_id=1)) * 130)
        assert [status_of(pdu(peer)) for _ in range(130)] == [0] * 130
        assert time.monotonic() - begun >= 0.3


@pytest.mark.parametrize("claim", [b"\x01\0\xff\xff\xff\xff", b"\x01\0\x00\x02\x00\x00"], ids=["4 GB", "128 KiB"])
def test_a_claimed_length_takes_no_memory_until_its_bytes_come(claim: bytes) -> None:
    with listening(Shelf(), timeouts=PATIENT, max_pending=300) as listener, ExitStack() as storm:
        before = resident()
        for _ in range(250):
            storm.enter_context(connected(port_of(listener), claim))
        assert echo(listener) == 0
        assert resident() - before < 10 << 20


def resident() -> int:
    """Bytes of memory this process has now."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()
