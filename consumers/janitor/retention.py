"""What is over goes after a while: first a record that it is about to, then a tombstone, then the bytes, then the note.

Each step may be repeated, so that a crash in between leaves nothing half deleted for long. The record is the part's
next one: whoever wants to send the part again and makes it first has stopped the removal (`shared.spool.removal`).
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from itertools import count

import structlog

from consumers.janitor.deleting import delete_all
from shared.accounts.counting import words_of_delivery
from shared.errors import UNREADABLE, SupersededError
from shared.forms import rendition_id
from shared.spool.accounts import accounts_of_all
from shared.spool.closing import late_id
from shared.spool.commitments import received_name
from shared.spool.deliveries import order_from_json
from shared.spool.parts import Manifest, decided_deliveries, is_finished, read_manifest, read_part
from shared.spool.removal import begin, has_begun, last_change, outcome_of, tombstone
from shared.spool.spool import Spool
from shared.spool.units import Unit

log = structlog.get_logger()
_NOTHING = timedelta(0)


def expire(spool: Spool, retention: timedelta, is_short: Callable[[], bool] = lambda: False) -> int:
    """Delete the parts that have been finished for longer than `retention`; returns how many.

    Args:
        spool: the spool.
        retention: how long.
        is_short: whether the disk is short of room; while it is, the oldest finished parts go before their time.
    """
    last_day = (spool.now() - retention - timedelta(days=1)).date().isoformat()
    days = spool.store.list("done")
    gone = sum(_is_gone(spool, day, part, retention) for day in days if day <= last_day for part in _on(spool, day))
    for day in days:
        if not is_short():
            break
        for part_id in _oldest_first(spool, day):
            if is_short():
                gone += _is_gone(spool, day, part_id, _NOTHING)
    return gone


def _on(spool: Spool, day: str) -> list[str]:
    return spool.store.list(f"done/{day}")


def _oldest_first(spool: Spool, day: str) -> list[str]:
    """The parts that were finished on a day."""

    def changed(part_id: str) -> str:
        try:
            return last_change(spool, part_id).isoformat()
        except UNREADABLE:
            return ""

    return sorted(_on(spool, day), key=changed)


def _is_gone(spool: Spool, day: str, part_id: str, retention: timedelta) -> bool:
    """Whether a part could be deleted; one whose records are damaged stays, and keeps none of the others."""
    try:
        return _expire_part(spool, part_id, f"done/{day}/{part_id}", retention)
    except UNREADABLE as error:
        log.error("not_expired", part=part_id, error=type(error).__name__)
        return False


def _has_late_part(spool: Spool, part_id: str) -> bool:
    """Whether a late part is left, whose instances lie in this one."""
    for k in count(1):
        late = late_id(part_id, k)
        if read_part(spool, late) is not None:
            return True
        if spool.store.read(tombstone(late)) is None:
            break
    return False


def _expire_part(spool: Spool, part_id: str, note: str, retention: timedelta) -> bool:
    if _has_late_part(spool, part_id) or not _may_go(spool, part_id, retention):
        return False
    if spool.store.read(tombstone(part_id)) is None:
        spool.put_json(tombstone(part_id), _epitaph(spool, part_id))
    for delivery in decided_deliveries(spool, part_id) or ():
        _delete_delivery(spool, delivery)
    delete_all(spool, f"damaged/{part_id}")
    part = read_part(spool, part_id)
    if part is not None:
        spool.store.delete(received_name(part))
    delete_all(spool, f"parts/{part_id}")
    spool.store.delete(note)
    log.info("expired", part=part_id)
    return True


def _may_go(spool: Spool, part_id: str, retention: timedelta) -> bool:
    """Whether the removal has begun; begins it when everything is final for long enough and nobody was faster."""
    if has_begun(spool, part_id):
        return True
    state = spool.parts.newest(part_id)
    if state is None or not is_finished(spool, part_id):
        log.error("not_finished_after_all", part=part_id)
        return False
    if not spool.lapsed(last_change(spool, part_id), retention):
        return False
    try:
        begin(spool, part_id, state)
        if is_finished(spool, part_id):
            return True
        # Somebody made work of it and no record in its own series: it goes on as if nothing had begun.
        log.error("not_removed", part=part_id, why="work was made of it meanwhile")
        spool.parts.append(part_id, replace(state, n=state.n + 2, at=spool.now(), facts={}))
    except SupersededError:
        log.info("kept", part=part_id)
    return False


def _epitaph(spool: Spool, part_id: str) -> dict[str, object]:
    part, manifest = read_part(spool, part_id), read_manifest(spool, part_id)
    state = spool.parts.newest(part_id)
    units = [spool.deliveries.load(delivery) for delivery in decided_deliveries(spool, part_id) or ()]
    return {
        "part": part_id,
        "source": part.source if part else "",
        "opened_at": part.opened_at.isoformat() if part else "",
        "removed_at": spool.now().isoformat(),
        "outcome": outcome_of(state) if state else "",
        "instances": len(manifest.instances) if manifest else 0,
        "duplicates": len(manifest.duplicates) if manifest else 0,
        "deliveries": [_line(unit, manifest) for unit in units if unit is not None],
        "units": accounts_of_all(spool, part_id),
    }


def _line(unit: Unit, manifest: Manifest | None) -> dict[str, object]:
    counts = words_of_delivery(unit.state, unit.facts, len(manifest.instances) if manifest else 0)
    return {
        "id": unit.id,
        "destination": unit.order["destination"],
        "outcome": unit.state.outcome,
        "counts": dict(counts),
    }


def _delete_delivery(spool: Spool, delivery: str) -> None:
    unit = spool.deliveries.outline(delivery)
    if unit is not None:
        order = order_from_json(unit.order)
        delete_all(spool, f"renditions/{rendition_id(order.part, order.form)}")
    delete_all(spool, f"deliveries/{delivery}")
