"""What waits for one destination, as the spool has it: a bell says that there is something to do, and this says what.

Every bell brings its own delivery to mind; about once a second unfinished deliveries are listed, for those whose bells
are still far back in the queue. Source: ADR 0017.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Collection

from consumers.sender.circuit import Circuit
from consumers.sender.order import EARLY, Entry, given_up, next_of
from shared.messages import Bell
from shared.spool.deliveries import active_deliveries
from shared.spool.parts import read_part
from shared.spool.spool import Spool
from shared.spool.units import Unit
from shared.work.turns import UNREADABLE, Noted, Picked

SCAN_SECONDS, SHARE_OF_TIME, READ_SECONDS = 1.0, 0.05, 0.25


class Waiting:
    """Of one destination; asked by one worker at a time.

    Args:
        spool: the spool.
        destination: its name.
        circuit: says whether all may go, or a probe.
        is_open: whether the destination's hours allow sending now; outside them everything gets its answer at once.
    """

    def __init__(
        self, spool: Spool, destination: str, circuit: Circuit, is_open: Callable[[], bool] = lambda: True
    ) -> None:
        self._spool, self._destination = spool, destination
        self._circuit, self._is_open = circuit, is_open
        self._entries: dict[str, Entry] = {}
        self._others: set[str] = set()
        self._served: dict[str, int] = defaultdict(int)
        self._turn = 0
        self._scan_at = 0.0

    def note(self, bell: Bell, *, urgent: bool) -> Entry | None:
        """The delivery of a bell, if it waits for this destination; when it is due, its `waits_since` says."""
        self._entries.pop(bell.unit, None)
        return self._look_at(bell.unit, urgent=urgent)

    def is_due(self, noted: Noted) -> bool:
        """Whether a delivery may go now."""
        return noted.waits_since <= self._spool.now() + EARLY

    def any_due(self) -> bool:
        """Whether anything is known that waits and is due."""
        return any(self.is_due(it) for it in self._entries.values())

    def pick(self, busy: Collection[str]) -> Picked | None:
        """What goes next, without what is of these studies; None when nothing may."""
        self._scan()
        while (entry := self._chosen(busy)) is not None:
            state = self._spool.deliveries.newest(entry.unit)
            del self._entries[entry.unit]
            if state is not None and state.n == entry.n:
                self._turn += 1
                self._served[entry.source] = self._turn
                self._circuit.begin(entry.unit)
                return Picked(bell=Bell(unit=entry.unit, n=entry.n), subject=entry.study)
            self._look_at(entry.unit, urgent=entry.urgent)
        return None

    def end(self, unit: str) -> None:
        """A delivery's turn is over; what is left of one that was handed back is known at once."""
        self._circuit.end(unit)
        try:
            self._look_at(unit)
        except UNREADABLE:
            return  # its bell finds out

    def _chosen(self, busy: Collection[str]) -> Entry | None:
        now, entries = self._spool.now(), self._entries.values()
        gate = self._circuit.gate() if self._is_open() else "all"
        if gate != "none":
            return next_of(entries, now=now, busy=busy, served=self._served, probing=gate == "one")
        free = (it for it in entries if it.study not in busy and it.waits_since <= now + EARLY)
        entry = given_up(free, now=now, give_up=self._circuit.retry.give_up)
        if entry is not None:
            self._circuit.shut_out.add(entry.unit)
        return entry

    def _look_at(self, unit_id: str, *, urgent: bool = False) -> Entry | None:
        unit = self._spool.deliveries.outline(unit_id)
        if unit is None or unit.order["destination"] != self._destination:
            self._others.add(unit_id)
            return None
        if not self._waits(unit):
            return None
        part = read_part(self._spool, str(unit.order["part"]))
        state = unit.state
        entry = Entry(
            unit=unit_id,
            n=state.n,
            source=str(unit.order.get("source", "")),
            study="" if part is None else part.study_instance_uid,
            waits_since=state.due or state.at,
            urgent=urgent or state.urgent or bool(unit.order.get("urgent")),
            tried_since=state.since,
            tries=state.tries,
        )
        self._entries[unit_id] = entry
        return entry

    def _waits(self, unit: Unit) -> bool:
        is_free = unit.state.status == "waiting" or self._spool.is_abandoned(unit.state)
        return is_free and unit.state.stage in ("send", "verify")

    def _scan(self) -> None:
        """List unfinished deliveries; those that are not known are read, for a quarter of a second at most."""
        begun = time.monotonic()
        if begun < self._scan_at:
            return
        ids = set(active_deliveries(self._spool))
        self._others &= ids
        for gone in self._entries.keys() - ids:
            del self._entries[gone]
        for unit in ids - self._others - self._entries.keys():
            try:
                self._look_at(unit)
            except UNREADABLE:
                self._others.add(unit)  # its bell finds out
            if time.monotonic() - begun > READ_SECONDS:
                break
        took = time.monotonic() - begun
        self._scan_at = begun + max(SCAN_SECONDS, took / SHARE_OF_TIME)
