"""Optional copies never fill the disk: beyond [spool] optional_max the oldest that are not delivered become `failed`.

What counts is what lies there for optional copies only: a part that a primary destination still waits for does not.
"""

from collections import defaultdict
from collections.abc import Mapping

import structlog

from shared import metrics
from shared.errors import UNREADABLE, StorageError, SupersededError
from shared.spool import states
from shared.spool.deliveries import active_deliveries, marker, order_from_json
from shared.spool.parts import read_manifest
from shared.spool.renditions import chunks, read_proofs
from shared.spool.spool import Spool
from shared.spool.units import Unit

log = structlog.get_logger()
_WHY = "optional copies that wait held more of the disk than [spool] optional_max"


class OptionalCopies:
    """Looks at what waits for optional destinations.

    Args:
        spool: the spool.
    """

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._sizes: dict[str, int] = {}

    def bound(self, most: int) -> int:
        """Fail the oldest ones until the rest holds `most` bytes; returns how many bytes were held before."""
        parts = _only_optional(self._unfinished())
        self._sizes = {part: self._sizes.get(part) or self._size(units) for part, units in parts.items()}
        held = left = sum(self._sizes.values())
        for part, units in sorted(parts.items(), key=lambda found: min(unit.made_at for unit in found[1])):
            if left <= most:
                break
            failed = [self._fail(unit) for unit in units]
            left -= self._sizes[part] if all(failed) else 0
        return held

    def _unfinished(self) -> list[Unit]:
        found = (self._outline(delivery) for delivery in active_deliveries(self._spool))
        return [unit for unit in found if unit is not None and unit.state.status != "final"]

    def _outline(self, delivery: str) -> Unit | None:
        try:
            return self._spool.deliveries.outline(delivery)
        except UNREADABLE:
            return None  # counted by the sweep

    def _size(self, units: list[Unit]) -> int:
        """Bytes of a part, and of its renditions as far as they are made."""
        orders = [order_from_json(unit.order) for unit in units]
        try:
            manifest = read_manifest(self._spool, orders[0].part)
            if manifest is None:
                return 0
            size = sum(instance.size for instance in manifest.instances)
            for form in {order.form for order in orders if order.form.kind != "received"}:
                proofs = (read_proofs(self._spool, orders[0].part, form, chunk) or () for chunk in chunks(manifest))
                size += sum(proof.made.size for chunk in proofs for proof in chunk if proof.made is not None)
        except UNREADABLE:
            return 0
        return size

    def _fail(self, unit: Unit) -> bool:
        """Make a delivery that waits, or is a dead letter, final; one that is being worked on stays."""
        if unit.state.status == "working":
            return False
        try:
            self._spool.deliveries.append(unit.id, states.failed(unit.state, now=self._spool.now(), why=_WHY))
            self._spool.store.delete(marker(unit.id))
        except (SupersededError, StorageError):
            return False
        destination = str(unit.order["destination"])
        metrics.DELIVERIES.labels(destination=destination, outcome="failed").inc()
        log.warning("optional_copy_failed", delivery=unit.id, destination=destination, why=_WHY)
        return True


def _only_optional(units: list[Unit]) -> Mapping[str, list[Unit]]:
    """Parts whose unfinished deliveries are all optional, with these."""
    parts: dict[str, list[Unit]] = defaultdict(list)
    for unit in units:
        parts[str(unit.order["part"])].append(unit)
    return {part: found for part, found in parts.items() if all(unit.order.get("optional") for unit in found)}
