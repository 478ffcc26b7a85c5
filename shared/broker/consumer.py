"""Consuming: messages come in on the connection's thread, another works on them, they are acknowledged back there."""

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

import structlog
from pika.adapters.blocking_connection import BlockingChannel
from pika.spec import Basic, BasicProperties

from shared.broker.link import Link, declare
from shared.broker.topology import ASK, URGENT, Topology, elects
from shared.errors import BrokerError

log = structlog.get_logger()
# RabbitMQ closes the channel of a consumer that keeps a delivery for 30 minutes.
HELD_AT_MOST = timedelta(minutes=10)
# Beside what several workers do: messages that have to wait for one of them should not keep the others idle.
_WAITING = 8
# After so long without a message one is asked for; when so many did not come, nothing does. A stand-by asks for its
# election every two seconds and does not hear of it while there is an owner.
SILENT_AT_MOST, _UNHEARD, _UNHEARD_ELECTING = timedelta(seconds=30), 3, 30


@dataclass(order=True)
class Delivered:
    """A message that waits for the worker or is worked on; the smallest is worked on first."""

    rank: int
    tag: int
    queue: str = field(compare=False)
    body: bytes = field(compare=False)
    message_id: str = field(compare=False)
    redelivered: bool = field(compare=False)
    channel: BlockingChannel = field(compare=False, repr=False)
    since: float = field(compare=False, default_factory=time.monotonic)
    acknowledged: bool = field(compare=False, default=False)


@dataclass
class _Heard:
    """What came of a queue since it is consumed on this channel."""

    last: float = field(default_factory=time.monotonic)
    asked: int = 0

    def now(self) -> None:
        """Something came."""
        self.last, self.asked = time.monotonic(), 0


