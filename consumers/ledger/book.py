"""Entries are made here: appended to the chain and folded into the rows, in one transaction, each once."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Table, func, select

from consumers.ledger.chain import ORIGIN, Day, Entry, canonical, hash_of
from consumers.ledger.folding import Row, delivery_row, kind_of, part_row
from consumers.ledger.tables import days, deliveries, entries, parts, patients
from shared.spool.accounts import Account

Fold = Callable[[Row | None, str, Account], Row]
FOLDED: Mapping[str, tuple[Table, Fold]] = {"p": (parts, part_row), "d": (deliveries, delivery_row)}
"""By the first letter of a unit's id: the table that its accounts are folded into, and how."""


@dataclass(frozen=True, kw_only=True)
class News:
    """What is to be entered of one unit.

    Args:
        unit: its id.
        accounts: in the order of their numbers; those that the ledger has are passed over.
        kind: what happened; by the account's own words when empty.
        patient: the row of a part's patient, entered with it.
    """

    unit: str
    accounts: Iterable[Account]
    kind: str = ""
    patient: Mapping[str, str] | None = field(default=None, repr=False)


def enter(connection: Connection, news: Iterable[News], today: str, oldest: str = "") -> int:
    """Append what the ledger does not have; returns how many entries were made.

    Args:
        connection: inside a transaction that nobody else appends in.
        news: unit by unit.
        today: the relay's day; ISO 8601. Entries never go back to an earlier day than the newest.
        oldest: a unit that began before is over: when the ledger does not know it, it has forgotten it.
    """
    several = list(news)
    known = newest_of(connection, [one.unit for one in several])
    chain = _Chain(connection, today)
    for one in several:
        new = [account for account in one.accounts if account["n"] > known.get(one.unit, -1)]
        if one.unit not in known and new and new[0]["at"] < oldest:
            continue
        for account in new:
            chain.append(one.kind or kind_of(account), one.unit, account)
            known[one.unit] = account["n"]
        if new:
            _fold(connection, one.unit, new)
            if one.patient is not None and new[0]["n"] == 0:
                connection.execute(patients.insert().values(**one.patient))
    return chain.write()


def newest_of(connection: Connection, units: Iterable[str]) -> dict[str, int]:
    """The newest record of each unit that the ledger has; the others are absent."""
    newest: dict[str, int] = {}
    by_letter: dict[str, list[str]] = defaultdict(list)
    for unit in units:
        by_letter[unit[0]].append(unit)
    for letter, ids in by_letter.items():
        for some in _some(ids):
            if letter in FOLDED:
                table, _ = FOLDED[letter]
                query = select(table.c.id, table.c.n).where(table.c.id.in_(some))
            else:
                of = entries.c.unit
                query = select(of, func.max(entries.c.n)).where(of.in_(some)).group_by(of)
            newest.update((unit, n) for unit, n in connection.execute(query))
    return newest


def relay_day(now: datetime, zone: Any) -> str:
    """The relay's day at a moment, in its configured zone; ISO 8601."""
    return now.astimezone(zone).date().isoformat()


class _Chain:
    """The end of the chain, while entries are appended to it."""

    def __init__(self, connection: Connection, today: str) -> None:
        self._connection = connection
        last = connection.execute(select(days).order_by(days.c.day.desc()).limit(1)).mappings().first()
        self._day = Day(day=today, entries=0, begins=ORIGIN, hash=ORIGIN) if last is None else Day(**last)
        self._is_new = last is None
        if self._day.day < today:
            self._day, self._is_new = Day(day=today, entries=0, begins=self._day.hash, hash=self._day.hash), True
        self._place, self._hash = self._day.entries, self._day.hash
        self._new: list[Entry] = []

    def append(self, kind: str, unit: str, account: Account) -> None:
        self._place += 1
        entry = Entry(
            day=self._day.day, place=self._place, kind=kind, unit=unit, n=account["n"], at=account["at"],
            content=canonical(account),
        )  # fmt: skip
        self._hash = hash_of(entry, self._hash)
        self._new.append(Entry(**{**vars(entry), "hash": self._hash}))

    def write(self) -> int:
        if not self._new:
            return 0
        self._connection.execute(entries.insert(), [asdict(entry) for entry in self._new])
        head = {"entries": self._place, "hash": self._hash}
        if self._is_new:
            self._connection.execute(days.insert().values({**asdict(self._day), **head}))
        else:
            self._connection.execute(days.update().where(days.c.day == self._day.day).values(head))
        return len(self._new)


def _fold(connection: Connection, unit: str, accounts: Iterable[Account]) -> None:
    if unit[0] not in FOLDED:
        return
    table, fold = FOLDED[unit[0]]
    found = connection.execute(select(table).where(table.c.id == unit)).mappings().first()
    row = None if found is None else dict(found)
    for account in accounts:
        row = fold(row, unit, account)
    if row is None:
        return
    if found is None:
        connection.execute(table.insert().values(row))
    else:
        connection.execute(table.update().where(table.c.id == unit).values(row))


def _some(ids: list[str], count: int = 500) -> Iterable[list[str]]:
    """Few enough at a time for any database."""
    return (ids[k : k + count] for k in range(0, len(ids), count))
