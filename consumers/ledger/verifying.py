"""Is the ledger what was entered: the chain of its days, the seals in the spool, the rows made of the entries."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Table, func, select

from consumers.ledger.book import FOLDED, Fold
from consumers.ledger.chain import Day, Entry, breaks_between, breaks_in
from consumers.ledger.folding import Row
from consumers.ledger.keeping import FOLDER
from consumers.ledger.patients import digest_of
from consumers.ledger.tables import days, entries, parts, patients
from shared.errors import StartError
from shared.spool.spool import Spool

_SOME = 200


@dataclass
class Verdict:
    """What was found.

    Attributes:
        days: days looked at.
        entries: entries looked at.
        newest: hash that the ledger ends with; write it down elsewhere, and nobody can make it anew unseen.
        problems: the first broken place of each day, and rows that are not what the entries make of them.
    """

    days: int = 0
    entries: int = 0
    newest: str = ""
    problems: list[str] = field(default_factory=list)


def verify(connection: Connection, spool: Spool, day: str = "") -> Verdict:
    """Look at one day's entries, or at everything.

    Args:
        connection: reading.
        spool: holds the seals.
        day: ISO 8601; empty: all days that are kept, and the rows.

    Raises:
        StartError: nothing is kept of that day.
    """
    # Before the first look into the database: a day is sealed when nothing more is entered in it.
    seals = {name.removesuffix(".json"): spool.read_json(f"{FOLDER}/{name}") or {} for name in spool.store.list(FOLDER)}
    heads = [Day(**row) for row in connection.execute(select(days).order_by(days.c.day)).mappings()]
    kept = [head.day for head in heads if not head.expired]
    if day and day not in kept and day not in seals:
        there = f"it has {kept[0]} to {kept[-1]}" if kept else "it is empty"
        raise StartError(f"nothing is kept of the day {day} in the ledger: {there}")
    verdict = Verdict(newest=heads[-1].hash if heads else "")
    verdict.problems += breaks_between(heads)
    verdict.problems += _seals_broken(heads, seals, day)
    for head in heads:
        if not head.expired and day in ("", head.day):
            verdict.days += 1
            verdict.entries += head.entries
            verdict.problems += breaks_in(head, _entries_of(connection, head.day))
    verdict.problems += _entries_without_day(connection)
    if not day:
        for table, fold in FOLDED.values():
            verdict.problems += _rows_broken(connection, table, fold)
        verdict.problems += _rows_missing(connection)
        verdict.problems += _patients_broken(connection)
    return verdict


def _entries_of(connection: Connection, day: str) -> Iterator[Entry]:
    query = select(entries).where(entries.c.day == day).order_by(entries.c.place)
    with connection.execute(query, execution_options={"yield_per": 1000}) as found:
        for row in found.mappings():
            yield Entry(**row)


def _seals_broken(heads: list[Day], seals: Mapping[str, Mapping[str, Any]], day: str) -> Iterator[str]:
    by_day = {head.day: head for head in heads}
    for of, sealed in seals.items():
        if day not in ("", of):
            continue
        head = by_day.get(of)
        if head is None:
            yield f"{of} was sealed with {sealed.get('entries')} entries and is not in the ledger"
        elif (head.entries, head.hash) != (sealed.get("entries"), sealed.get("hash")):
            yield f"{of} is not what was sealed in the spool ({sealed.get('entries')} entries): it was made anew"


def _entries_without_day(connection: Connection) -> Iterator[str]:
    query = select(entries.c.day).where(entries.c.day.not_in(select(days.c.day).where(days.c.expired.is_(False))))
    for day in connection.scalars(query.distinct()):
        yield f"{day} has entries and should have none"


def _rows_broken(connection: Connection, table: Table, fold: Fold) -> Iterator[str]:
    last = ""
    while rows := _next_rows(connection, table, last):
        last = rows[-1]["id"]
        accounts = _accounts(connection, [row["id"] for row in rows])
        for row in rows:
            if not accounts[row["id"]]:
                yield f"{table.name}: {row['id']} stands on no entry"
            elif accounts[row["id"]][0].get("n", 0) == 0 and row != _folded(fold, row["id"], accounts[row["id"]]):
                yield f"{table.name}: {row['id']} is not what its entries say"


def _next_rows(connection: Connection, table: Table, after: str) -> list[Row]:
    query = select(table).where(table.c.id > after).order_by(table.c.id).limit(_SOME)
    return [dict(row) for row in connection.execute(query).mappings()]


def _accounts(connection: Connection, units: list[str]) -> Mapping[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    query = select(entries.c.unit, entries.c.content).where(entries.c.unit.in_(units)).order_by(entries.c.n)
    for unit, content in connection.execute(query):
        found[unit].append(json.loads(content))
    return found


def _folded(fold: Fold, unit: str, accounts: list[dict[str, Any]]) -> Row | None:
    """What accounts make of a unit's row; None when they are none: the chain tells which of them is not."""
    row: Row | None = None
    try:
        for account in accounts:
            row = fold(row, unit, account)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return row


def _rows_missing(connection: Connection) -> Iterator[str]:
    for letter, (table, _) in FOLDED.items():
        of_kind = (entries.c.unit >= letter, entries.c.unit < chr(ord(letter) + 1), entries.c.n == 0)
        query = (
            select(entries.c.unit).outerjoin(table, table.c.id == entries.c.unit).where(*of_kind, table.c.id.is_(None))
        )
        for unit in connection.scalars(query.limit(_SOME)):
            yield f"{table.name}: {unit} is missing"


def _patients_broken(connection: Connection) -> Iterator[str]:
    first = select(entries.c.unit, entries.c.content).where(entries.c.n == 0, entries.c.kind.in_(_PART_KINDS))
    strangers = select(func.count()).select_from(patients).where(patients.c.part.not_in(select(parts.c.id)))
    if count := connection.scalar(strangers):
        yield f"patients: {count} of parts that are not in the ledger"
    query = first.add_columns(*patients.c).outerjoin(patients, patients.c.part == entries.c.unit)
    for row in connection.execute(query).mappings():
        digest = json.loads(row["content"]).get("patient", "")
        if digest != ("" if row["part"] is None else digest_of(dict(row))):
            yield f"patients: the row of {row['unit']} is not what was entered"


_PART_KINDS = ("received", "duplicate", "empty")
