"""One association: the instances that are left, one C-STORE each, with what was answered recorded slice by slice."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from consumers.sender.ahead import Ahead
from consumers.sender.statuses import meaning, text
from shared import metrics
from shared.dimse import Association, is_conformant_uid
from shared.errors import PeerAbortedError, TransientError
from shared.spool.parts import Instance
from shared.work import Claim

SLICE_INSTANCES, SLICE_SECONDS = 64, 1.0
CONTEXTS_AT_MOST = 128
UNKNOWN_TRIES = 5


class Slice:
    """What was answered since the last record.

    Args:
        claim: where it is recorded.
    """

    def __init__(self, claim: Claim) -> None:
        self._claim = claim
        self._facts: dict[str, dict[str, str]] = {}
        self._count = 0
        self._since = time.monotonic()

    def add(self, outcome: str, index: str, why: str) -> None:
        """Keep one answer; record the slice when it is full or old enough."""
        self._facts.setdefault(outcome, {})[index] = why
        self._count += 1
        if self._count >= SLICE_INSTANCES or time.monotonic() - self._since >= SLICE_SECONDS:
            self.record()

    def record(self) -> None:
        """Write what is kept, if anything."""
        facts, self._facts, self._count, self._since = self._facts, {}, 0, time.monotonic()
        if facts:
            self._claim.record(facts)


class Sending:
    """The instances of one delivery on one association.

    Args:
        claim: the delivery.
        destination: its name, for metrics.
        path_of: where a name of the spool lies.
        may_send: asked before every C-STORE; raises when another process owns the destination.
        pace: called with the bytes of each instance sent; waits as long as `max_rate` says.

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
    ) -> None:
        self._claim, self._destination, self._slice = claim, destination, Slice(claim)
        self._path_of, self._may_send, self._pace = path_of, may_send, pace
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
        ahead = Ahead((it for it in left.values() if _context(association, it) is not None), self._path_of)
        try:
            for index, instance in left.items():
                self._claim.check()
                self._may_send()
                if why := self._attempt(association, index, instance, ahead):
                    return why
            return ""
        finally:
            self._slice.record()

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
        context = _context(association, instance)
        if context is None:
            syntaxes = f"{instance.sop_class_uid} in {instance.transfer_syntax_uid}"
            self._answered("refused", index, f"the destination does not accept {syntaxes}")
            return ""
        content = ahead.take(instance)
        if content is None:
            self._damaged(index)
            return ""
        status = association.store(
            content,
            instance.offset,
            instance.size,
            context_id=context,
            sop_class_uid=instance.sop_class_uid,
            sop_instance_uid=instance.sop_instance_uid,
            meanwhile=ahead.read,
        )
        self.answered += 1
        self._pace(instance.size)
        return self._judge(index, instance, status)

    def _judge(self, index: str, instance: Instance, status: int) -> str:
        outcome = meaning(status)
        if outcome == "unknown" and index in self._claim.facts.get("failed", {}) and self._tries >= UNKNOWN_TRIES:
            outcome = "refused"
        if outcome == "delivered":
            metrics.BYTES_SENT.labels(destination=self._destination).inc(instance.size)
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


def _context(association: Association, instance: Instance) -> int | None:
    return association.accepted_context(instance.sop_class_uid, instance.transfer_syntax_uid)


class Pace:
    """Keeps an average rate over all associations: waits after each instance until it fits.

    Args:
        bytes_per_second: None for no limit.
        stopping: cuts a wait short.
        monotonic: the clock, in seconds; a parameter for tests.
    """

    def __init__(
        self,
        bytes_per_second: float | None,
        stopping: threading.Event,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rate, self._stopping, self._now = bytes_per_second, stopping, monotonic
        self._free_at = self._now()
        self._lock = threading.Lock()

    def __call__(self, size: int) -> None:
        """Wait for as long as so many bytes take."""
        if self._rate is not None:
            with self._lock:
                self._free_at = until = max(self._free_at, self._now()) + size / self._rate
            self._stopping.wait(max(0.0, until - self._now()))


def contexts_for(instances: Iterable[Instance]) -> list[tuple[str, list[str]]]:
    """Presentation contexts to propose: each SOP class in each stored transfer syntax, at most 128."""
    pairs = dict.fromkeys((it.sop_class_uid, it.transfer_syntax_uid) for it in instances)
    return [(sop_class, [transfer_syntax]) for sop_class, transfer_syntax in pairs][:CONTEXTS_AT_MOST]


def within(instances: Mapping[str, Instance], contexts: list[tuple[str, list[str]]]) -> dict[str, Instance]:
    """The instances that these contexts were proposed for; the others need another association."""
    proposed = {(sop_class, transfer_syntaxes[0]) for sop_class, transfer_syntaxes in contexts}
    return {i: it for i, it in instances.items() if (it.sop_class_uid, it.transfer_syntax_uid) in proposed}
