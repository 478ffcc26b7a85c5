"""Every exchange, queue and binding, as one table: declared, verified, documented and tested from here.

No I/O, no clock, no globals.

Source: ADR 0003; the arguments were measured on RabbitMQ 3.10.8 and hold on 4.x.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import get_args

from shared.errors import DeadLetterClass
from shared.messages import told_if_possible

EVENTS, WORK, DELAY, DEAD = "dcmrelay.events", "dcmrelay.work", "dcmrelay.delay", "dcmrelay.dead"
UNREADABLE, URGENT = "unreadable", ".urgent"
# The type of a message with which a consumer asks whether it still hears its queue.
ASK = "ask"
LEDGER = "dcmrelay.ledger"
RUNGS = {
    "1s": timedelta(seconds=1),
    "10s": timedelta(seconds=10),
    "1m": timedelta(minutes=1),
    "10m": timedelta(minutes=10),
}
# Unset means 20 on 4.x, and -1 deletes at the first redelivery on 3.10.8.
_QUORUM: Mapping[str, str | int | bool] = {"x-queue-type": "quorum", "x-delivery-limit": 1000}


@dataclass(frozen=True, kw_only=True)
class Queue:
    """A durable quorum queue.

    Args:
        name: `dcmrelay.<verb>[.<destination>]`.
        purpose: one sentence for `docs/queues.md`.
        arguments: beyond those of every queue.
    """

    name: str
    purpose: str
    arguments: Mapping[str, str | int | bool] = field(default_factory=dict)

    @property
    def all_arguments(self) -> dict[str, str | int | bool]:
        """What the queue is declared and verified with."""
        return {**_QUORUM, **self.arguments}


@dataclass(frozen=True, kw_only=True)
class Binding:
    """What leads from an exchange to a queue: a routing key, or headers."""

    exchange: str
    queue: str
    routing_key: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Topology:
    """The whole table."""

    exchanges: Mapping[str, str]
    queues: tuple[Queue, ...]
    bindings: tuple[Binding, ...]


def topology(destinations: Iterable[str]) -> Topology:
    """The table for these destinations."""
    names = sorted(destinations)
    queues = [
        Queue(name=queue_of("route"), purpose="parts that wait for the router"),
        Queue(name=queue_of("render"), purpose="deliveries whose rendition is to be made"),
        Queue(
            name=LEDGER,
            purpose="facts for the ledger to look into; the oldest go when nobody does",
            # Nobody reads them where no ledger runs, and it finds by itself what it was not told.
            arguments={"x-max-length": 10_000},
        ),
        *(_rung(name, ttl) for name, ttl in RUNGS.items()),
        *(Queue(name=dead_queue(word), purpose=f"pointers to dead letters, class {word}") for word in _classes()),
        Queue(name=dead_queue(UNREADABLE), purpose="messages that could not be decoded, as they came"),
        *(queue for name in names for queue in _of_destination(name)),
    ]
    bindings = [
        Binding(exchange=WORK, queue=queue_of("route"), routing_key="route"),
        Binding(exchange=EVENTS, queue=queue_of("route"), routing_key="study.complete"),
        Binding(exchange=WORK, queue=queue_of("render"), routing_key="render"),
        # For what a consumer asks of itself.
        Binding(exchange=WORK, queue=LEDGER, routing_key=key_of(LEDGER)),
        # Not study.complete: that must reach the router, and a queue that takes it too would hide that it did not.
        *(Binding(exchange=EVENTS, queue=LEDGER, routing_key=key) for key in told_if_possible()),
        *(Binding(exchange=DELAY, queue=f"{DELAY}.{name}", headers={"rung": name}) for name in RUNGS),
        *(Binding(exchange=DEAD, queue=dead_queue(word), routing_key=word) for word in (*_classes(), UNREADABLE)),
        *(Binding(exchange=WORK, queue=queue_of(key), routing_key=key) for name in names for key in _keys(name)),
    ]
    exchanges = {EVENTS: "topic", WORK: "topic", DELAY: "headers", DEAD: "topic"}
    return Topology(exchanges=exchanges, queues=tuple(queues), bindings=tuple(bindings))


def queue_of(routing_key: str) -> str:
    """The queue that a key of `dcmrelay.work` leads to."""
    return f"dcmrelay.{routing_key}"


def key_of(queue: str) -> str:
    """The key of `dcmrelay.work` that leads to a queue."""
    return queue.removeprefix(queue_of(""))


def elects(queue: str) -> bool:
    """Whether a queue elects an owner: its messages ask, and mean nothing beyond that."""
    return queue.startswith(queue_of("own."))


def dead_queue(word: str) -> str:
    """The queue of a dead letter class, or of UNREADABLE."""
    return f"{DEAD}.{word}"


def rung_for(wait: timedelta) -> str | None:
    """The rung a bell waits on: the longest that is not too long; it climbs on from there. None: over all rungs.

    A wait under the shortest rung takes the shortest.
    """
    if wait > max(RUNGS.values()):
        return None
    fitting = [name for name, ttl in RUNGS.items() if ttl <= wait]
    return fitting[-1] if fitting else next(iter(RUNGS))


def _classes() -> tuple[str, ...]:
    return get_args(DeadLetterClass)


def _keys(destination: str) -> tuple[str, str, str]:
    return f"send.{destination}", f"send.{destination}{URGENT}", f"own.{destination}"


def _of_destination(destination: str) -> tuple[Queue, ...]:
    send, urgent, own = map(queue_of, _keys(destination))
    return (
        Queue(name=send, purpose="deliveries to one destination; only its owner consumes"),
        Queue(name=urgent, purpose="the same, worked on first"),
        Queue(
            name=own,
            purpose="elects the owner of one destination: who is its active consumer",
            arguments={"x-single-active-consumer": True, "x-message-ttl": 60_000, "x-max-length": 100},
        ),
    )


def _rung(name: str, ttl: timedelta) -> Queue:
    return Queue(
        name=f"{DELAY}.{name}",
        purpose=f"bells that wait {name}, then go back to {WORK} under their own key",
        # At-least-once rungs stall for everybody after 32 unroutable messages; what is lost here, the sweep rings.
        arguments={
            "x-message-ttl": int(ttl.total_seconds() * 1000),
            "x-dead-letter-exchange": WORK,
            "x-dead-letter-strategy": "at-most-once",
        },
    )
