"""What is over goes after a while: first a tombstone that says what it was, then the bytes, then the note of its day.

Each step may be repeated, so that a crash in between leaves nothing half deleted for long.
"""

from datetime import timedelta
from itertools import count

import structlog

from shared.errors import UNREADABLE
from shared.forms import rendition_id
from shared.spool.closing import late_id
from shared.spool.deliveries import order_from_json
from shared.spool.parts import decided_deliveries, is_finished, read_manifest, read_part
from shared.spool.spool import Spool

log = structlog.get_logger()


def expire(spool: Spool, retention: timedelta) -> int:
    """Delete the parts that have been finished for longer than `retention`; returns how many."""
    last_day = (spool.now() - retention - timedelta(days=1)).date().isoformat()
    days = [day for day in spool.store.list("done") if day <= last_day]
    return sum(_is_gone(spool, part_id, day) for day in days for part_id in spool.store.list(f"done/{day}"))


def _is_gone(spool: Spool, part_id: str, day: str) -> bool:
    """Whether a part could be deleted; one whose records are damaged stays, and keeps none of the others."""
    try:
        return _expire_part(spool, part_id, f"done/{day}/{part_id}")
    except UNREADABLE as error:
        log.error("not_expired", part=part_id, error=type(error).__name__)
        return False


def _has_late_part(spool: Spool, part_id: str) -> bool:
    """Whether a late part is left, whose instances lie in this one."""
    for k in count(1):
        late = late_id(part_id, k)
        if read_part(spool, late) is not None:
            return True
        if spool.store.read(f"tombstones/{late}.json") is None:
            break
    return False


def _expire_part(spool: Spool, part_id: str, note: str) -> bool:
    if _has_late_part(spool, part_id):
        return False
    if spool.store.read(f"tombstones/{part_id}.json") is None:
        if not is_finished(spool, part_id):
            log.error("not_finished_after_all", part=part_id)
            return False
        spool.put_json(f"tombstones/{part_id}.json", _epitaph(spool, part_id))
    for delivery in decided_deliveries(spool, part_id) or ():
        _delete_delivery(spool, delivery)
    _delete_all(spool, f"parts/{part_id}")
    spool.store.delete(note)
    log.info("expired", part=part_id)
    return True


def _epitaph(spool: Spool, part_id: str) -> dict[str, object]:
    part, manifest = read_part(spool, part_id), read_manifest(spool, part_id)
    units = [spool.deliveries.load(delivery) for delivery in decided_deliveries(spool, part_id) or ()]
    return {
        "part": part_id,
        "source": part.source if part else "",
        "opened_at": part.opened_at.isoformat() if part else "",
        "instances": len(manifest.instances) if manifest else 0,
        "deliveries": [
            {"id": unit.id, "destination": unit.order["destination"], "outcome": unit.state.outcome}
            for unit in units
            if unit is not None
        ],
    }


def _delete_delivery(spool: Spool, delivery: str) -> None:
    unit = spool.deliveries.load(delivery)
    if unit is not None:
        order = order_from_json(unit.order)
        _delete_all(spool, f"renditions/{rendition_id(order.part, order.form)}")
    _delete_all(spool, f"deliveries/{delivery}")


def _delete_all(spool: Spool, folder: str) -> None:
    """Delete everything below a folder, highest names first: what the others are found by goes last."""
    for name in reversed(spool.store.list(folder)):
        path = f"{folder}/{name}"
        if spool.store.path(path).is_dir():
            _delete_all(spool, path)
        else:
            spool.store.delete(path)
