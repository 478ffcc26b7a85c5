"""Outlines of unfinished deliveries as a sweep read them, so that ten thousand are told without opening each.

outlines/<k>.json     by id: order, when it was made, its newest record then; the highest k counts

Records never change, so an outline is true for as long as no record follows the one that it was made of; one look for
that name tells. What is not kept, or has gone on since, is read as ever: nothing here is older than the spool, and
nothing is lost with it. Source: ADR 0022.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from shared.errors import UNREADABLE
from shared.spool.spool import Spool
from shared.spool.states import Status, from_json, to_json
from shared.spool.units import Unit

# Fewer are read in a moment.
WORTH_KEEPING = 1000
_FOLDER = "outlines"


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
        units, kept = self._spool.units(unit), self._kept.get(unit)
        if kept is None or not units.is_newest(unit, kept["state"]["n"]):
            return units.outline(unit, status)
        if status not in (None, kept["state"]["status"]):
            return None
        made_at = datetime.fromisoformat(kept["made_at"])
        return Unit(id=unit, order=kept["order"], state=from_json(kept["state"]), made_at=made_at, facts={})


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
        self._spool.put_json(f"{_FOLDER}/{following:08}.json", {unit.id: _to_json(unit) for unit in deliveries})
        for name in older:
            self._spool.store.delete(f"{_FOLDER}/{name}")
        self._kept = {unit.id: unit.state.n for unit in deliveries}
        return True


def _to_json(unit: Unit) -> dict[str, Any]:
    return {"order": unit.order, "made_at": unit.made_at.isoformat(), "state": to_json(unit.state)}


def _read(spool: Spool) -> Mapping[str, Mapping[str, Any]]:
    """The newest there are; none when they cannot be read, which costs time and nothing else."""
    names = spool.store.list(_FOLDER)
    try:
        body = spool.store.read(f"{_FOLDER}/{names[-1]}") if names else None
        kept: dict[str, Any] = json.loads(body or b"{}")
    except UNREADABLE:
        return {}
    return kept
