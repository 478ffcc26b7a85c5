"""How fast the spool's disk fills: free bytes noted every few minutes, and where the trend of the last hours leads.

disk/<time>.json     the free bytes then; older ones than WINDOW go
"""

from datetime import UTC, datetime, timedelta
from statistics import linear_regression

from shared.spool.spool import Spool

EVERY = timedelta(minutes=5)
WINDOW = timedelta(hours=3)
_AT_LEAST = timedelta(minutes=20)
_FORM = "%Y%m%dT%H%M%S.json"


def note(spool: Spool, free: int) -> bool:
    """Note how many bytes are free, if the last note is long enough ago; False when it is not.

    Raises:
        StorageError: the disk refused.
    """
    now, names = spool.now().astimezone(UTC), spool.store.list("disk")
    if names and timedelta(0) <= now - _moment(names[-1]) < EVERY:
        return False
    spool.put_json(f"disk/{now.strftime(_FORM)}", {"free": free})
    for name in names:
        if not timedelta(0) <= now - _moment(name) <= WINDOW:
            spool.store.delete(f"disk/{name}")
    return True


def bytes_per_second(spool: Spool) -> float | None:
    """How fast the disk fills, negative when it empties; None while there are too few notes to tell."""
    found = [(_moment(name).timestamp(), spool.read_json(f"disk/{name}")) for name in spool.store.list("disk")]
    notes = [(moment, content["free"]) for moment, content in found if content is not None]
    if not notes or notes[-1][0] - notes[0][0] < _AT_LEAST.total_seconds():
        return None
    return -linear_regression([moment for moment, _ in notes], [free for _, free in notes]).slope


def full_in(free: int, floor: int, rate: float | None) -> timedelta | None:
    """When `free` bytes have become `floor` at a rate in bytes a second; None when they will not, or not for years."""
    if rate is None or rate <= 0:
        return None
    days = max(0, free - floor) / rate / 86_400
    return timedelta(days=days) if days < 3650 else None


def _moment(name: str) -> datetime:
    return datetime.strptime(name, _FORM).replace(tzinfo=UTC)
