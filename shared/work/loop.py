"""Bells in, bells out: the loop between RabbitMQ and a worker."""

import threading
from collections.abc import Callable
from typing import TypeVar

import structlog
from tenacity import RetryError, Retrying, retry_if_exception_type, stop_when_event_set, wait_exponential, wait_random
from tenacity.nap import sleep_using_event

from shared import metrics
from shared.broker import Consumer, Delivered, Publisher
from shared.errors import BrokerError, StorageError, where
from shared.messages import decode_bell
from shared.work.said import Said
from shared.work.turns import UNREADABLE, Turn, Turns
from shared.work.worker import Worker

log = structlog.get_logger()
R = TypeVar("R")


def serve(
    consumer: Consumer,
    publisher: Publisher,
    worker: Worker,
    turns: Turns,
    *,
    is_bell: Callable[[Delivered], bool] = lambda _: True,
) -> None:
    """Answer bells until told to stop, or until a link gave up for good.

    Args:
        consumer: where bells come from.
        publisher: where what follows goes.
        worker: answers them; its `stopping` ends the loop.
        turns: what the workers beside it answer.
        is_bell: called first; False when a message was none for the worker, and was dealt with.
    """
    while not worker.stopping.is_set() and not (consumer.link.failed or publisher.link.failed):
        turn = _next(consumer, worker, turns)
        if turn is None:
            continue
        try:
            if is_bell(turn.message):
                _answer(publisher, worker, turn)
        except RetryError:
            return
        finally:
            for waiting in turns.end(turn):
                consumer.again(waiting)
        consumer.acknowledge(turn.message)


def publish(publisher: Publisher, words: Said, caused_by: str = "") -> None:
    """Publish what a settled unit makes known: bells and pointers confirmed, facts if possible.

    Raises:
        BrokerError: a bell or pointer was not confirmed.
    """
    publisher.ring(words.rings, caused_by)
    if words.pointer and words.unit is not None:
        publisher.point(words.pointer, words.unit, words.journey)
    publisher.tell_if_possible(words.events)


def insistently(stopping: threading.Event, act: Callable[[], R]) -> R:
    """Do an act again and again while the broker or the disk refuses it.

    Raises:
        RetryError: told to stop before it was done.
    """
    return Retrying(
        retry=retry_if_exception_type((BrokerError, StorageError)),
        wait=wait_exponential(multiplier=0.2, max=5) + wait_random(0, 0.3),
        sleep=sleep_using_event(stopping),
        stop=stop_when_event_set(stopping),
    )(act)


def _next(consumer: Consumer, worker: Worker, turns: Turns) -> Turn | None:
    """The next message that may be answered now; one worker at a time looks, so none overtakes."""
    with turns.looking:
        if worker.stopping.is_set():
            return None
        return turns.next(consumer.get(seconds=0.5))


def _answer(publisher: Publisher, worker: Worker, turn: Turn) -> None:
    delivered, redelivered = turn.message, turn.message.redelivered
    try:
        bell = decode_bell(delivered.body)
    except ValueError as error:
        log.warning("unreadable_message", queue=delivered.queue, why=str(error))
        metrics.UNREADABLE.inc()
        insistently(worker.stopping, lambda: publisher.set_aside(delivered.body))
        return
    if turn.picked is not None:
        bell, redelivered = turn.picked.bell, False
    try:
        words = insistently(worker.stopping, lambda: worker.look(bell, redelivered=redelivered))
    except UNREADABLE as error:
        log.error("unreadable_record", unit=bell.unit, error=type(error).__name__, at=where(error))
        return
    insistently(worker.stopping, lambda: publish(publisher, words, delivered.message_id))
