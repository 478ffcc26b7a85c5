"""Reads every stored instance again, slowly, round after round: what rotted on disk is found before it is needed.

scrub/<n>.json     the part that was looked at last; a round goes on there after a restart

Nothing is sent without its hash being checked right before, so the scrubber only finds sooner what would be found
then: while a person can still have the source send it again.
"""

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import structlog

from shared import metrics
from shared.errors import UNREADABLE, SupersededError
from shared.forms import Form, rendition_id
from shared.spool.damage import DAMAGED, note_damage
from shared.spool.deliveries import order_from_json
from shared.spool.parts import Instance, decided_deliveries, is_damage, read_manifest
from shared.spool.removal import has_begun
from shared.spool.renditions import chunks, read_proofs
from shared.spool.spool import Spool

log = structlog.get_logger()
Pace = Callable[[int], None]
Stored = tuple[int, Instance, Form | None]
_ANSWERS = ("delivered", "elsewhere", "dropped", "refused", "held")
_BLOCK = 1 << 20
_REMEMBER_SECONDS = 30.0
_ROUND_SECONDS = 3600.0


class Scrubber:
    """Looks at one file after the other.

    Args:
        spool: the spool.
        pace: called with the bytes of each block read; waits as long as the rate says.
        stopping: ends a round early.
    """

    def __init__(self, spool: Spool, pace: Pace, stopping: threading.Event) -> None:
        self._spool, self._pace, self._stopping = spool, pace, stopping
        self._remembered = time.monotonic()

    def run_until_stopped(self) -> None:
        """Round after round, at most one an hour."""
        while not self._stopping.is_set():
            begun = time.monotonic()
            try:
                self.go_round()
            except UNREADABLE as error:
                log.error("not_scrubbed", error=type(error).__name__)
            self._stopping.wait(max(60.0, begun + _ROUND_SECONDS - time.monotonic()))

    def go_round(self) -> None:
        """Look at every part after the one that was looked at last; the next round begins anew."""
        last = self._last()
        for part_id in self._spool.parts.ids():
            if self._stopping.is_set():
                return
            if part_id <= last:
                continue
            try:
                self._look_at(part_id)
            except UNREADABLE as error:
                log.error("not_scrubbed", part=part_id, error=type(error).__name__)
            if time.monotonic() - self._remembered >= _REMEMBER_SECONDS:
                self._remember(part_id)
        self._remember("")

    def _look_at(self, part_id: str) -> None:
        if has_begun(self._spool, part_id):
            return
        for index, instance, form in self._stored(part_id):
            if self._stopping.is_set():
                return
            # Twice: a disk may refuse once. And not when it is being deleted under us.
            if not (self._is_intact(instance) or self._is_intact(instance) or has_begun(self._spool, part_id)):
                self._found_damaged(part_id, index, instance, form)

    def _stored(self, part_id: str) -> Iterator[Stored]:
        """The part's instances as received, then those of its renditions; without what was damaged from the start."""
        manifest = read_manifest(self._spool, part_id)
        if manifest is None:
            return
        yield from ((k, it, None) for k, it in enumerate(manifest.instances) if it.sop_class_uid)
        for form in {rendition_id(part_id, form): form for form in self._forms(part_id)}.values():
            for chunk in chunks(manifest):
                for proof in read_proofs(self._spool, part_id, form, chunk) or ():
                    if proof.made is not None:
                        yield proof.index, proof.made, form

    def _forms(self, part_id: str) -> Iterator[Form]:
        for delivery in decided_deliveries(self._spool, part_id) or ():
            unit = self._spool.deliveries.outline(delivery)
            if unit is not None and (form := order_from_json(unit.order).form).kind != "received":
                yield form

    def _is_intact(self, instance: Instance) -> bool:
        digest = hashlib.sha256()
        try:
            with self._spool.store.path(instance.file).open("rb") as file:
                # From the disk, not from memory; and nobody else's pages are driven out for it.
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                file.seek(instance.offset)
                while block := file.read(_BLOCK):
                    digest.update(block)
                    metrics.SCRUBBED.inc(len(block))
                    self._pace(len(block))
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        except OSError as error:
            return not is_damage(error)  # out of reach for the moment: the next round reads it
        return digest.hexdigest() == instance.sha256

    def _found_damaged(self, part_id: str, index: int, instance: Instance, form: Form | None) -> None:
        if note_damage(self._spool, part_id, instance.file, index):
            log.error(
                "damaged", part=part_id, file=instance.file, remedy="check the disk; have its source send it again"
            )
        if form is None:
            for delivery in decided_deliveries(self._spool, part_id) or ():
                self._hold(delivery, str(index))

    def _hold(self, delivery: str, index: str) -> None:
        """Put on a waiting delivery's record that the instance is held, unless it is answered or not to be sent.

        Where the delivery is being worked on, or has another form, the sender finds it by itself: it checks each hash.
        """
        unit = self._spool.deliveries.load(delivery)
        if unit is None or (unit.state.status, unit.state.stage) != ("waiting", "send"):
            return
        order = order_from_json(unit.order)
        if order.form.kind != "received" or int(index) in order.excluded:
            return
        if any(index in unit.facts.get(word, {}) for word in _ANSWERS):
            return
        # Of the newest record's facts only that it waits for a pause to end: answers would be counted twice,
        # and a second `replayed` would forget what was held since the first.
        facts = {key: value for key, value in unit.state.facts.items() if key == "paused"}
        facts["held"] = {index: DAMAGED}
        held = replace(unit.state, n=unit.state.n + 1, at=self._spool.now(), facts=facts, by="")
        try:
            self._spool.deliveries.append(delivery, held)
        except SupersededError:
            log.debug("superseded", unit=delivery)

    def _last(self) -> str:
        names = self._spool.store.list("scrub")
        facts = self._spool.read_json(f"scrub/{names[-1]}") if names else None
        return str(facts["after"]) if facts else ""

    def _remember(self, part_id: str) -> None:
        self._remembered = time.monotonic()
        names = self._spool.store.list("scrub")
        number = 1 + (int(names[-1].removesuffix(".json")) if names else 0)
        self._spool.put_json(f"scrub/{number:012}.json", {"after": part_id})
        for name in names:
            self._spool.store.delete(f"scrub/{name}")
