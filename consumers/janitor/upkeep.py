"""Keeps room on the disk, after each sweep: retention, optional copies, drafts of dead processes, and the forecast."""

import math
import shutil
import time

import structlog

from consumers.janitor.optional import OptionalCopies
from consumers.janitor.retention import expire
from shared import metrics
from shared.config import Config
from shared.errors import UNREADABLE, StorageError
from shared.spool import trend
from shared.spool.copies import forget_copies
from shared.spool.spool import Spool

log = structlog.get_logger()
RETENTION_SECONDS, OPTIONAL_SECONDS = 600.0, 60.0
# The oldest finished parts go before min_free is reached, so that nobody is refused while there is something to clear.
_SHORT_BELOW = 1.1


class Upkeep:
    """Of one spool.

    Args:
        spool: the spool.
        config: says how long and how much.
    """

    def __init__(self, spool: Spool, config: Config) -> None:
        self._spool, self._config = spool, config
        self._optional = OptionalCopies(spool)
        self._expired_at = self._bounded_at = -math.inf
        self._rate: float | None = None

    def use(self, config: Config) -> None:
        """Another configuration is in force."""
        self._config = config

    def tend(self) -> None:
        """Do what is due; what the disk refuses is logged and done the next time, and keeps back nothing else."""
        for act in (self._make_room, self._bound_optional, self._forecast):
            try:
                act()
            except UNREADABLE as error:
                log.error("not_tended", why=str(error) if isinstance(error, StorageError) else type(error).__name__)

    def is_short(self) -> bool:
        """Whether the disk has hardly more room than modalities need to be accepted."""
        return self._disk().free < self._config.ingress.min_free * _SHORT_BELOW

    def _make_room(self) -> None:
        now = time.monotonic()
        if now - self._expired_at >= RETENTION_SECONDS or self.is_short():
            self._expired_at = now
            expire(self._spool, self._config.spool.retention, self.is_short)
            self._spool.store.clear_drafts()
            forget_copies(self._spool)

    def _bound_optional(self) -> None:
        now = time.monotonic()
        if now - self._bounded_at >= OPTIONAL_SECONDS:
            self._bounded_at = now
            most = self._config.spool.optional_max * self._disk().total
            metrics.OPTIONAL_HELD.set(self._optional.bound(int(most)))

    def _forecast(self) -> None:
        free = self._disk().free
        metrics.SPOOL_FREE.set(free)
        if trend.note(self._spool, free):
            self._rate = trend.bytes_per_second(self._spool)
        left = trend.full_in(free, self._config.ingress.min_free, self._rate)
        metrics.SPOOL_FILLING.set(self._rate or 0)
        metrics.SPOOL_FULL_IN.set(math.inf if left is None else left.total_seconds())

    def _disk(self) -> "shutil._ntuple_diskusage":
        return shutil.disk_usage(self._spool.store.root)
