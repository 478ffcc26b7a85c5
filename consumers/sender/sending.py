"""One association: the instances that are left, one C-STORE each, with what was answered recorded slice by slice."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from consumers.sender.ahead import Ahead, Content
from consumers.sender.contexts import not_accepted, syntax_for
from consumers.sender.statuses import meaning, text
from consumers.sender.transcoding.transcoder import Sendable, Transcoder
from shared import metrics
from shared.dimse import VERIFICATION, Association, is_conformant_uid
from shared.errors import DataSetError, PeerAbortedError, StorageError, SupersededError, TransientError
from shared.spool.parts import Instance, is_intact
from shared.work import Claim

SLICE_INSTANCES, SLICE_SECONDS = 64, 1.0
RENEW_SECONDS = 60.0
# A C-STORE that takes longer is recorded as unanswered while it goes on.
HANGS_SECONDS = 1.0
UNDER_WAY, UNANSWERED = "under_way", "unanswered"
UNKNOWN_TRIES = 5


class Slice:
    """What was answered since the last record.

    Of a study that another candidate may get it is also recorded what may be there without an answer: before a
    C-STORE is begun, how many may be under way until the next record; and, when one hangs or fails, which it was.

    Args:
        claim: where it is recorded.
        progressed: called when it is recorded that something was delivered.
    """

    def __init__(self, claim: Claim, progressed: Callable[[], None]) -> None:
        self._progressed = progressed
        self._claim, self._is_watched = claim, bool(claim.order.get("one_of"))
        self._under_way, self._begun = "", 0.0
        self._lock, self._over = threading.RLock(), threading.Event()
        self._facts: dict[str, Any] = {}
        self._count = 0
        self._since = time.monotonic()

    def add(self, outcome: str, index: str, why: str) -> None:
        """Keep one answer; record the slice when it is full or old enough."""
        with self._lock:
            self._facts.setdefault(outcome, {})[index] = why
            self._count += 1
            if self._count >= SLICE_INSTANCES or time.monotonic() - self._since >= SLICE_SECONDS:
                self.record()

    @contextmanager
    def under_way(self, index: str) -> Iterator[None]:
        """Around a C-STORE; one that ends by an exception may have arrived."""
        if not self._is_watched:
            yield
            return
        with self._lock:
            if not self._claim.facts.get(UNDER_WAY):
                self._claim.record({UNDER_WAY: SLICE_INSTANCES})
            self._under_way, self._begun = index, time.monotonic()
        yield
        with self._lock:
            self._under_way = ""

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Around an association: what hangs is put on record while it does, and what is left at the end."""
        watch = threading.Thread(target=self._watch, daemon=True)
        if self._is_watched:
            watch.start()
        try:
            yield
        finally:
            self._over.set()
            if self._is_watched:
                watch.join()
            with self._lock:
                self._put_down()

    def _watch(self) -> None:
        while not self._over.wait(SLICE_SECONDS / 2):
            with self._lock:
                if self._under_way and time.monotonic() - self._begun >= HANGS_SECONDS and not self._try_put_down():
                    return

    def _try_put_down(self) -> bool:
        try:
            self._put_down()
        except (StorageError, SupersededError):  # who sends meets it too, at its next record
            return False
        return True

    def _put_down(self) -> None:
        """Record the answers and which one is under way, exactly."""
        if self._under_way and self._under_way not in self._claim.facts.get(UNANSWERED, {}):
            self._facts[UNANSWERED] = {self._under_way: "no answer"}
        if self._claim.facts.get(UNDER_WAY):
            self._facts[UNDER_WAY] = 0
        self.record()

    def renew(self) -> None:
        """Say now and then that the work goes on, or another worker takes the delivery for abandoned."""
        with self._lock:
            if time.monotonic() - self._since >= RENEW_SECONDS:
                self.record()
                self._claim.record({})

    def record(self) -> None:
        """Write what is kept, if anything; while the disk refuses it, nothing more is sent.

        What the destination answered and nobody recorded would be sent again.
        """
        with self._lock:
            if self._facts:
                self._claim.insist(self._facts)
            if self._facts.get("delivered"):
                self._progressed()
            self._facts, self._count, self._since = {}, 0, time.monotonic()


def settle_under_way(claim: Claim, left: Iterable[str]) -> None:
    """Put on record which instances a sender that ended in the middle of a slice may have sent, at the most.

    Args:
        claim: the delivery.
        left: indices of the instances in the order in which they were sent.
    """
    if count := claim.facts.get(UNDER_WAY):
        unanswered = dict.fromkeys(list(left)[:count], "its sender ended")
        claim.record({UNANSWERED: unanswered, UNDER_WAY: 0})


