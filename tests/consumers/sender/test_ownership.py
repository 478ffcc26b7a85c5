"""Who owns a destination: elected by a real RabbitMQ, fenced by an epoch in the spool."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog

from consumers.sender import ownership
from consumers.sender.ownership import Ownership
from shared.broker import Consumer, Delivered, Publisher, topology
from shared.errors import HandedBackError
from shared.spool.epochs import newest_epoch, take_over
from shared.spool.spool import Spool
from tests.peers import free_port
from tests.shared.broker.ends import bare_channel, consuming, next_of, publishing, ring
from tests.support import eventually

OWN, ROUTINE, URGENT = "dcmrelay.own.archive", "dcmrelay.send.archive", "dcmrelay.send.archive.urgent"


@dataclass
class Candidate:
    """One sender as its lane runs it, but that a test says when it looks."""

    ours: Ownership
    consumer: Consumer

    def look(self) -> Delivered | None:
        delivered = self.consumer.get(0.05)
        if delivered is not None and delivered.queue == OWN:
            self.ours.elected(delivered, self.consumer)
            self.consumer.acknowledge(delivered)
        return delivered

    @property
    def may_send(self) -> bool:
        try:
            self.ours.check()
        except HandedBackError:
            return False
        return True

    def cut(self) -> None:
        """Breaks the connection; it is made again."""
        self.consumer.link.do(lambda channel: channel.connection.close())


@contextmanager
def candidate(url: str, spool: Spool) -> Iterator[Candidate]:
    ours = Ownership(spool, "archive", threading.Event())
    with consuming(url, OWN, destinations=("archive",), lost=ours.lost) as consumer:
        yield Candidate(ours, consumer)


def elected(publisher: Publisher, *candidates: Candidate) -> Candidate:
    """Asks until one of them may send."""

    def asked() -> Candidate | None:
        publisher.elect("archive")
        for one in candidates:
            one.look()
        return next((one for one in candidates if one.may_send), None)

    winner = eventually(asked)
    assert winner is not None
    return winner


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path)


def test_nobody_may_send_before_an_election(spool: Spool) -> None:
    with pytest.raises(HandedBackError, match="'archive'"):
        Ownership(spool, "archive", threading.Event()).check()


def test_one_of_two_owns_a_destination_and_the_other_follows_when_its_connection_dies(
    broker_url: str, spool: Spool
) -> None:
    with (
        publishing(broker_url, "archive") as publisher,
        candidate(broker_url, spool) as one,
        candidate(broker_url, spool) as two,
    ):
        owner = elected(publisher, one, two)
        other = two if owner is one else one
        assert (owner.may_send, other.may_send, newest_epoch(spool, "archive")) == (True, False, 1)
        owner.cut()
        assert elected(publisher, other) is other
        assert newest_epoch(spool, "archive") == 2
        with pytest.raises(HandedBackError, match="another process owns"):
            owner.ours.check()


def test_the_owner_elected_again_keeps_its_epoch(broker_url: str, spool: Spool) -> None:
    with publishing(broker_url, "archive") as publisher, candidate(broker_url, spool) as one:
        elected(publisher, one)
        one.cut()
        assert one.consumer.link.wait_connected(10)
        publisher.elect("archive")
        publisher.ring([ring("send.archive")])
        got = eventually(lambda: (seen := one.look()) and seen.queue == ROUTINE)
        assert got
        assert newest_epoch(spool, "archive") == 1


def test_an_owner_whose_epoch_was_passed_takes_a_higher_one_when_elected(broker_url: str, spool: Spool) -> None:
    with publishing(broker_url, "archive") as publisher, candidate(broker_url, spool) as one:
        elected(publisher, one)
        take_over(spool, "archive")
        assert not one.may_send
        one.cut()
        assert elected(publisher, one) is one
        assert newest_epoch(spool, "archive") == 3


def test_only_the_owner_gets_work_and_the_urgent_first(broker_url: str, spool: Spool) -> None:
    with publishing(broker_url, "archive") as publisher, candidate(broker_url, spool) as one:
        publisher.ring([ring("send.archive"), ring("send.archive.urgent")])
        assert one.look() is None
        elected(publisher, one)
        eventually(lambda: one.consumer._inbox.qsize() >= 2)
        assert [next_of(one.consumer).queue for _ in range(2)] == [URGENT, ROUTINE]


def test_an_election_that_the_broker_cuts_short_is_repeated(broker_url: str, spool: Spool) -> None:
    with publishing(broker_url, "archive") as publisher:
        with candidate(broker_url, spool) as one:
            publisher.elect("archive")
            delivered = next_of(one.consumer)
            one.consumer.stop()
            one.ours.elected(delivered, one.consumer)
        with candidate(broker_url, spool) as two:
            elected(publisher, two)
            publisher.ring([ring("send.archive")])
            assert eventually(lambda: (seen := two.look()) and seen.queue == ROUTINE)


def test_an_election_that_the_disk_refuses_is_repeated(broker_url: str, spool: Spool) -> None:
    in_the_way = spool.store.path("owners")
    in_the_way.touch()
    with publishing(broker_url, "archive") as publisher, candidate(broker_url, spool) as one:
        publisher.elect("archive")
        eventually(one.look)
        assert not one.may_send
        in_the_way.unlink()
        assert elected(publisher, one) is one


def test_a_stand_by_asks_often_and_an_owner_seldom(
    broker_url: str, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ownership, "_ASK_SECONDS", 0.02)
    stopping = threading.Event()
    ours = Ownership(spool, "archive", stopping)
    with (
        publishing(broker_url, "archive") as publisher,
        consuming(broker_url, OWN, destinations=("archive",), lost=ours.lost) as consumer,
    ):
        asking = threading.Thread(target=ours.ask, args=(publisher, consumer))
        asking.start()
        ours.elected(next_of(consumer), consumer)
        before = publisher.depth(OWN)
        assert not stopping.wait(0.2)
        assert publisher.depth(OWN) - before <= 1
        ours.lost()
        eventually(lambda: publisher.depth(OWN) >= before + 3)
        stopping.set()
        asking.join()


def test_questions_that_nobody_answers_do_not_pile_up(broker_url: str) -> None:
    with publishing(broker_url, "archive") as publisher:
        for _ in range(105):
            publisher.elect("archive")
        assert publisher.depth(OWN) == 100


def test_without_a_broker_asking_goes_on(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ownership, "_ASK_SECONDS", 0.01)
    stopping = threading.Event()
    url, table = f"amqp://nobody:s@127.0.0.1:{free_port()}/", topology(["archive"])
    away, deaf = Publisher(url, table, "test"), Consumer(url, table, (OWN,), name="test")
    with structlog.testing.capture_logs() as lines:
        asking = threading.Thread(target=Ownership(spool, "archive", stopping).ask, args=(away, deaf))
        asking.start()
        eventually(lambda: len(lines) >= 3)
        stopping.set()
        asking.join()
    assert {line["event"] for line in lines} == {"not_asked"}


def test_work_is_consumed_only_on_the_connection_that_was_elected(
    broker_url: str, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that breaks while it takes over may be remade before it is done, and was elected for nothing."""

    def slowly(of: Spool, destination: str) -> int:
        monkeypatch.undo()
        one.cut()
        eventually(lambda: not one.ours._serving.is_set())
        assert one.consumer.link.wait_connected(10)
        return take_over(of, destination)

    monkeypatch.setattr(ownership, "take_over", slowly)
    with publishing(broker_url, "archive") as publisher, candidate(broker_url, spool) as one:
        publisher.elect("archive")
        assert eventually(lambda: (seen := one.look()) and seen.queue == OWN)
        with bare_channel(broker_url) as channel:
            assert channel.queue_declare(ROUTINE, passive=True).method.consumer_count == 0
        publisher.elect("archive")
        publisher.ring([ring("send.archive")])
        assert eventually(lambda: (seen := one.look()) and seen.queue == ROUTINE)