class Consumer:
    """The one connection on which a worker consumes.

    Args:
        url: AMQP URL.
        table: declared and verified on each new connection.
        queues: consumed on each new connection; earlier ones are worked on first.
        name: the worker, for the connection's name.
        lost: called when the connection broke.
        let_go: called with a delivery that was kept too long; when it returns True, the message is acknowledged
            although the work goes on.
        workers: how many deliveries are worked on at the same time.
    """

    def __init__(
        self,
        url: str,
        table: Topology,
        queues: tuple[str, ...],
        *,
        name: str,
        lost: Callable[[], None] = lambda: None,
        let_go: Callable[[Delivered], bool] = lambda _: False,
        workers: int = 1,
    ) -> None:
        self._workers = workers
        self._table, self._queues, self._lost, self._let_go = table, queues, lost, let_go
        self._inbox: queue.PriorityQueue[Delivered] = queue.PriorityQueue()
        self._outstanding: dict[int, Delivered] = {}
        self._heard: dict[str, _Heard] = {}
        self._lock = threading.Lock()
        self.link = Link(url, role="consume", name=name, ready=self._ready, lost=self._broke, tick=self._tend)

    def start(self) -> None:
        """Begin to connect, in the background."""
        self.link.start()

    def stop(self) -> None:
        """Close the connection; what is not acknowledged goes back to its queue."""
        self.link.stop()

    def get(self, seconds: float) -> Delivered | None:
        """The next delivery to work on, or None after so many seconds without one."""
        try:
            delivered = self._inbox.get(timeout=seconds)
        except queue.Empty:
            return None
        return None if delivered.acknowledged or not delivered.channel.is_open else delivered

    def also(self, queues: tuple[str, ...], first_rank: int, *, by: Delivered) -> None:
        """Consume more queues, on the connection that a delivery came by, until that breaks.

        Raises:
            BrokerError: no connection, or another one since.
        """

        def subscribe(channel: BlockingChannel) -> bool:
            if channel is by.channel:
                self._subscribe(channel, queues, first_rank)
            return channel is by.channel

        if not self.link.do(subscribe):
            raise BrokerError("the connection was made again meanwhile")

    def urgent_at_hand(self) -> Delivered | None:
        """The first message of an urgent queue that nobody has got yet; None when there is none."""
        with self._inbox.mutex:
            urgent = [it for it in self._inbox.queue if it.queue.endswith(URGENT)]
        return min((it for it in urgent if not it.acknowledged and it.channel.is_open), default=None)

    def silent(self) -> tuple[str, ...]:
        """Queues of which nothing came for a while, though there is room; electing ones are asked anyhow."""
        since = time.monotonic() - SILENT_AT_MOST.total_seconds()
        busy = self._busy()
        heard = list(self._heard.items())
        return tuple(name for name, it in heard if it.last < since and name not in busy and not elects(name))

    def asked(self, queue: str, since: float, *, weight: int = 1) -> None:
        """RabbitMQ took a message that asks whether this end still hears the queue; see `keep_asking`.

        Args:
            queue: its name.
            since: when it was published, on the monotonic clock; what came after that answers it.
            weight: of how many it stands for.
        """
        heard = self._heard.get(queue)
        if heard is not None and heard.last < since and queue not in self._busy():
            heard.asked += weight

    def _busy(self) -> set[str]:
        return {it.queue for it in list(self._outstanding.values())}

    def again(self, delivered: Delivered) -> None:
        """Have `get` return a delivery again, in its order; it is not acknowledged meanwhile."""
        self._inbox.put(delivered)

    def acknowledge(self, delivered: Delivered) -> None:
        """Say that a message's effects are safe. Harmless when its connection broke: it comes again and is stale."""
        if not delivered.acknowledged:
            try:
                self.link.do(lambda channel: self._acknowledge(channel, delivered))
            except BrokerError:
                delivered.acknowledged = True

    def _ready(self, channel: BlockingChannel) -> None:
        declare(channel, self._table)
        # A queue was deleted under us: connect again, which declares it anew.
        channel.add_on_cancel_callback(lambda _: channel.close())
        self._subscribe(channel, self._queues, 0)

    def _subscribe(self, channel: BlockingChannel, queues: tuple[str, ...], first_rank: int) -> None:
        for rank, name in enumerate(queues, start=first_rank):
            self._heard[name] = heard = _Heard()
            channel.basic_qos(prefetch_count=self._at_hand(name))
            channel.basic_consume(name, self._receiver(name, rank, heard))

    def _at_hand(self, name: str) -> int:
        """How many messages of a queue may be here unacknowledged."""
        if elects(name):
            return 1
        waiting = _WAITING if self._workers > 1 else 0
        # The next urgent one is at hand when one is done, before a routine one is begun.
        return self._workers + waiting + name.endswith(URGENT)

    def _receiver(
        self, name: str, rank: int, heard: _Heard
    ) -> Callable[[BlockingChannel, Basic.Deliver, BasicProperties, bytes], None]:
        def receive(channel: BlockingChannel, method: Basic.Deliver, properties: BasicProperties, body: bytes) -> None:
            heard.now()
            if properties.type == ASK and not elects(name):
                channel.basic_ack(method.delivery_tag or 0)
                return
            delivered = Delivered(
                rank=rank,
                tag=method.delivery_tag or 0,
                queue=name,
                body=body,
                message_id=str(properties.message_id or ""),
                redelivered=bool(method.redelivered),
                channel=channel,
            )
            self._outstanding[delivered.tag] = delivered
            self._inbox.put(delivered)

        return receive

    def _acknowledge(self, channel: BlockingChannel, delivered: Delivered) -> None:
        if delivered.acknowledged:
            return
        delivered.acknowledged = True
        if delivered.channel is channel:
            self._outstanding.pop(delivered.tag, None)
            if (heard := self._heard.get(delivered.queue)) is not None:
                heard.now()  # its turn among several begins
            channel.basic_ack(delivered.tag)

    def _tend(self) -> None:
        deaf = [
            it for it, heard in self._heard.items() if heard.asked >= (_UNHEARD_ELECTING if elects(it) else _UNHEARD)
        ]
        if deaf:
            log.info("hears_nothing", queue=deaf[0], remedy="connects again")
            self.link.renew()
        else:
            self._let_go_of_kept()

    def _let_go_of_kept(self) -> None:
        """Let go of messages kept too long, so that RabbitMQ does not close the channel on a long send."""
        limit = time.monotonic() - HELD_AT_MOST.total_seconds()
        for delivered in [kept for kept in self._outstanding.values() if kept.since < limit]:
            if self._let_go(delivered):
                self._acknowledge(delivered.channel, delivered)

    def _broke(self) -> None:
        self._outstanding.clear()
        self._heard.clear()
        self._lost()
