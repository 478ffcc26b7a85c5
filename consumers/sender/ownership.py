"""One owner per destination: elected by RabbitMQ, fenced by an epoch in the spool.

The single active consumer of `own.<destination>` gets every message there; to get one is to be it. It then writes the
next epoch, and only then consumes the destination's work. The epoch is the right to send: it outlives a lost
connection, and ends when somebody writes a higher one.
Source: ADR 0005.
"""

import threading
import time

import structlog

from shared import metrics
from shared.broker import Consumer, Delivered, Publisher, queue_of
from shared.errors import BrokerError, HandedBackError, StorageError
from shared.spool.epochs import newest_epoch, take_over
from shared.spool.spool import Spool

log = structlog.get_logger()
_FIRST_SECONDS, _ASK_SECONDS, _CONFIRM_SECONDS, _CONFIRM_WEIGHT = 0.2, 2, 30, 10


class Ownership:
    """Of one destination, by this process.

    Args:
        spool: the spool.
        destination: its name.
        stopping: ends `ask`.
    """

    def __init__(self, spool: Spool, destination: str, stopping: threading.Event) -> None:
        self._spool, self._destination, self._stopping = spool, destination, stopping
        self._epoch = 0
        self._serving = threading.Event()
        self._electing = threading.Lock()

    @property
    def queue(self) -> str:
        """The queue that elects."""
        return queue_of(f"own.{self._destination}")

    def check(self) -> None:
        """Asked before every C-STORE.

        Raises:
            HandedBackError: another process owns the destination now.
        """
        if self._epoch == 0 or newest_epoch(self._spool, self._destination) != self._epoch:
            raise HandedBackError(f"another process owns destination '{self._destination}' now")

    def elected(self, delivered: Delivered, consumer: Consumer) -> None:
        """A message came on the electing queue: we are the one. Take over unless the newest epoch is ours already.

        When the broker or the disk refuses it, the next message tries again.
        """
        if delivered.queue != self.queue:
            return
        with self._electing:
            if not self._serving.is_set():
                self._elected(delivered, consumer)

    def _elected(self, delivered: Delivered, consumer: Consumer) -> None:
        # Before anything is consumed: `lost` may come at any moment after that, and has the last word.
        self._serving.set()
        try:
            self._take_over(delivered, consumer)
        except (BrokerError, StorageError) as error:
            self.lost()
            log.warning("not_taken_over", destination=self._destination, why=str(error))

    def _take_over(self, delivered: Delivered, consumer: Consumer) -> None:
        if self._epoch == 0 or newest_epoch(self._spool, self._destination) != self._epoch:
            self._epoch = take_over(self._spool, self._destination)
        key = f"send.{self._destination}"
        # Whatever connection there is by now, it is this one that was elected.
        consumer.also((queue_of(f"{key}.urgent"), queue_of(key)), first_rank=1, by=delivered)
        metrics.OWNED.labels(destination=self._destination).set(1)
        log.info("owns_destination", destination=self._destination, epoch=self._epoch)

    def lost(self) -> None:
        """The connection broke: nothing is consumed until elected again."""
        self._serving.clear()
        metrics.OWNED.labels(destination=self._destination).set(0)

    def ask(self, publisher: Publisher, consumer: Consumer) -> None:
        """Ask who owns the destination until told to stop: often while it is not us, so that a stand-by soon knows."""
        asked, pause = 0.0, _FIRST_SECONDS
        while not self._stopping.wait(pause):
            if self._serving.is_set() and time.monotonic() - asked < _CONFIRM_SECONDS:
                continue
            asked = time.monotonic()
            try:
                publisher.elect(self._destination)
                # An owner asks seldom, and hears each.
                consumer.asked(self.queue, asked, weight=_CONFIRM_WEIGHT if self._serving.is_set() else 1)
                pause = _ASK_SECONDS
            except BrokerError as error:
                log.debug("not_asked", destination=self._destination, why=str(error))
