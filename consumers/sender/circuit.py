"""The circuit of one destination, in the process that owns it; on record for the others."""

import random
import threading
from collections.abc import Callable

import structlog

from consumers.sender.breaker import CLOSED, Breaker, Gate, failed
from shared import metrics
from shared.config.peers import Destination
from shared.errors import StorageError
from shared.spool.circuits import Circuit as Record
from shared.spool.circuits import newest_circuit, put_circuit
from shared.spool.spool import Spool
from shared.spool.states import Retry

log = structlog.get_logger()


class Circuit:
    """Opens when the destination fails, lets one delivery at a time out as a probe, closes when one brought something.

    Args:
        spool: where it is on record.
        destination: as configured now.
        jitter: draws 0..1.

    Attributes:
        shut_out: deliveries whose time is used up while the circuit is open; their turn sends nothing.
    """

    def __init__(self, spool: Spool, destination: Destination, jitter: Callable[[], float] = random.random) -> None:
        retry = destination.retry
        self._spool, self._name, self._identity = spool, destination.name, destination.identity
        self._retry, self._jitter = Retry(first=retry.first, longest=retry.max, give_up=retry.give_up), jitter
        self._breaker: Breaker | None = None
        self._is_written = True
        self._probe = ""
        self.shut_out: set[str] = set()
        self._lock = threading.RLock()

    @property
    def retry(self) -> Retry:
        """Waits and limits of the destination."""
        return self._retry

    @property
    def why(self) -> str:
        """What the destination failed with last."""
        with self._lock:
            return self._now().why

    def gate(self) -> Gate:
        """What may begin now."""
        with self._lock:
            return "none" if self._probe else self._now().gate(self._spool.now())

    def begin(self, delivery: str) -> None:
        """A delivery's turn begins; while the circuit is open it is the probe."""
        with self._lock:
            if self._now().since is not None and delivery not in self.shut_out:
                self._probe = delivery

    def end(self, delivery: str) -> None:
        """Its turn is over, whatever came of it."""
        with self._lock:
            self.shut_out.discard(delivery)
            if self._probe == delivery:
                self._probe = ""

    def went_well(self) -> None:
        """The destination answered for good."""
        with self._lock:
            self._set(CLOSED)

    def failed(self, delivery: str, why: str, *, away: bool) -> None:
        """A delivery's turn brought nothing; counts once it is open only for the probe."""
        with self._lock:
            before = self._now()
            if before.since is not None and self._probe not in ("", delivery):
                return
            now = self._spool.now()
            self._set(failed(before, delivery, why, away=away, now=now, retry=self._retry, jitter=self._jitter()))

    def forget(self) -> None:
        """Another process may own the destination next: what is on record counts when this one does again."""
        with self._lock:
            self._breaker, self._probe = None, ""
            metrics.CIRCUIT_OPEN.labels(destination=self._name).set(0)

    def _now(self) -> Breaker:
        if self._breaker is None:
            self._breaker = self._recorded()
            metrics.CIRCUIT_OPEN.labels(destination=self._name).set(self._breaker.since is not None)
        return self._breaker

    def _recorded(self) -> Breaker:
        try:
            record = newest_circuit(self._spool, self._name)
        except (StorageError, ValueError, TypeError, KeyError):
            return CLOSED
        if record is None or not record.open:
            return CLOSED
        if record.identity == self._identity:
            return Breaker(since=record.since, why=record.why, failed_at=record.failed_at)
        self._is_written = False  # it is another peer now, of which nothing is known
        self._write(CLOSED)
        return CLOSED

    def _set(self, breaker: Breaker) -> None:
        before, self._breaker = self._now(), breaker
        if (before.since, before.failed_at) != (breaker.since, breaker.failed_at):
            self._is_written = False
        if before.since != breaker.since:
            metrics.CIRCUIT_OPEN.labels(destination=self._name).set(breaker.since is not None)
            event = "circuit_closed" if breaker.since is None else "circuit_opened"
            log.warning(event, destination=self._name, why=breaker.why)
        self._write(breaker)

    def _write(self, breaker: Breaker) -> None:
        """Put it on record; what the disk refuses now is written with the next change."""
        if self._is_written:
            return
        record = Record(
            destination=self._name,
            identity=self._identity,
            open=breaker.since is not None,
            since=breaker.since or self._spool.now(),
            why=breaker.why,
            failed_at=breaker.failed_at,
            probe_at=breaker.due,
        )
        try:
            put_circuit(self._spool, record)
            self._is_written = True
        except (StorageError, OSError) as error:
            log.warning("circuit_not_recorded", destination=self._name, why=type(error).__name__)
