"""The dead letters that a spool holds."""

from collections.abc import Iterator, Mapping
from typing import Any

from producers.replay.choose import DeadLetter
from shared.spool.deliveries import active_deliveries
from shared.spool.parts import active_parts
from shared.spool.spool import Spool
from shared.spool.states import State


def dead_letters(spool: Spool) -> Iterator[DeadLetter]:
    """Every part and delivery that waits for a person; reads unfinished work only."""
    for id_ in (*active_parts(spool), *active_deliveries(spool)):
        state = spool.units(id_).newest(id_)
        if state is not None and state.status == "held" and (unit := spool.units(id_).load(id_)):
            yield letter_of(id_, unit.order, state)


def letter_of(unit: str, order: Mapping[str, Any], state: State) -> DeadLetter:
    """A held unit as a dead letter.

    Args:
        unit: its id.
        order: of the unit.
        state: its `held` record.
    """
    return DeadLetter(
        id=unit,
        n=state.n,
        part=order.get("part", unit),
        stage=state.stage,
        destination=order.get("destination", ""),
        source=order.get("source", ""),
        since=state.at,
        dead_letter_class=state.dead_letter_class or "bug",
        reason=state.reason,
    )
