"""Consuming from a real RabbitMQ."""

import threading
import time
from datetime import timedelta

import pytest

from shared.broker import Delivered, asking, consumer, keep_asking, topology
from shared.broker.link import declare
from tests.shared.broker.ends import ROUTE, bare_channel, consuming, next_of, publishing, ring
from tests.support import eventually

URGENT, ROUTINE = "dcmrelay.send.archive.urgent", "dcmrelay.send.archive"


def test_a_message_comes_again_until_it_is_acknowledged(broker_url: str) -> None:
    with publishing(broker_url) as publisher:
        publisher.ring([ring()])
        with consuming(broker_url, ROUTE) as first:
            assert next_of(first).redelivered is False
        with consuming(broker_url, ROUTE) as second:
            again = next_of(second)
            assert again.redelivered is True
            second.acknowledge(again)
            second.acknowledge(again)
        assert publisher.depth(ROUTE) == 0


def test_one_message_at_a_time_comes_from_each_queue(broker_url: str) -> None:
    with publishing(broker_url) as publisher, consuming(broker_url, ROUTE) as consumer:
        publisher.ring([ring(n=1), ring(n=2)])
        first = next_of(consumer)
        assert consumer.get(0.3) is None
        assert publisher.depth(ROUTE) == 1
        consumer.acknowledge(first)
        assert b'"n":2' in next_of(consumer).body


def test_the_urgent_queue_is_worked_on_first(broker_url: str) -> None:
    with publishing(broker_url, "archive") as publisher:
        publisher.ring([ring("send.archive", n=k) for k in (1, 2)] + [ring("send.archive.urgent", n=k) for k in (3, 4)])
        with consuming(broker_url, URGENT, ROUTINE, destinations=("archive",)) as consumer:
            eventually(lambda: consumer._inbox.qsize() == 3)
            order = []
            for _ in range(4):
                delivered = next_of(consumer)
                order.append(delivered.queue)
                consumer.acknowledge(delivered)
    assert order == [URGENT, URGENT, ROUTINE, ROUTINE]


def test_more_queues_can_be_consumed_on_the_same_connection(broker_url: str) -> None:
    with (
        publishing(broker_url, "archive") as publisher,
        consuming(broker_url, "dcmrelay.own.archive", destinations=("archive",)) as consumer,
    ):
        publisher.elect("archive")
        elected = next_of(consumer)
        publisher.ring([ring("send.archive")])
        assert consumer.get(0.2) is None
        consumer.also((URGENT, ROUTINE), first_rank=1, by=elected)
        assert next_of(consumer).queue == ROUTINE


def test_a_queue_deleted_under_a_consumer_comes_back(broker_url: str) -> None:
    lost: list[bool] = []
    with (
        publishing(broker_url) as publisher,
        consuming(broker_url, ROUTE, lost=lambda: lost.append(True)) as consumer,
        bare_channel(broker_url) as channel,
    ):
        channel.queue_delete(ROUTE)
        eventually(lambda: lost)
        assert consumer.link.wait_connected(10)
        publisher.ring([ring(n=5)])
        assert b'"n":5' in next_of(consumer).body


def test_a_consumer_that_went_deaf_hears_again(broker_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer, "SILENT_AT_MOST", timedelta(seconds=1))
    monkeypatch.setattr(asking, "ASK_SECONDS", 0.2)
    stopping = threading.Event()
    with (
        publishing(broker_url, "archive") as publisher,
        consuming(broker_url, ROUTE, destinations=("archive",)) as ours,
        bare_channel(broker_url) as channel,
    ):
        publisher.ring([ring(n=6)])
        ours.acknowledge(next_of(ours))
        channel.queue_delete(ROUTE)
        declare(channel, topology(("archive",)))
        publisher.ring([ring(n=7)])
        thread = threading.Thread(target=keep_asking, args=(ours, publisher, stopping))
        thread.start()
        # The first may come again: RabbitMQ had not written down that it is done.
        while b'"n":7' not in (delivered := next_of(ours)).body:
            ours.acknowledge(delivered)
        stopping.set()
        thread.join()


