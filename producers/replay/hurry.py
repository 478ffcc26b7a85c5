"""A push for what waits and is no dead letter: made urgent, or woken when a pause ends."""

from collections.abc import Iterable, Iterator

from producers.replay.ring import put
from shared.errors import UNREADABLE
from shared.messages import Ring
from shared.spool import states
from shared.spool.deliveries import active_deliveries
from shared.spool.spool import Spool
from shared.spool.units import Unit


def hurried(spool: Spool, units: Iterable[Unit], *, by: str, why: str) -> Iterator[tuple[Unit, Ring]]:
    """Make waiting deliveries urgent and due now; each with its bell. Those that are so already are passed over."""
    for unit in units:
        urgent = unit.state.urgent or unit.order.get("urgent")
        if unit.state.status == "waiting" and not (urgent and unit.state.due is None):
            ring = put(spool, unit, states.hurried(unit.state, now=spool.now(), by=by, why=why))
            if ring is not None:
                yield unit, ring


def waiting_for_resume(spool: Spool, destination: str) -> list[Unit]:
    """The deliveries that wait because a destination was paused."""
    found = (_outline(spool, id_) for id_ in active_deliveries(spool))
    return [
        it for it in found if it is not None and it.order["destination"] == destination and it.state.facts.get("paused")
    ]


def woken(spool: Spool, unit: Unit, by: str) -> Ring | None:
    """Let a delivery go on after a pause; its bell, or None when somebody was faster."""
    return put(spool, unit, states.resumed(unit.state, now=spool.now(), by=by))


def _outline(spool: Spool, delivery: str) -> Unit | None:
    try:
        return spool.deliveries.outline(delivery)
    except UNREADABLE:
        return None
