"""When a destination last answered an instance with success, whatever study it was of.

progress/<destination>/<k>    that it did in the k-th five seconds since 1970; an empty file, the newest few are kept

Written by its owner while it sends. What waits behind others at a destination that gets on is not failing (ADR 0016).
"""

import contextlib
from datetime import UTC, datetime, timedelta

from shared.errors import StorageError
from shared.spool.spool import Spool

SPAN = timedelta(seconds=5)
_KEPT = 3
_WIDTH = 12


class Progress:
    """Notes of one destination's owner.

    Args:
        spool: the spool.
        destination: its name.
    """

    def __init__(self, spool: Spool, destination: str) -> None:
        self._spool, self._folder = spool, _folder(destination)
        self._last = -1

    def note(self) -> None:
        """It answered with success just now; what the disk refuses is noted the next time."""
        k = int(self._spool.now().timestamp() // SPAN.total_seconds())
        if k == self._last:
            return
        with contextlib.suppress(StorageError):
            self._spool.store.put_new(f"{self._folder}/{k:0{_WIDTH}}", b"")
            for name in self._spool.store.list(self._folder)[:-_KEPT]:
                self._spool.store.delete(f"{self._folder}/{name}")
            self._last = k


def last_progress(spool: Spool, destination: str) -> datetime | None:
    """When it answered with success last, never too early by more than five seconds nor in the future; None: never."""
    now = spool.now()
    ends = (datetime.fromtimestamp((int(name) + 1) * SPAN.total_seconds(), UTC) for name in _names(spool, destination))
    return max((min(it, now) for it in ends if it - SPAN <= now), default=None)


def _names(spool: Spool, destination: str) -> list[str]:
    return [name for name in spool.store.list(_folder(destination)) if name.isdigit()]


def _folder(destination: str) -> str:
    return f"progress/{destination}"