def test_a_stand_by_that_asks_in_vain_connects_again(broker_url: str) -> None:
    lost: list[bool] = []
    own = "dcmrelay.own.archive"
    with consuming(broker_url, own, destinations=("archive",), lost=lambda: lost.append(True)) as ours:
        for _ in range(30):
            ours.asked(own, time.monotonic())
        eventually(lambda: lost)
        assert ours.link.wait_connected(10)


def test_who_has_a_message_at_hand_is_not_deaf(broker_url: str) -> None:
    lost: list[bool] = []
    own = "dcmrelay.own.archive"
    with (
        publishing(broker_url, "archive") as publisher,
        consuming(broker_url, own, destinations=("archive",), lost=lambda: lost.append(True)) as ours,
    ):
        publisher.elect("archive")
        before = time.monotonic()
        kept = next_of(ours)
        for since in (before, time.monotonic()):
            ours.asked(own, since, weight=100)
        assert ours._heard[own].asked == 0
        ours.acknowledge(kept)
        eventually(lambda: not ours._outstanding)
        ours.asked(own, before, weight=100)
        assert ours._heard[own].asked == 0, "it came after that"
        ours.asked(own, time.monotonic(), weight=100)
        eventually(lambda: lost)


def test_what_asks_a_silent_consumer_is_heard_and_not_worked_on(
    broker_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost: list[bool] = []
    with publishing(broker_url) as publisher, consuming(broker_url, ROUTE, lost=lambda: lost.append(True)) as ours:
        assert not ours.silent()
        monkeypatch.setattr(consumer, "SILENT_AT_MOST", timedelta(0))
        for _ in range(5):
            assert eventually(ours.silent) == (ROUTE,)
            asked = ours._heard[ROUTE].last
            publisher.ask(ROUTE)
            eventually(lambda before=asked: ours._heard[ROUTE].last > before)
        publisher.ring([ring(n=8)])
        assert b'"n":8' in next_of(ours).body
        assert not ours.silent(), "it has something at hand"
        assert not lost


def test_a_message_of_a_broken_connection_is_not_worked_on(broker_url: str) -> None:
    with publishing(broker_url) as publisher, consuming(broker_url, ROUTE) as consumer:
        publisher.ring([ring()])
        eventually(lambda: consumer._inbox.qsize() == 1)
        consumer.link.do(lambda channel: channel.connection.close())
        again = next_of(consumer)
        assert again.redelivered is True


def test_what_is_acknowledged_after_its_connection_broke_comes_again(broker_url: str) -> None:
    with publishing(broker_url) as publisher:
        publisher.ring([ring()])
        with consuming(broker_url, ROUTE) as consumer:
            delivered = next_of(consumer)
            consumer.stop()
            consumer.acknowledge(delivered)
        eventually(lambda: publisher.depth(ROUTE) == 1)


def test_a_message_kept_too_long_is_let_go_while_the_work_goes_on(
    broker_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "HELD_AT_MOST", timedelta(milliseconds=100))
    asked: list[Delivered] = []

    def let_go(delivered: Delivered) -> bool:
        asked.append(delivered)
        return len(asked) > 1

    with publishing(broker_url) as publisher, consuming(broker_url, ROUTE, let_go=let_go) as ours:
        publisher.ring([ring(n=1), ring(n=2)])
        kept = next_of(ours)
        assert b'"n":2' in next_of(ours).body
        assert asked[:2] == [kept, kept]
        assert kept.acknowledged
        ours.acknowledge(kept)


def test_a_message_let_go_before_it_was_begun_is_not_begun(broker_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer, "HELD_AT_MOST", timedelta(0))
    with publishing(broker_url) as publisher, consuming(broker_url, ROUTE, let_go=lambda _: True) as ours:
        publisher.ring([ring()])
        eventually(lambda: ours._inbox.qsize() == 1 and not ours._outstanding)
        assert ours.get(0.1) is None
