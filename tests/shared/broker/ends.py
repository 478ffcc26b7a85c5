"""Both ends of our broker layer on a real node, and a bare channel that looks at what is really there."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.spec import BasicProperties

from shared.broker import Consumer, Delivered, Publisher, topology
from shared.messages import Bell, Ring
from tests.support import eventually

PART = "p" + "1" * 32
ROUTE = "dcmrelay.route"


def ring(key: str = "route", n: int = 0, **more: Any) -> Ring:
    return Ring(routing_key=key, bell=Bell(unit=PART, n=n), **more)


@contextmanager
def publishing(url: str, *destinations: str) -> Iterator[Publisher]:
    publisher = Publisher(url, topology(destinations), "test")
    publisher.start()
    try:
        assert publisher.link.wait_connected(20), "not connected"
        yield publisher
    finally:
        publisher.stop()


@contextmanager
def consuming(
    url: str,
    *queues: str,
    destinations: tuple[str, ...] = (),
    lost: Callable[[], None] = lambda: None,
    let_go: Callable[[Delivered], bool] = lambda _: False,
) -> Iterator[Consumer]:
    consumer = Consumer(url, topology(destinations), queues, name="test", lost=lost, let_go=let_go)
    consumer.start()
    try:
        assert consumer.link.wait_connected(20), "not connected"
        yield consumer
    finally:
        consumer.stop()


@contextmanager
def bare_channel(url: str) -> Iterator[BlockingChannel]:
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        yield connection.channel()


def take(channel: BlockingChannel, queue: str, seconds: float = 10) -> tuple[BasicProperties, bytes]:
    """The next message of a queue, acknowledged: its properties and body."""

    def next_one() -> tuple[BasicProperties, bytes] | None:
        method, properties, body = channel.basic_get(queue, auto_ack=True)
        return None if method is None or properties is None or body is None else (properties, body)

    got = eventually(next_one, seconds)
    assert got is not None
    return got


def next_of(consumer: Consumer, seconds: float = 20) -> Delivered:
    got = eventually(lambda: consumer.get(0.1), seconds)
    assert got is not None
    return got
