"""What the janitor does beside its sweeps, in threads of their own: scrubbing, the daily look, storage commitment.

The first two cost by history, the last waits for peers, so no sweep waits for them. Once a day orphans are looked for
and the report is written.
"""

import threading
import time
from collections.abc import Callable
from zoneinfo import ZoneInfo

import structlog

from consumers.janitor.commitment import Committer
from consumers.janitor.committing import Committing
from consumers.janitor.orphans import KINDS, clear_orphans
from consumers.janitor.scrub import Scrubber
from shared import metrics
from shared.accounts import daily
from shared.config import Config
from shared.errors import UNREADABLE
from shared.service import Service
from shared.spool.spool import Spool

log = structlog.get_logger()
_LOOK_SECONDS = 60.0


def begin_slow_work(service: Service) -> None:
    """Start the threads; they end with the process."""
    committer = Committer(service.spool, service.config, is_current=service.is_current)
    service.takers.append(committer.use)
    committing = Committing(service.spool, committer, lambda: service.config.spool.retention, service.stopping)
    scrubber = Scrubber(
        service.spool, paced(lambda: service.config.spool.scrub_rate, service.stopping), service.stopping
    )
    for kind in KINDS:
        metrics.ORPHANS.labels(kind=kind)
    service.in_background("scrub", scrubber.run_until_stopped)
    service.in_background("committing", committing.run_until_stopped)
    service.in_background("daily", lambda: _day_by_day(service))


def paced(bytes_per_second: Callable[[], float], stopping: threading.Event) -> Callable[[int], None]:
    """Waits after each block for as long as it should have taken; a wait ends when stopping."""
    free_at = time.monotonic()

    def wait(size: int) -> None:
        nonlocal free_at
        free_at = max(free_at, time.monotonic()) + size / bytes_per_second()
        stopping.wait(max(0.0, free_at - time.monotonic()))

    return wait


def look_once_a_day(spool: Spool, config: Config) -> bool:
    """Look for orphans and write yesterday's report when that is due; False when it is not."""
    folder, zone = config.relay.data_dir / "reports", ZoneInfo(config.relay.timezone)
    day = daily.due(spool.now(), zone, folder)
    if day is None:
        return False
    for kind, count in clear_orphans(spool, config.relay.follow).items():
        metrics.ORPHANS.labels(kind=kind).set(count)
    account = daily.write_report(spool, day, zone, folder)
    metrics.UNEXPLAINED.set(len(account.doubts))
    log.info("report_written", day=day.isoformat(), unexplained=len(account.doubts))
    return True


def _day_by_day(service: Service) -> None:
    while not service.stopping.wait(_LOOK_SECONDS):
        try:
            look_once_a_day(service.spool, service.config)
        except UNREADABLE as error:
            log.error("no_report", error=type(error).__name__)
