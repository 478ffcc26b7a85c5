"""A lane: workers with two connections, serving some queues until told to stop."""

import functools
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from datetime import timedelta

import structlog

from shared.broker import Consumer, Delivered, Publisher, elects, keep_asking, topology
from shared.config import Config
from shared.errors import BrokerError, DcmrelayError
from shared.messages import decode_bell
from shared.service import Service, stop_by_force
from shared.spool.states import Retry
from shared.work.loop import serve
from shared.work.said import ring_of
from shared.work.turns import UNREADABLE, Picks, Turns
from shared.work.worker import Handle, Worker

log = structlog.get_logger()
_RELEASED_FOR = timedelta(minutes=10)


class Lane:
    """One worker on its queues, or several in a thread each.

    Args:
        service: the process.
        name: for the connections' names.
        queues: consumed from the start.
        handle: the consumer.
        retry: waits and limits.
        is_bell: see `serve`.
        lost: called when the consuming connection broke.
        workers: how many units are worked on at the same time.
        picks: knows what waits and what goes first; None: each bell is answered with the unit it is about.
        stopping: ends this lane alone, for another to take its place; None: it ends with the process.
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
        workers: int = 1,
        picks: Picks | None = None,
        stopping: threading.Event | None = None,
    ) -> None:
        table, url = topology(service.destinations), service.broker_url()
        self._service, self._is_bell = service, is_bell
        self._stopping = service.stopping if stopping is None else stopping
        self.publisher = Publisher(url, table, name)
        self.consumer = Consumer(url, table, queues, name=name, lost=lost, let_go=self._let_go, workers=workers)
        self.workers = [Worker(service.spool, handle, retry, self._stopping) for _ in range(workers)]
        self._turns = Turns(picks, workers)

    def run(self) -> None:
        """Serve until told to stop.

        Raises:
            StartError: RabbitMQ refuses us or has another topology.
        """
        stop_by_force(self._service, self._abandon)
        self._service.takers.append(self._declare)
        self.publisher.start()
        self.consumer.start()
        asking = functools.partial(keep_asking, self.consumer, self.publisher, self._stopping)
        self._service.in_background("asking for messages", asking)
        with ThreadPoolExecutor(len(self.workers), thread_name_prefix="worker") as pool:
            serving = [pool.submit(self._serve, worker) for worker in self.workers]
            wait(serving, return_when=FIRST_COMPLETED)
            self._stopping.set()
        self._service.takers.remove(self._declare)
        self.consumer.stop()
        self.publisher.stop()
        for served in serving:
            served.result()
        for link in (self.consumer.link, self.publisher.link):
            if link.failed is not None:
                raise link.failed

    def _declare(self, config: Config) -> None:
        self.publisher.use(topology(destination.name for destination in config.destinations))

    def gives_way(self) -> bool:
        """Whether a worker on something routine is to stop where it is, because something urgent came."""
        return self._turns.gives_way(self.consumer.urgent_at_hand())

    def _serve(self, worker: Worker) -> None:
        serve(self.consumer, self.publisher, worker, self._turns, is_bell=self._is_bell)

    def _abandon(self) -> None:
        for worker in self.workers:
            try:
                worker.abandon()
            except DcmrelayError as error:
                log.warning("not_given_back", why=str(error))

    def _let_go(self, delivered: Delivered) -> bool:
        """Ring again in ten minutes for a message that was kept long; the work, if it was begun, goes on without it."""
        try:
            if not elects(delivered.queue):
                self._postpone(delivered)
        except (BrokerError, *UNREADABLE):
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
