"""Remembers refused callers, so little of each that a storm of them costs nothing."""

import threading
import time
from collections.abc import Callable

import structlog

from shared.config import Mismatch
from shared.dimse import Proposal
from shared.errors import StorageError
from shared.spool.knocks import Knock, remember
from shared.spool.spool import Spool

log = structlog.get_logger()
_SAME_AGAIN_SECONDS, _ANOTHER_SECONDS, _AT_ONCE = 60, 1, 20
_MOST = 200

Who = tuple[str, ...]


class Knocking:
    """Writes and logs each caller once a minute at most; of all 20 at once, and one a second; used by many threads.

    Args:
        spool: where they are remembered.
        monotonic: the clock; a parameter for tests.
    """

    def __init__(self, spool: Spool, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._spool, self._now = spool, monotonic
        self._again: dict[Who, float] = {}
        self._untold: dict[Who, int] = {}
        self._any_again = 0.0
        self._lock = threading.Lock()

    def note(self, proposal: Proposal, why: Mismatch) -> None:
        """A caller was refused, and why."""
        fingerprint = next((it for it in proposal.certificate or () if it.startswith("sha256:")), "")
        who = (proposal.calling_ae_title, proposal.called_ae_title, proposal.host, fingerprint, why)
        with self._lock:
            times = self._due(who)
            if times:
                self._write(who, times)

    def _due(self, who: Who) -> int:
        """How many refusals of a caller are to be told now; 0 for not now."""
        now = self._now()
        self._untold[who] = self._untold.pop(who, 0) + 1
        while len(self._untold) > _MOST:
            oldest = next(iter(self._untold))
            del self._untold[oldest]
            self._again.pop(oldest, None)
        if now < max(self._any_again, self._again.get(who, 0.0)):
            return 0
        # What was not used of the allowance is kept, up to so many.
        self._any_again = max(self._any_again, now - (_AT_ONCE - 1) * _ANOTHER_SECONDS) + _ANOTHER_SECONDS
        self._again[who] = now + _SAME_AGAIN_SECONDS
        times, self._untold[who] = self._untold[who], 0
        return times

    def _write(self, who: Who, times: int) -> None:
        calling, called, host, fingerprint, why = who
        at = self._spool.now()
        log.warning("refused", host=host, mismatch=why, times=times, see="dcmrelay knocked")
        knock = Knock(
            calling_ae_title=calling,
            called_ae_title=called,
            host=host,
            fingerprint=fingerprint,
            why=why,
            first=at,
            last=at,
            times=times,
        )
        try:
            remember(self._spool, knock)
        except StorageError as error:
            log.error("not_remembered", why=str(error))
