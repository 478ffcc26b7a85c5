"""Closes the parts whose sender went quiet, and tells the router; at start, goes on with what a dead run left open."""

import queue
import threading

import structlog

from producers.ingress.parts import OpenPart, OpenParts
from shared import metrics
from shared.broker import Publisher
from shared.config import Config
from shared.errors import UNREADABLE, BrokerError, StorageError
from shared.messages import StudyCompleted
from shared.spool import reserve
from shared.spool.closing import close_part
from shared.spool.parts import Part, active_parts, is_closed, read_manifest, read_part
from shared.spool.runs import Run, adopt
from shared.spool.spool import Spool

log = structlog.get_logger()
_LOOK_SECONDS = 0.2


class Closing:
    """Looks at the open parts several times a second.

    Args:
        spool: the spool.
        config: in force for the parts closed from now on.
        parts: the parts being received.
        run: this ingress run.
        stopping: ends `run_until_stopped` and `tell_until_stopped`.
    """

    def __init__(self, spool: Spool, config: Config, parts: OpenParts, run: Run, stopping: threading.Event) -> None:
        self._spool, self._config, self._parts, self._run = spool, config, parts, run
        self._stopping = stopping
        self._to_tell: queue.SimpleQueue[StudyCompleted] = queue.SimpleQueue()

    def use(self, config: Config) -> None:
        """Another configuration is in force, and in the spool."""
        self._config = config

    def adopt(self) -> None:
        """Go on with the open parts of runs that ended; a closing that they had begun is finished when quiet."""
        for part_id in list(active_parts(self._spool)):
            try:
                self._adopt_one(part_id)
            except UNREADABLE as error:
                log.error("unreadable_record", unit=part_id, error=type(error).__name__)

    def _adopt_one(self, part_id: str) -> None:
        part = read_part(self._spool, part_id)
        if part is None or self._spool.parts.newest(part_id) is not None:
            return
        if adopt(self._spool, part, self._run.id):
            log.info("goes_on_with_open_part", part=part_id)
            takes_more = not part.late_of and not is_closed(self._spool, part_id)
            self._parts.adopt(part, self._quiet(part), takes_more=takes_more)

    def run_until_stopped(self) -> None:
        """Close what is over; say that the run goes on; keep the spool's reserve."""
        while not self._stopping.wait(_LOOK_SECONDS):
            for open_part in self._parts.take_over():
                self._close_or_set_apart(open_part)
            metrics.PARTS_OPEN.set(len(self._parts))
            reserve.keep(self._spool.store.root)
            try:
                self._run.beat()
            except StorageError as error:
                log.error("no_beat", why=str(error))

    def close(self, open_part: OpenPart) -> None:
        """Close a part, and have the router told.

        Raises:
            StorageError: the disk refused; may be repeated.
        """
        units = close_part(self._spool, open_part.part, config=self._config.hash, known=open_part.known)
        for unit in units:
            manifest = read_manifest(self._spool, unit)
            instances = manifest.instances if manifest is not None else ()
            size = sum(instance.size for instance in instances)
            source = open_part.part.source
            metrics.PARTS_COMPLETED.labels(source=source).inc()
            log.info("study_complete", part=unit, source=source, instances=len(instances), bytes=size)
            self._to_tell.put(
                StudyCompleted(id=unit, n=0, part=unit, source=source, instances=len(instances), bytes=size)
            )

    def tell_until_stopped(self, publisher: Publisher) -> None:
        """Tell the router of closed parts, in a thread of its own; what the broker does not take, the sweep rings."""
        while not self._stopping.is_set():
            try:
                publisher.tell(self._to_tell.get(timeout=0.5))
            except queue.Empty:
                continue
            except BrokerError as error:
                log.warning("not_told", why=str(error))

    def _close_or_set_apart(self, open_part: OpenPart) -> None:
        """Close a part that is over; one that the spool was never told of holds nothing."""
        try:
            if open_part.made:
                self.close(open_part)
        except UNREADABLE as error:
            why = str(error) if isinstance(error, StorageError) else type(error).__name__
            log.error("not_closed", part=open_part.part.id, why=why)
            self._parts.set_apart(open_part)

    def _quiet(self, part: Part) -> tuple[float, float]:
        source = self._config.source(part.source)
        ingress = self._config.ingress
        quiet = (ingress.quiet, ingress.quiet_after_release) if source is None else self._config.quiet_of(source)
        return quiet[0].total_seconds(), quiet[1].total_seconds()
