"""What killed processes and damaged disks leave: found, counted, cleared when that is surely safe, else put right.

Looked for once a day, since it costs by history. Nothing is cleared that is younger than a day, nor anything that
holds an instance of a part: such a folder is only counted, for a person to look at.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial

import structlog

from consumers.janitor.deleting import delete_all
from shared.errors import UNREADABLE
from shared.forms import rendition_id
from shared.spool.commitments import active_commitments
from shared.spool.commitments import marker as commitment_marker
from shared.spool.deliveries import active_deliveries, marker, order_from_json
from shared.spool.known import lapsed_studies, notes_without_part
from shared.spool.last_choices import lapsed_patients
from shared.spool.parts import active_parts, is_finished, read_part
from shared.spool.pins import is_over, study_pins
from shared.spool.removal import tombstone
from shared.spool.runs import is_running
from shared.spool.spool import Spool

log = structlog.get_logger()
GRACE = timedelta(days=1)
KINDS = ("draft", "run", "pin", "known", "rendition", "marker", "unlisted", "folder")
"""Temporary files, runs, pins, what is known of studies, renditions, markers that belong to nothing; units without
marker; folders that are no unit."""


def clear_orphans(spool: Spool, follow: timedelta) -> Counter[str]:
    """Look for all of them; returns how many were found, by kind.

    Args:
        spool: the spool.
        follow: how long a pin is followed.
    """
    found = Counter[str]()
    looks: tuple[tuple[str, Callable[[], int]], ...] = (
        ("draft", partial(_drafts, spool)),
        ("run", partial(_runs, spool)),
        ("pin", partial(_pins, spool, follow)),
        ("known", partial(_known, spool, follow)),
        ("rendition", partial(_renditions, spool)),
        ("marker", partial(_markers, spool)),
        ("unlisted", partial(_unlisted, spool)),
        ("folder", partial(_folders, spool)),
    )
    for kind, look in looks:
        try:
            found[kind] = look()
        except UNREADABLE as error:
            log.error("not_looked_for", orphan=kind, error=type(error).__name__)
        if found[kind]:
            log.warning("orphans", kind=kind, count=found[kind])
    return found


def is_old(spool: Spool, name: str) -> bool:
    """Whether nothing was changed at a name, or in a folder, for a day; False when it is gone."""
    try:
        changed = spool.store.path(name).stat().st_mtime
    except FileNotFoundError:
        return False
    return spool.lapsed(datetime.fromtimestamp(changed, UTC), GRACE)


def _drafts(spool: Spool) -> int:
    """Of processes that were on this machine before it was started anew, or in another container.

    Nobody writes a draft for a day without a byte: time limits end that. Losing one is answered with a failure at most.
    """
    old = [name for name in spool.store.list("tmp") if is_old(spool, f"tmp/{name}")]
    for name in old:
        spool.store.path(f"tmp/{name}").unlink(missing_ok=True)
    return len(old)


def _runs(spool: Spool) -> int:
    """A run that ended reads the same with its beats and without."""
    over = [run for run in spool.store.list("runs") if is_old(spool, f"runs/{run}") and not is_running(spool, run)]
    for run in over:
        delete_all(spool, f"runs/{run}")
    return len(over)


def _pins(spool: Spool, follow: timedelta) -> int:
    """Pins that bind nobody any more, of studies of which nothing is under way that might be pinned just now."""
    cleared = 0
    for study in spool.store.list("pins"):
        folder = f"pins/{study}"
        if is_over(spool, folder, follow + GRACE) and folder not in set(_studies_under_way(spool)):
            delete_all(spool, folder)
            cleared += 1
    return cleared


def _known(spool: Spool, follow: timedelta) -> int:
    """What was known of studies and patients longer ago than it counts, and notes about parts that are gone."""
    over = [*lapsed_studies(spool, follow + GRACE), *lapsed_patients(spool, follow + GRACE)]
    for folder in over:
        delete_all(spool, folder)
    notes = [name for name in notes_without_part(spool) if is_old(spool, name)]
    for name in notes:
        spool.store.delete(name)
    return len(over) + len(notes)


def _studies_under_way(spool: Spool) -> Iterator[str]:
    for part_id in active_parts(spool):
        part = read_part(spool, part_id)
        if part is not None:
            yield study_pins(part.study_instance_uid, part.called_ae_title)


def _renditions(spool: Spool) -> int:
    """Renditions that no delivery asks for; a delivery whose order cannot be read ends the search."""
    there = spool.store.list("renditions")
    wanted = set()
    for delivery in spool.deliveries.ids() if there else ():
        unit = spool.deliveries.outline(delivery)
        if unit is not None:
            order = order_from_json(unit.order)
            wanted.add(rendition_id(order.part, order.form))
    over = [it for it in there if it not in wanted and is_old(spool, f"renditions/{it}")]
    for rendition in over:
        delete_all(spool, f"renditions/{rendition}")
    return len(over)


def _markers(spool: Spool) -> int:
    """Markers of what its maker was killed before it made; who comes to make it makes the marker anew."""
    parts = [
        f"active/parts/{study}/{part}"
        for study in spool.store.list("active/parts")
        for part in spool.store.list(f"active/parts/{study}")
        if not spool.store.list(f"parts/{part}")
    ]
    deliveries = [marker(it) for it in active_deliveries(spool) if not spool.store.list(f"deliveries/{it}")]
    asked = [commitment_marker(it) for it in active_commitments(spool) if not spool.store.list(f"commitments/{it}")]
    old = [name for name in (*parts, *deliveries, *asked) if is_old(spool, name)]
    for name in old:
        spool.store.delete(name)
    return len(old)


def _is_over(spool: Spool, part_id: str, noted: Collection[str]) -> bool:
    """Whether a part is noted as finished, and nobody made new work of it since."""
    state = spool.parts.newest(part_id) if part_id in noted else None
    return state is not None and state.status == "final"


def _unlisted(spool: Spool) -> int:
    """Units that are not over and that no sweep sees, for want of a marker, get one; removed parts, their note."""
    active = {*active_parts(spool), *active_deliveries(spool)}
    noted = {part for day in spool.store.list("done") for part in spool.store.list(f"done/{day}")}
    found = 0
    for part_id in spool.parts.ids():
        part = None if part_id in active or _is_over(spool, part_id, noted) else read_part(spool, part_id)
        if spool.store.path(tombstone(part_id)).exists():
            found += spool.store.put_new(f"done/{spool.now():%Y-%m-%d}/{part_id}", b"") if part_id not in noted else 0
        elif part is not None and (
            part_id in noted or is_finished(spool, part_id) or is_old(spool, f"parts/{part_id}")
        ):
            found += spool.store.put_new(part.marker, b"")
    for delivery in set(spool.deliveries.ids()) - active:
        state = spool.deliveries.newest(delivery)
        if state is not None and state.status != "final":
            found += spool.store.put_new(marker(delivery), b"")
    return found


def _folders(spool: Spool) -> int:
    """Folders of parts that nothing says anything about; they may hold instances, so they stay."""
    strange = [
        part
        for part in spool.parts.ids()
        if spool.store.list(f"parts/{part}")
        and read_part(spool, part) is None
        and not spool.store.path(tombstone(part)).exists()
        and is_old(spool, f"parts/{part}")
    ]
    for part in strange:
        log.error(
            "strange_folder", folder=f"parts/{part}", remedy="it has no part.json; look at it, the disk lost records"
        )
    return len(strange)
