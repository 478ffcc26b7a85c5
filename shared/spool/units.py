"""Units of work as series of records: the highest number is what is true, and who makes the next number has won."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.errors import StorageError, SupersededError
from shared.spool.states import State, Status, from_json, to_json
from shared.spool.store import Store

_RECORD = re.compile(r"(\d{8})\.json")


@dataclass(frozen=True, kw_only=True)
class Unit:
    """A part or delivery as it stands.

    Args:
        id: its id.
        order: what it is and what is to be done; never changes.
        state: its newest record.
        made_at: when record 0 was written.
        facts: what its records added, merged in their order: a mapping inside grows, anything else is replaced.
    """

    id: str
    order: Mapping[str, Any]
    state: State
    made_at: datetime
    facts: Mapping[str, Any]


class Units:
    """The units of one kind, below one folder of the spool (`parts`, `deliveries`)."""

    def __init__(self, store: Store, folder: str) -> None:
        self._store = store
        self.folder = folder

    def create(self, unit: str, order: Mapping[str, Any], state: State) -> bool:
        """Make a unit, whole: its record 0 holds the order too. False when it was there before."""
        return self._put(unit, {"order": order, **to_json(state)}, state.n)

    def newest(self, unit: str) -> State | None:
        """The newest record, or None when there is no such unit."""
        numbers = self._numbers(unit)
        return from_json(self._read(unit, numbers[-1])) if numbers else None

    def load(self, unit: str) -> Unit | None:
        """A unit with all that its records say, or None when there is none."""
        records = [self._read(unit, n) for n in self._numbers(unit)]
        if not records:
            return None
        states = [from_json(record) for record in records]
        return Unit(id=unit, order=records[0]["order"], state=states[-1], made_at=states[0].at, facts=merged(states))

    def outline(self, unit: str, status: Status | None = None) -> Unit | None:
        """A unit without its facts: two records are read, however many it has.

        Args:
            unit: its id.
            status: only if it is in this one, else None; of the others one record is read.
        """
        numbers = self._numbers(unit)
        if not numbers:
            return None
        newest = self._read(unit, numbers[-1])
        if status not in (None, newest["status"]):
            return None
        first = newest if len(numbers) == 1 else self._read(unit, numbers[0])
        made_at = datetime.fromisoformat(first["at"])
        return Unit(id=unit, order=first["order"], state=from_json(newest), made_at=made_at, facts={})

    def history(self, unit: str, since: int = 0) -> list[State]:
        """All records, or those from number `since` on, oldest first: the unit's story."""
        return [from_json(self._read(unit, n)) for n in self._numbers(unit) if n >= since]

    def order(self, unit: str) -> Mapping[str, Any] | None:
        """What a unit is, from its record 0; None when there is no such unit."""
        numbers = self._numbers(unit)
        return self._read(unit, numbers[0])["order"] if numbers else None

    def append(self, unit: str, state: State) -> None:
        """Write the next record.

        Raises:
            SupersededError: that number was there before: somebody else decides what happens next.
            StorageError: the disk refused.
        """
        if not self._put(unit, to_json(state), state.n):
            raise SupersededError(f"record {state.n} of {unit} was written by somebody else")

    def is_newest(self, unit: str, n: int) -> bool:
        """Whether no record follows number `n`."""
        return not self._store.has(f"{self.folder}/{unit}/{n + 1:08}.json")

    def ids(self) -> list[str]:
        """All units there are, finished ones too; for people, never for a sweep."""
        return self._store.list(self.folder)

    def _numbers(self, unit: str) -> list[int]:
        names = self._store.list(f"{self.folder}/{unit}")
        return [int(match[1]) for match in map(_RECORD.fullmatch, names) if match]

    def _put(self, unit: str, record: Mapping[str, Any], n: int) -> bool:
        body = json.dumps(record, separators=(",", ":"), sort_keys=True).encode()
        return self._store.put_new(f"{self.folder}/{unit}/{n:08}.json", body)

    def _read(self, unit: str, n: int) -> dict[str, Any]:
        """A record as it was written.

        Raises:
            ValueError: it cannot be read; the records of other units may well be.
        """
        try:
            record = json.loads(self._store.read(f"{self.folder}/{unit}/{n:08}.json") or b"")
        except StorageError as error:
            raise ValueError(f"record {n} of {unit} cannot be read") from error
        if not isinstance(record, dict):
            raise ValueError(f"record {n} of {unit} is not an object")
        return record


def merged(states: list[State]) -> dict[str, Any]:
    """The facts of a series of records, the later over the earlier.

    A replay forgets what was refused or held before it.
    """
    facts: dict[str, Any] = {}
    for state in states:
        if state.facts.get("replayed"):
            facts = {key: value for key, value in facts.items() if key not in ("refused", "held")}
        join(facts, state.facts)
    return facts


def join(facts: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Add a later record's facts, in place: mappings grow key by key, where None takes an entry back.

    Args:
        facts: so far; ours, with the mappings in it.
        more: what the record says; costs by its size alone, however much there is already.
    """
    for key, value in more.items():
        if not isinstance(value, Mapping):
            facts[key] = value
            continue
        entries = facts.setdefault(key, {})
        if not isinstance(entries, dict):
            entries = facts[key] = {}
        for index, entry in value.items():
            if entry is None:
                entries.pop(index, None)
            else:
                entries[index] = entry
