"""Outlines of unfinished deliveries as a sweep read them, so that ten thousand are told without opening each.

outlines/<k>.json     orders and newest records, what many have in common once; the highest k counts

Records never change, so an outline is true for as long as no record follows the one that it was made of; one look for
that name tells. What is not kept, or has gone on since, is read as ever: nothing here is older than the spool, and
nothing is lost with it. Source: ADR 0022.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import structlog

from shared.errors import UNREADABLE
from shared.spool.spool import Spool
from shared.spool.states import FIELDS, TIMES, State, Status, to_json
from shared.spool.units import Unit

log = structlog.get_logger()
# Fewer are read in a moment.
WORTH_KEEPING = 1000
_FOLDER = "outlines"
_OWN = ("id", "part")
"""What each order has for itself."""


class Outlines:
    """What a sweep kept, for one look at unfinished work."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._kept = _read(spool)

    def outline(self, unit: str, status: Status | None = None) -> Unit | None:
        """A part or delivery without its facts, as `Units.outline` tells it.

        Args:
            unit: its id.
            status: only if it is in this one, else None.

        Raises:
            ValueError: its records cannot be read.
        """
        row = self._kept.units.get(unit)
        try:
            if row is not None and self._spool.deliveries.is_newest(unit, row[_N]):
                is_asked = status in (None, self._kept.states[row[_STATE]]["status"])
                return self._kept.unit(unit, row) if is_asked else None
        except (LookupError, ValueError, TypeError):
            log.warning("unreadable_outline", unit=unit, remedy="check the disk of the spool")
        return self._spool.units(unit).outline(unit, status)

    def told(self, units: Iterable[str], status: Status | None = None) -> Iterator[Unit]:
        """Outlines of units by their ids, of those in one status or of all.

        What cannot be read is passed over with a warning: one unit does not hide the others.
        """
        for unit in units:
            try:
                outline = self.outline(unit, status)
            except UNREADABLE as error:
                why = type(error).__name__
                log.warning("unreadable_record", unit=unit, error=why, remedy="check the disk of the spool")
                continue
            if outline is not None:
                yield outline


class Keeper:
    """Keeps the outlines that sweeps read, when so many of them are new that it pays.

    Args:
        spool: where.
    """

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._kept: dict[str, int] = {}

    def keep(self, unfinished: Iterable[Unit]) -> bool:
        """Keep the outlines of deliveries; False when those that are kept will do.

        Args:
            unfinished: all there are.

        Raises:
            StorageError: the disk refused; what was kept stands.
        """
        deliveries = [unit for unit in unfinished if unit.id.startswith("d")]
        news = sum(self._kept.get(unit.id) != unit.state.n for unit in deliveries)
        if news < max(WORTH_KEEPING, len(deliveries) / 10):
            return False
        older = self._spool.store.list(_FOLDER)
        following = int(older[-1].partition(".")[0]) + 1 if older else 0
        self._spool.put_json(f"{_FOLDER}/{following:08}.json", _to_json(deliveries))
        for name in older:
            self._spool.store.delete(f"{_FOLDER}/{name}")
        self._kept = {unit.id: unit.state.n for unit in deliveries}
        return True


@dataclass(frozen=True, kw_only=True)
class _Kept:
    """What stands in a file.

    Args:
        orders: without what each has for itself.
        states: without number and times.
        units: by id, a row: which order, which state, number of the record, `part`, `made_at`, times of the record.
    """

    orders: Sequence[Mapping[str, Any]] = field(default_factory=list)
    states: Sequence[Mapping[str, Any]] = field(default_factory=list)
    units: Mapping[str, list[Any]] = field(default_factory=dict)

    def unit(self, unit: str, row: list[Any]) -> Unit:
        order, state, n, part, made_at, times = row
        moments: dict[str, Any] = {key: datetime.fromisoformat(at) for key, at in times.items()}
        return Unit(
            id=unit,
            order={**self.orders[order], "id": unit, "part": part},
            state=State(n=n, **self.states[state], **moments),
            made_at=datetime.fromisoformat(made_at),
            facts={},
        )


_STATE, _N = 1, 2


def _to_json(deliveries: Iterable[Unit]) -> dict[str, Any]:
    orders, states, units = _Once(), _Once(), {}
    for unit in deliveries:
        order = {key: value for key, value in unit.order.items() if key not in _OWN}
        record = to_json(unit.state)
        times = {key: record.pop(key) for key in TIMES if key in record}
        n, made_at = record.pop("n"), unit.made_at.isoformat()
        units[unit.id] = [orders.index(order), states.index(record), n, unit.order["part"], made_at, times]
    return {"orders": orders.them, "states": states.them, "units": units}


class _Once:
    """A list in which nothing stands twice."""

    def __init__(self) -> None:
        self.them: list[Any] = []
        self._known: dict[str, int] = {}

    def index(self, it: Mapping[str, Any]) -> int:
        """Where it stands."""
        index = self._known.setdefault(json.dumps(it, sort_keys=True), len(self.them))
        if index == len(self.them):
            self.them.append(it)
        return index


def _read(spool: Spool) -> _Kept:
    """The newest there are; none when they cannot be read, which costs time and nothing else."""
    names = spool.store.list(_FOLDER)
    try:
        body = spool.store.read(f"{_FOLDER}/{names[-1]}") if names else None
        kept = _Kept(**json.loads(body or b"{}"))
        states = [{key: value for key, value in it.items() if key in FIELDS} for it in kept.states]
        return replace(kept, states=states)
    except (*UNREADABLE, AttributeError):
        return _Kept()
