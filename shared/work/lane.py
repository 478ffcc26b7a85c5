"""A lane: one worker with its two connections, serving some queues until told to stop."""

from collections.abc import Callable
from datetime import timedelta

from shared.broker import Consumer, Delivered, Publisher, elects, topology
from shared.errors import BrokerError, StorageError
from shared.messages import decode_bell
from shared.service import Service, stop_by_force
from shared.spool.states import Retry
from shared.work.loop import UNREADABLE, serve
from shared.work.said import ring_of
from shared.work.worker import Handle, Worker

_RELEASED_FOR = timedelta(minutes=10)


class Lane:
    """One worker on its queues.

    Args:
        service: the process.
        name: for the connections' names.
        queues: consumed from the start.
        handle: the consumer.
        retry: waits and limits.
        is_bell: see `serve`.
        lost: called when the consuming connection broke.
    """

    def __init__(
        self,
        service: Service,
        name: str,
        queues: tuple[str, ...],
        handle: Handle,
        retry: Retry,
        *,
        is_bell: Callable[[Delivered], bool] = lambda _: True,
        lost: Callable[[], None] = lambda: None,
    ) -> None:
        table, url = topology(service.destinations), service.broker_url()
        self._service, self._is_bell = service, is_bell
        self.publisher = Publisher(url, table, name)
        self.consumer = Consumer(url, table, queues, name=name, lost=lost, let_go=self._let_go)
        self.worker = Worker(service.spool, handle, retry, service.stopping)

    def run(self) -> None:
        """Serve until told to stop.

        Raises:
            StartError: RabbitMQ refuses us or has another topology.
        """
        stop_by_force(self._service, self.worker.abandon)
        self.publisher.start()
        self.consumer.start()
        serve(self.consumer, self.publisher, self.worker, is_bell=self._is_bell)
        self.consumer.stop()
        self.publisher.stop()
        for link in (self.consumer.link, self.publisher.link):
            if link.failed is not None:
                raise link.failed

    def _let_go(self, delivered: Delivered) -> bool:
        """Ring again in ten minutes for a message that was kept long; the work, if it was begun, goes on without it."""
        try:
            if not elects(delivered.queue):
                self._postpone(delivered)
        except (BrokerError, StorageError, *UNREADABLE):
            return False
        return True

    def _postpone(self, delivered: Delivered) -> None:
        try:
            bell = decode_bell(delivered.body)
        except ValueError:
            self.publisher.set_aside(delivered.body)
            return
        unit = self._service.spool.units(bell.unit).load(bell.unit)
        if unit is not None:
            self.publisher.ring([ring_of(unit, unit.state, _RELEASED_FOR)])
