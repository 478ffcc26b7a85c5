"""Everything that a relay says on RabbitMQ, overheard through a queue of the test's own."""

from collections.abc import Iterator
from contextlib import contextmanager

import pika
from pika.adapters.blocking_connection import BlockingChannel

OVERHEARD = "test.overheard"


class Overhearing:
    """Reads what was published to `dcmrelay.events` and `dcmrelay.work`, and what lies in any other queue."""

    def __init__(self, channel: BlockingChannel) -> None:
        self._channel = channel
        channel.queue_declare(OVERHEARD, durable=True)
        for exchange in ("dcmrelay.events", "dcmrelay.work"):
            channel.exchange_declare(exchange, "topic", durable=True)
            channel.queue_bind(OVERHEARD, exchange, "#")

    def messages(self, queue: str = OVERHEARD) -> list[tuple[str, str]]:
        """Routing key, and properties with body, of the messages in a queue; they stay in the test's hands."""
        return list(self._taken(queue))

    def _taken(self, queue: str) -> Iterator[tuple[str, str]]:
        while True:
            method, properties, body = self._channel.basic_get(queue, auto_ack=False)
            if method is None or body is None:
                return
            yield str(method.routing_key), f"{properties!r} {body!r}"


@contextmanager
def overheard(url: str) -> Iterator[Overhearing]:
    """Overhears a virtual host; may begin before the relay does."""
    connection = pika.BlockingConnection(pika.URLParameters(url))
    try:
        yield Overhearing(connection.channel())
    finally:
        connection.close()