class Sending:
    """The instances of one delivery on one association.

    Args:
        claim: the delivery.
        destination: its name, for metrics.
        path_of: where a name of the spool lies.
        may_send: asked before every C-STORE; raises when another process owns the destination.
        pace: called with the bytes of each instance sent; waits as long as `max_rate` says.
        transcoder: for what the destination does not accept as it is stored; None when it may not be transcoded.
        progressed: called when it is recorded that something was delivered.

    Attributes:
        answered: how many C-STORE requests the destination answered.
    """

    def __init__(
        self,
        claim: Claim,
        destination: str,
        *,
        path_of: Callable[[str], Path],
        may_send: Callable[[], None],
        pace: Callable[[int], None],
        transcoder: Transcoder | None = None,
        progressed: Callable[[], None] = lambda: None,
    ) -> None:
        self._claim, self._destination, self._slice = claim, destination, Slice(claim, progressed)
        self._path_of, self._may_send, self._pace = path_of, may_send, pace
        self._transcoder = transcoder
        self.answered = 0
        self._reused = False

    def settle_unsendable(self, left: Mapping[str, Instance]) -> None:
        """Hold what was damaged before its part closed; refuse what no presentation context can be proposed for."""
        for index, instance in left.items():
            if not instance.sop_class_uid:
                self._damaged(index)
            elif not is_conformant_uid(instance.sop_class_uid):
                self._answered("refused", index, "its SOP class UID is not a UID (PS3.5 9.1)")
        self._slice.record()

    def send(self, association: Association, left: Mapping[str, Instance], *, reused: bool = False) -> str:
        """Send what is left.

        Args:
            association: with the destination.
            left: the instances.
            reused: the association was kept open since another study, so the peer may have closed it: that it did
                before it answered anything is no failure of an instance.

        Returns:
            Why the rest has to wait, or nothing when each instance has its answer.

        Raises:
            PeerError: no proper answer; the instance in flight is in doubt and will be sent again.
        """
        self._reused = reused
        ahead = Ahead((it for it in left.values() if self._goes_as_stored(association, it)), self._path_of)
        try:
            with self._slice.watched():
                for index, instance in left.items():
                    self._claim.check()
                    self._may_send()
                    if why := self._attempt(association, index, instance, ahead):
                        return why
                return ""
        finally:
            if self._transcoder is not None:
                self._transcoder.close()

    def _attempt(self, association: Association, index: str, instance: Instance, ahead: Ahead) -> str:
        """Send one; a failure is put on record with its try, so that the next try begins with the others."""
        try:
            why = self._one(association, index, instance, ahead)
        except TransientError as error:
            if self.answered or not self._reused or not isinstance(error, PeerAbortedError):
                self._slice.add("failed", index, str(self._tries))
            raise
        if why:
            self._slice.add("failed", index, str(self._tries))
        return why

    def _one(self, association: Association, index: str, instance: Instance, ahead: Ahead) -> str:
        syntax = self._syntax_for(association, instance)
        context = association.accepted_context(instance.sop_class_uid, syntax)
        if context is None:
            self._answered("refused", index, not_accepted(instance, may_transcode=self._transcoder is not None))
            return ""
        is_transcoded = syntax != instance.transfer_syntax_uid
        content = self._checked(instance) if is_transcoded else ahead.take(instance)
        if content is None:
            self._damaged(index)
            return ""
        try:
            with self._sendable(association, instance, syntax, content) as it, self._slice.under_way(index):
                status = association.store(
                    it.content,
                    it.offset,
                    it.size,
                    context_id=context,
                    sop_class_uid=instance.sop_class_uid,
                    sop_instance_uid=instance.sop_instance_uid,
                    meanwhile=ahead.read,
                )
        except DataSetError as error:
            why = not_accepted(instance, may_transcode=True)
            self._answered("refused", index, f"{why}, and it cannot be transcoded: {error.reason}")
            return ""
        self.answered += 1
        why = self._judge(index, it.size, status, is_transcoded=is_transcoded)
        self._pace(it.size)
        return why

    def _syntax_for(self, association: Association, instance: Instance) -> str:
        return syntax_for(association, instance, may_transcode=self._transcoder is not None)

    def _goes_as_stored(self, association: Association, instance: Instance) -> bool:
        stored = instance.transfer_syntax_uid
        return association.accepted_context(instance.sop_class_uid, stored) is not None

    def _checked(self, instance: Instance) -> Content:
        path = self._path_of(instance.file)
        return path if is_intact(path, instance) else None

    @contextmanager
    def _sendable(
        self, association: Association, instance: Instance, syntax: str, content: memoryview | Path
    ) -> Iterator[Sendable]:
        """The instance as it lies, or transcoded for as long as the block runs."""
        if self._transcoder is None or syntax == instance.transfer_syntax_uid:
            yield Sendable(content=content, offset=instance.offset, size=instance.size)
            return
        with self._transcoder.transcoded(instance, syntax, lambda: self._wait(association)) as sendable:
            self._may_send()
            yield sendable

    def _wait(self, association: Association) -> None:
        """Called while an instance is transcoded: the peer must not take the association for dead."""
        self._claim.check()
        self._slice.renew()
        if any(sop_class == VERIFICATION for sop_class, _ in association.contexts.values()):
            association.echo()

    def _judge(self, index: str, size: int, status: int, *, is_transcoded: bool) -> str:
        outcome = meaning(status)
        if outcome == "unknown" and index in self._claim.facts.get("failed", {}) and self._tries >= UNKNOWN_TRIES:
            outcome = "refused"
        if outcome == "delivered":
            metrics.BYTES_SENT.labels(destination=self._destination).inc(size)
            metrics.INSTANCES_TRANSCODED.labels(destination=self._destination).inc(is_transcoded)
            self._answered("delivered", index, f"{status:04X}")
            return ""
        if outcome == "refused":
            self._answered("refused", index, text(status))
            return ""
        metrics.INSTANCES_SENT.labels(destination=self._destination, outcome=outcome).inc()
        return f"the destination answered {text(status)}"

    @property
    def _tries(self) -> int:
        return self._claim.state.tries

    def _damaged(self, index: str) -> None:
        self._answered("held", index, "the bytes on disk are not those that were stored")

    def _answered(self, outcome: str, index: str, why: str) -> None:
        metrics.INSTANCES_SENT.labels(destination=self._destination, outcome=outcome).inc()
        self._slice.add(outcome, index, why)
