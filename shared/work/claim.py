"""The right to work on a unit, and what a handler may do with it."""

import threading
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from tenacity import Retrying, retry_if_exception_type, stop_when_event_set, wait_exponential, wait_random
from tenacity.nap import sleep_using_event

from shared.errors import HandedBackError, StorageError, SupersededError
from shared.spool import states
from shared.spool.spool import Spool
from shared.spool.states import State
from shared.spool.units import Unit, join

LEASE = timedelta(minutes=5)


class Claim:
    """The right to work on a unit, held by this process until it settles or somebody writes the next record.

    Attributes:
        id: the unit's id.
        order: what it is and what is to be done.
        state: its newest record, ours.
        facts: what its records say, merged; grows with `record`.
    """

    def __init__(self, spool: Spool, unit: Unit, stopping: threading.Event) -> None:
        self.id, self.order, self.state = unit.id, unit.order, unit.state
        self.facts: dict[str, Any] = {}
        join(self.facts, unit.facts)
        self._spool, self._stopping = spool, stopping
        self._lock = threading.Lock()

    def record(self, facts: Mapping[str, Any]) -> None:
        """Write what a slice did, so that it is not done again; renews the lease.

        Raises:
            SupersededError: the unit is somebody else's now.
            StorageError: the disk refused; the slice may be done again.
        """
        self.append(states.advanced(self.state, now=self._spool.now(), lease=LEASE, facts=facts))
        join(self.facts, facts)

    def insist(self, facts: Mapping[str, Any]) -> None:
        """As `record`, however long the disk refuses: what cannot be undone is not to be done again.

        Raises:
            SupersededError: the unit is somebody else's now.
            StorageError: the process was told to stop before the disk took it.
        """
        self._insistently(lambda: self.record(facts))

    def settle(self, state: State) -> None:
        """Write the record that ends our work, as insistently: a live owner's unit is nobody else's to take."""
        self._insistently(lambda: self.append(state))

    def check(self) -> None:
        """Ask between two pieces of work whether to go on.

        Raises:
            HandedBackError: the process was told to stop.
            SupersededError: the unit is somebody else's now.
        """
        if self._stopping.is_set():
            raise HandedBackError("the worker was told to stop")
        if not self._spool.units(self.id).is_newest(self.id, self.state.n):
            raise SupersededError(f"{self.id} is somebody else's now")

    def append(self, state: State) -> None:
        """Write the unit's next record. Raises as `record` does."""
        with self._lock:
            self._spool.units(self.id).append(self.id, state)
            self.state = state

    def _insistently(self, write: Callable[[], None]) -> None:
        Retrying(
            retry=retry_if_exception_type(StorageError),
            wait=wait_exponential(multiplier=0.1, max=10) + wait_random(0, 1),
            sleep=sleep_using_event(self._stopping),
            stop=stop_when_event_set(self._stopping),
            reraise=True,
        )(write)
