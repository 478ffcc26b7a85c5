"""RabbitMQ: the only package that imports pika. The broker is the doorbell; the spool is the truth."""

from shared.broker.asking import keep_asking
from shared.broker.consumer import Consumer, Delivered
from shared.broker.publisher import Publisher
from shared.broker.topology import LEDGER, URGENT, Topology, dead_queue, elects, queue_of, topology

__all__ = [
    "LEDGER",
    "URGENT",
    "Consumer",
    "Delivered",
    "Publisher",
    "Topology",
    "dead_queue",
    "elects",
    "keep_asking",
    "queue_of",
    "topology",
]
