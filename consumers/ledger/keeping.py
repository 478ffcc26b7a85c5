"""Days that are over: sealed in the spool, and forgotten after the retention.

seals/<day>.json    how many entries a day of the ledger had and the hash it ended with; made once, outside the database
"""

from datetime import date, timedelta

import structlog
from sqlalchemy import Connection, delete, func, select

from consumers.ledger.book import FOLDED
from consumers.ledger.tables import days, entries, patients
from shared.spool.spool import Spool

log = structlog.get_logger()
FOLDER = "seals"


def seal(connection: Connection, spool: Spool) -> None:
    """Write down, where the database's owner does not reach, how each day ended after which another has begun.

    Raises:
        StorageError: the disk refused.
    """
    sealed = {name.removesuffix(".json") for name in spool.store.list(FOLDER)}
    newest = select(func.max(days.c.day)).scalar_subquery()
    over = select(days.c.day, days.c.entries, days.c.hash).where(days.c.day < newest)
    for day, count, last in connection.execute(over.order_by(days.c.day)):
        if day not in sealed and spool.put_json(f"{FOLDER}/{day}.json", {"entries": count, "hash": last}):
            log.info("ledger_day_sealed", day=day, entries=count, hash=last)


def expire(connection: Connection, today: str, retention: timedelta) -> None:
    """Forget days older than the retention: their entries, and the rows of what has no entry left; their heads stay."""
    before = (date.fromisoformat(today) - max(retention, timedelta(days=1))).isoformat()
    old = select(days.c.day).where(days.c.day < before, days.c.expired.is_(False)).order_by(days.c.day)
    for day in connection.scalars(old).all():
        units = connection.scalars(select(entries.c.unit).where(entries.c.day == day).distinct()).all()
        connection.execute(delete(entries).where(entries.c.day == day))
        connection.execute(days.update().where(days.c.day == day).values(expired=True))
        for unit in units:
            _forget(connection, unit)
        log.info("ledger_day_expired", day=day)


def _forget(connection: Connection, unit: str) -> None:
    if (
        unit[0] not in FOLDED
        or connection.scalar(select(entries.c.n).where(entries.c.unit == unit).limit(1)) is not None
    ):
        return
    table, _ = FOLDED[unit[0]]
    connection.execute(delete(table).where(table.c.id == unit))
    connection.execute(delete(patients).where(patients.c.part == unit))
