"""The hash chain: each entry's hash covers what it says and the hash before it. No I/O, no clock, no globals.

An entry that was changed, taken out or put in breaks its day at that place. Days are chained too: a day begins with the
hash that the day before ended with. Source: ADR 0013.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

ORIGIN = "0" * 64
"""What the first day of a ledger begins with."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One thing that happened, as it stands in the ledger.

    Args:
        day: the relay's day on which it was entered; ISO 8601.
        place: its number within the day, from 1.
        kind: what happened: `ordered`, `attempt`, `dead letter`, `replayed`, ...
        unit: whose record it is: a part, a delivery, a configuration, a refused caller, a search.
        n: number of the record within the unit.
        at: when it happened.
        content: canonical JSON.
        hash: of all this and the hash before; hex.
    """

    day: str
    place: int
    kind: str
    unit: str
    n: int
    at: str
    content: str
    hash: str = ""


@dataclass(frozen=True, kw_only=True)
class Day:
    """A day's head: how many entries it has, what it begins and ends with."""

    day: str
    entries: int
    begins: str
    hash: str
    expired: bool = False


def canonical(content: Mapping[str, Any]) -> str:
    """JSON in the one way it is hashed: keys sorted, no spaces, ASCII."""
    return json.dumps(content, separators=(",", ":"), sort_keys=True)


def hash_of(entry: Entry, before: str) -> str:
    """The hash of an entry that follows the one with the hash `before`."""
    said = (before, entry.day, entry.place, entry.kind, entry.unit, entry.n, entry.at, entry.content)
    return hashlib.sha256(json.dumps(said, separators=(",", ":")).encode()).hexdigest()


def breaks_in(day: Day, entries: Iterable[Entry]) -> Iterator[str]:
    """The first thing that is wrong with a day's entries, in words; nothing when they stand as they were entered.

    Args:
        day: its head.
        entries: those of the day, by place.
    """
    before, place = day.begins, 0
    for entry in entries:
        place += 1
        if entry.place != place:
            yield f"entry {place} of {day.day} is missing"
            return
        if entry.hash != hash_of(entry, before):
            yield f"entry {place} of {day.day} ({entry.kind} of {entry.unit}) is not what was entered"
            return
        before = entry.hash
    if (place, before) != (day.entries, day.hash):
        yield f"{day.day} has {place} entries and not the {day.entries} it was closed with, or another end"


def breaks_between(days: Iterable[Day]) -> Iterator[str]:
    """Where a day does not begin with what the day before ended with."""
    before: Day | None = None
    for day in days:
        if before is not None and day.begins != before.hash:
            yield f"{day.day} does not begin where {before.day} ended: a day is missing, or was made anew"
        before = day
