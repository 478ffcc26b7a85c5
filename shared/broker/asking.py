"""A consumer that hears nothing asks for a message: what does not come then does not come at all.

RabbitMQ 3.10 leaves the consumers of a queue deaf, and tells them nothing, when the queue is deleted and somebody
declares it again before their channels noticed: the new queue counts them as its consumers and hands messages to them,
and the channel takes these for ones that it had already. Only a new channel ends that.
Source: ADR 0025.
"""

import threading
import time

import structlog

from shared.broker.consumer import Consumer
from shared.broker.publisher import Publisher
from shared.errors import BrokerError

log = structlog.get_logger()
ASK_SECONDS = 10


def keep_asking(consumer: Consumer, publisher: Publisher, stopping: threading.Event) -> None:
    """Ask for a message on each queue that was silent for long, until told to stop."""
    while not stopping.wait(ASK_SECONDS):
        for queue in consumer.silent():
            asked = time.monotonic()
            try:
                publisher.ask(queue)
            except BrokerError as error:
                log.debug("not_asked", queue=queue, why=str(error))
            else:
                consumer.asked(queue, asked)
