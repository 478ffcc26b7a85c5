"""Looks at the requests for storage commitment that are not answered, in a thread of its own.

No queue and no bell: what is asked is in the spool, and seldom. A request is read again and again, after growing
pauses, and claimed only when there is something to say; two janitors meet at its next record.
Source: ADR 0019.
"""

import threading
import time
from collections.abc import Callable
from datetime import timedelta

import structlog

from consumers.janitor.commitment import Committer
from consumers.janitor.deleting import delete_all
from shared.errors import UNREADABLE
from shared.messages import Bell
from shared.spool.commitments import active_commitments, marker
from shared.spool.spool import Spool
from shared.spool.states import Retry
from shared.work import Worker

log = structlog.get_logger()
_LOOK_SECONDS, _LONGEST_SECONDS, _FORGET_SECONDS = 1.0, 30.0, 3600.0
_RETRY = Retry(first=timedelta(seconds=2), longest=timedelta(minutes=5), give_up=timedelta(days=5))


class Committing:
    """Of one spool.

    Args:
        spool: the spool.
        committer: answers a request.
        retention: how long an answered request is kept.
        stopping: ends `run_until_stopped`.
        monotonic: the clock for pauses; a parameter for tests.
    """

    def __init__(
        self,
        spool: Spool,
        committer: Committer,
        retention: Callable[[], timedelta],
        stopping: threading.Event,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spool, self._committer, self._retention, self._stopping = spool, committer, retention, stopping
        self._now = monotonic
        self._worker = Worker(spool, committer.handle, _RETRY, stopping)
        self._again: dict[str, tuple[float, float]] = {}
        self._forgot_at = -_FORGET_SECONDS

    def run_until_stopped(self) -> None:
        """Look about once a second."""
        while not self._stopping.wait(_LOOK_SECONDS):
            self.look()

    def look(self) -> None:
        """Look at each request whose pause is over; what cannot be read or written keeps back none of the others."""
        active = list(active_commitments(self._spool))
        self._again = {it: when for it, when in self._again.items() if it in active}
        for commitment in active:
            due, pause = self._again.get(commitment, (0.0, _LOOK_SECONDS / 2))
            if self._now() < due or self._stopping.is_set():
                continue
            self._again[commitment] = self._now() + pause, min(pause * 2, _LONGEST_SECONDS)
            try:
                self._look_at(commitment)
            except UNREADABLE as error:
                log.error("commitment_not_looked_at", unit=commitment, error=type(error).__name__)
        if self._now() - self._forgot_at >= _FORGET_SECONDS:
            self._forgot_at = self._now()
            self._forget(set(active))

    def _look_at(self, commitment: str) -> None:
        unit = self._spool.commitments.load(commitment)
        if unit is None:
            return
        if unit.state.status == "final":
            self._spool.store.delete(marker(commitment))
        elif unit.state.status == "waiting" and self._spool.lapsed(unit.state.due) and self._committer.is_due(unit):
            self._worker.look(Bell(unit=commitment, n=unit.state.n))
            self._say_what_became_of(commitment)
        elif self._spool.is_abandoned(unit.state):
            self._worker.look(Bell(unit=commitment, n=unit.state.n))

    def _say_what_became_of(self, commitment: str) -> None:
        state = self._spool.commitments.newest(commitment)
        if state is not None and state.status == "final":
            self._spool.store.delete(marker(commitment))
            log.info("commitment_answered", unit=commitment, outcome=state.outcome)
        elif state is not None and state.reason:
            log.warning("commitment_not_answered", unit=commitment, status=state.status, why=state.reason)

    def _forget(self, active: set[str]) -> None:
        for commitment in set(self._spool.commitments.ids()) - active:
            try:
                state = self._spool.commitments.newest(commitment)
                if state is not None and state.status == "final" and self._spool.lapsed(state.at, self._retention()):
                    delete_all(self._spool, f"commitments/{commitment}")
            except UNREADABLE as error:
                log.error("commitment_not_forgotten", unit=commitment, error=type(error).__name__)
