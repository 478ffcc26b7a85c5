"""Several studies at one destination at the same time: the sender's lane, a real RabbitMQ, a peer that holds some."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from consumers.sender import __main__ as program
from shared.broker import Publisher
from shared.messages import Bell, Ring
from shared.service import Service
from shared.work import lane
from shared.work.lane import Lane
from tests.consumers.bench import Bench, bench, data_set
from tests.consumers.sender.peer import Peer, aimed, listening
from tests.shared.broker.ends import publishing
from tests.support import eventually

A, B = "1.2.3.4", "1.2.3.5"


@dataclass
class Holding(Peer):
    """Answers no instance of study A before a test says so.

    Attributes:
        began: SOP Instance UIDs whose last byte came, in order.
        may_answer: set by the test.
    """

    began: list[str] = field(default_factory=list)
    may_answer: threading.Event = field(default_factory=threading.Event)

    def answer(self, uid: str, digest: str) -> int:
        self.began.append(uid)
        if uid.startswith(A):
            assert self.may_answer.wait(20)
        return super().answer(uid, digest)


@pytest.fixture
def relay(tmp_path: Path, broker_url: str, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setenv("DCMRELAY_BROKER_URL", broker_url)
    monkeypatch.setattr(lane, "stop_by_force", lambda *_: None)  # it would end the tests
    return bench(tmp_path)


@pytest.fixture
def publisher(relay: Bench, broker_url: str) -> Iterator[Publisher]:
    with publishing(broker_url, "archive", "reading") as ours:
        yield ours


@contextmanager
def sending(relay: Bench) -> Iterator[None]:
    """The sender of destination `archive`, until the block ends."""
    service = Service(kind="sender", config=relay.config, spool=relay.spool, stopping=relay.stopping)
    destination = relay.config.destination("archive")
    assert destination is not None
    thread = threading.Thread(target=program._lane, args=(service, destination, relay.stopping))
    thread.start()
    try:
        yield
    finally:
        relay.stopping.set()
        thread.join(20)
        assert not thread.is_alive()


def rung(relay: Bench, publisher: Publisher, number: int, study: str, urgent: bool = False) -> str:
    """A delivery of one instance of a study, a second after the last, with its bell rung."""
    relay.now += timedelta(seconds=1)
    delivery = relay.delivery(relay.part(data_set(number, study), study=study))
    key = "send.archive" + (".urgent" if urgent else "")
    publisher.ring([Ring(routing_key=key, bell=Bell(unit=delivery, n=0))])
    return delivery


def is_final(relay: Bench, *deliveries: str) -> Callable[[], bool]:
    return lambda: all(
        (state := relay.spool.deliveries.newest(it)) is not None and state.status == "final" for it in deliveries
    )


def test_two_studies_are_sent_at_the_same_time_on_an_association_each(relay: Bench, publisher: Publisher) -> None:
    with listening(Holding()) as peer, sending(two(relay, peer)):
        first = rung(relay, publisher, 1, A)
        eventually(lambda: peer.began == [f"{A}.1.1"])
        second = rung(relay, publisher, 1, B)
        eventually(is_final(relay, second), 20)
        assert not is_final(relay, first)()
        peer.may_answer.set()
        eventually(is_final(relay, first), 20)
    assert len(peer.callers) == 2


def test_two_parts_of_a_study_are_never_sent_at_the_same_time_and_others_overtake_them(
    relay: Bench, publisher: Publisher
) -> None:
    with listening(Holding()) as peer, sending(two(relay, peer)):
        parts = [rung(relay, publisher, 1, A)]
        eventually(lambda: peer.began == [f"{A}.1.1"])
        # More bells than the broker hands out at once: they are all before the other study's.
        parts += [rung(relay, publisher, number, A) for number in range(2, 14)]
        eventually(is_final(relay, rung(relay, publisher, 1, B)), 20)
        assert peer.began == [f"{A}.1.1", f"{B}.1.1"]
        peer.may_answer.set()
        eventually(is_final(relay, *parts), 20)
    assert peer.began == [f"{A}.1.1", f"{B}.1.1", *(f"{A}.1.{number}" for number in range(2, 14))]
    assert {relay.spool.deliveries.newest(it).n for it in parts} == {3}  # type: ignore[union-attr]


def test_one_association_is_the_default_and_studies_wait_for_each_other(relay: Bench, publisher: Publisher) -> None:
    with listening(Holding()) as peer:
        aimed(relay, peer.port)
        with sending(relay):
            first = rung(relay, publisher, 1, A)
            eventually(lambda: peer.began == [f"{A}.1.1"])
            second = rung(relay, publisher, 1, B)
            eventually(lambda: publisher.depth("dcmrelay.send.archive") == 1)
            peer.may_answer.set()
            eventually(is_final(relay, first, second), 20)
    assert peer.began == [f"{A}.1.1", f"{B}.1.1"]


def test_an_urgent_part_of_a_study_goes_before_its_routine_ones(relay: Bench, publisher: Publisher) -> None:
    with listening(Holding()) as peer, sending(two(relay, peer)):
        parts = [rung(relay, publisher, 1, A)]
        eventually(lambda: peer.began == [f"{A}.1.1"])
        parts += [rung(relay, publisher, 2, A), rung(relay, publisher, 3, A, urgent=True)]
        eventually(is_final(relay, rung(relay, publisher, 1, B)), 20)
        eventually(lambda: publisher.depth("dcmrelay.send.archive.urgent") == 0)
        peer.may_answer.set()
        eventually(is_final(relay, *parts), 20)
    assert peer.began[-2:] == [f"{A}.1.3", f"{A}.1.2"]


def test_a_stop_gives_every_study_back(relay: Bench, publisher: Publisher) -> None:
    with listening(Holding()) as peer:
        with sending(two(relay, peer)):
            units = [
                relay.delivery(relay.part(*(data_set(k, study) for k in (1, 2)), study=study)) for study in (A, A + "0")
            ]
            publisher.ring([Ring(routing_key="send.archive", bell=Bell(unit=unit, n=0)) for unit in units])
            eventually(lambda: len(peer.began) == 2)
            relay.stopping.set()
            peer.may_answer.set()
        states = [relay.spool.deliveries.newest(unit) for unit in units]
    assert [(state.status, state.tries) for state in states if state is not None] == [("waiting", 0)] * 2
    assert [sorted(relay.facts(unit)["delivered"]) for unit in units] == [["0"], ["0"]]


def test_kept_associations_end_with_the_connection_to_rabbitmq_and_with_the_process(
    relay: Bench, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    lanes: list[Lane] = []
    monkeypatch.setattr(program, "Lane", lambda *given, **more: lanes.append(Lane(*given, **more)) or lanes[-1])
    with listening(Peer()) as peer:
        aimed(relay, peer.port, 'keep_open = "1h"\nmax_associations = 2')
        with sending(relay):
            eventually(is_final(relay, rung(relay, publisher, 1, A)), 20)
            assert peer.ended == 0
            lanes[0].consumer.link.do(lambda channel: channel.connection.close())
            eventually(lambda: peer.ended == 1)
            eventually(is_final(relay, rung(relay, publisher, 1, B)), 20)
            eventually(is_final(relay, rung(relay, publisher, 2, B)), 20)
            assert (len(peer.callers), peer.ended) == (2, 1)
        eventually(lambda: peer.ended == 2)


def two(relay: Bench, peer: Peer) -> Bench:
    """The same relay, with room for two associations at the peer."""
    aimed(relay, peer.port, "max_associations = 2")
    return relay
