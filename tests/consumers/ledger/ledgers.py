"""Ledgers fed from prepared spools, for tests of what they hold."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import select

from consumers.ledger.database import Database, database_of
from consumers.ledger.feeding import Feeder
from consumers.ledger.queries import Question, studies
from consumers.ledger.tables import entries
from consumers.ledger.verifying import Verdict, verify
from shared.config import Config
from shared.spool.accounts import accounts_of_delivery, accounts_of_part
from shared.spool.spool import Spool


@dataclass
class Ledger:
    """The ledger of one relay."""

    config: Config
    spool: Spool
    database: Database = field(init=False)

    def __post_init__(self) -> None:
        self.database = database_of(self.config)

    def fed(self, *, full: bool = True) -> None:
        """Enters all that the spool knows, as the worker does at its start or in a round."""
        Feeder(self.spool, self.config, self.database).catch_up(full=full)

    def rows(self, *kinds: str) -> list[dict[str, Any]]:
        """Entries in the order they were made."""
        query = select(entries).order_by(entries.c.day, entries.c.place)
        with self.database.reading() as connection:
            found = [dict(row) for row in connection.execute(query).mappings()]
        return [row for row in found if not kinds or row["kind"] in kinds]

    def units(self) -> set[tuple[str, int]]:
        """Every record of a part or delivery that was entered; each once."""
        found = [(row["unit"], row["n"]) for row in self.rows() if row["unit"][0] in "pd"]
        assert len(found) == len(set(found))
        return set(found)

    def asked(self, **question: str) -> list[dict[str, Any]]:
        """Parts that answer a question."""
        with self.database.reading() as connection:
            return studies(connection, Question(**question))

    def verdict(self, day: str = "") -> Verdict:
        """Whether it is what was entered."""
        with self.database.reading() as connection:
            return verify(connection, self.spool, day)

    def execute(self, statement: Any) -> None:
        """Somebody works on the database directly."""
        with self.database.appending() as connection:
            connection.execute(statement)


def in_spool(spool: Spool) -> set[tuple[str, int]]:
    """Every record that parts and deliveries have in the spool."""
    parts = {(part, it["n"]) for part in spool.parts.ids() for it in accounts_of_part(spool, part)}
    return parts | {(unit, it["n"]) for unit in spool.deliveries.ids() for it in accounts_of_delivery(spool, unit)}


def file_of(config: Config) -> Path:
    return config.relay.data_dir / "ledger.sqlite"
