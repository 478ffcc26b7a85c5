"""How fast a destination is sent to: `max_rate`, over all its associations."""

import threading
import time
from collections.abc import Callable


class Pace:
    """Keeps an average rate: waits after each instance until it fits.

    Args:
        bytes_per_second: as `max_rate` says now; None for no limit.
        stopping: cuts a wait short.
        monotonic: the clock, in seconds; a parameter for tests.
    """

    def __init__(
        self,
        bytes_per_second: Callable[[], float | None],
        stopping: threading.Event,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rate, self._stopping, self._now = bytes_per_second, stopping, monotonic
        self._free_at = self._now()
        self._lock = threading.Lock()

    def __call__(self, size: int) -> None:
        """Wait for as long as so many bytes take."""
        rate = self._rate()
        if rate is not None:
            with self._lock:
                self._free_at = until = max(self._free_at, self._now()) + size / rate
            self._stopping.wait(max(0.0, until - self._now()))
