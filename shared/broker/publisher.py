"""Publishing: persistent, mandatory, confirmed; what this returns from, RabbitMQ has."""

import uuid
from collections.abc import Iterable

import pika
import structlog
from pika.adapters.blocking_connection import BlockingChannel

from shared.broker.link import Link, declare
from shared.broker.topology import ASK, DEAD, DELAY, EVENTS, UNREADABLE, WORK, Topology, key_of, rung_for
from shared.errors import BrokerError
from shared.messages import Bell, Event, Ring, encode_bell, encode_event

log = structlog.get_logger()
_ASK_LIVES_MS = 60_000


class Publisher:
    """The one connection on which a worker publishes.

    Args:
        url: AMQP URL.
        table: declared and verified on each new connection.
        name: the worker, for the connection's name.
    """

    def __init__(self, url: str, table: Topology, name: str) -> None:
        self._know(table)
        self.link = Link(url, role="publish", name=name, ready=self._ready)

    def use(self, table: Topology) -> None:
        """Declare and verify another table, now if connected, and on each new connection."""
        self._know(table)
        try:
            self.link.do(lambda channel: declare(channel, table))
        except BrokerError as error:
            log.info("not_declared_yet", why=str(error))

    def start(self) -> None:
        """Begin to connect, in the background."""
        self.link.start()

    def stop(self) -> None:
        """Close the connection."""
        self.link.stop()

    def ring(self, rings: Iterable[Ring], caused_by: str = "") -> None:
        """Publish bells; those that wait longer than the longest rung are left to the sweep.

        So are those of a destination that is configured no more: no queue would take them, and everybody else's bells
        would wait behind.

        Args:
            rings: in order.
            caused_by: message id of the bell that led to them.

        Raises:
            BrokerError: one was not confirmed; those before it were.
        """
        for ring in rings:
            rung = rung_for(ring.wait) if ring.wait.total_seconds() > 0 else ""
            if ring.routing_key not in self._keys:
                log.warning("nobody_to_ring_for", key=ring.routing_key, unit=ring.bell.unit)
            elif rung is not None:
                headers = {"caused_by": caused_by} | ({"rung": rung} if rung else {})
                self._publish(DELAY if rung else WORK, ring.routing_key, encode_bell(ring.bell), ring.journey, headers)

    def point(self, dead_letter_class: str, bell: Bell, journey: str) -> None:
        """Put a pointer to a dead letter into its class's queue.

        Raises:
            BrokerError: not confirmed.
        """
        self._publish(DEAD, dead_letter_class, encode_bell(bell), journey, {})

    def elect(self, destination: str) -> None:
        """Send a message to whoever owns a destination, or would.

        Raises:
            BrokerError: not confirmed.
        """
        self._publish(WORK, f"own.{destination}", b"{}", "", {})

    def ask(self, queue: str) -> None:
        """Send a message to whoever consumes a queue, which says nothing but that it comes.

        Raises:
            BrokerError: not confirmed.
        """
        # Not through the default exchange, which a user with rights on our names alone may not write to.
        properties, key = pika.BasicProperties(type=ASK, expiration=str(_ASK_LIVES_MS)), key_of(queue)
        self.link.do(lambda channel: channel.basic_publish(WORK, key, b"{}", properties, mandatory=True))

    def tell(self, event: Event) -> None:
        """Publish a fact.

        Raises:
            BrokerError: not confirmed.
        """
        self._publish(EVENTS, event.routing_key, encode_event(event), event.part, {}, mandatory=event.must_arrive)

    def tell_if_possible(self, events: Iterable[Event]) -> None:
        """Publish facts; when the broker is away they are not told: the spool has them."""
        try:
            for event in events:
                self.tell(event)
        except BrokerError as error:
            log.info("event_not_told", why=str(error))

    def set_aside(self, body: bytes) -> None:
        """Put a message that cannot be decoded where a person can look at it.

        Raises:
            BrokerError: not confirmed.
        """
        self._publish(DEAD, UNREADABLE, body, "", {})

    def depth(self, queue: str) -> int:
        """Messages ready in a queue; 0 when it is none of ours.

        Raises:
            BrokerError: not known.
        """
        if queue not in self._queues:
            return 0
        return self.link.do(lambda channel: int(channel.queue_declare(queue, passive=True).method.message_count))

    def purge(self, queue: str) -> None:
        """Empty a queue.

        Raises:
            BrokerError: not done.
        """
        self.link.do(lambda channel: channel.queue_purge(queue))

    def _know(self, table: Topology) -> None:
        self._table = table
        self._keys = {binding.routing_key for binding in table.bindings if binding.exchange == WORK}
        self._queues = {queue.name for queue in table.queues}

    def _ready(self, channel: BlockingChannel) -> None:
        declare(channel, self._table)
        channel.confirm_delivery()

    def _publish(
        self, exchange: str, key: str, body: bytes, journey: str, headers: dict[str, str], *, mandatory: bool = True
    ) -> None:
        properties = pika.BasicProperties(
            content_type="application/json",
            delivery_mode=pika.DeliveryMode.Persistent.value,
            message_id=uuid.uuid4().hex,
            correlation_id=journey or None,
            headers=headers,
        )
        self.link.do(lambda channel: channel.basic_publish(exchange, key, body, properties, mandatory=mandatory))
