"""The database's version: numbered steps, each taken once; a newer database than the program is refused.

Source: ADR 0013.
"""

from collections.abc import Callable

from sqlalchemy import Connection, inspect, select

from consumers.ledger.tables import metadata, schema
from shared.errors import StartError

Step = Callable[[Connection], None]


def _first(connection: Connection) -> None:
    """Version 1: every table as `tables` has it."""
    metadata.create_all(connection)


# Append only; a step is never changed once a version with it was released. A later step alters what these made.
STEPS: tuple[Step, ...] = (_first,)


def version_of(connection: Connection) -> int:
    """The database's version; 0 when there is nothing in it."""
    if not inspect(connection).has_table(schema.name):
        return 0
    return int(connection.execute(select(schema.c.version)).scalar_one())


def check(connection: Connection, place: str) -> int:
    """The database's version, when this program understands it.

    Raises:
        StartError: it is newer.
    """
    version = version_of(connection)
    if version > len(STEPS):
        raise StartError(
            f"the ledger {place} has version {version}, this program knows up to {len(STEPS)}: install the newer "
            "dcmrelay again, or move the ledger aside and a new one is filled from the spool"
        )
    return version


def bring_up(connection: Connection, place: str) -> None:
    """Take the steps that a database lacks, in the caller's transaction. Raises as `check`."""
    version = check(connection, place)
    if version == len(STEPS):
        return
    for step in STEPS[version:]:
        step(connection)
    connection.execute(schema.delete())
    connection.execute(schema.insert().values(version=len(STEPS)))
