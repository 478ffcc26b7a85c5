"""The dead letters that a spool holds."""

from collections.abc import Iterator, Mapping
from typing import Any

import structlog

from producers.replay.choose import DeadLetter
from shared.errors import UNREADABLE
from shared.spool.deliveries import active_deliveries
from shared.spool.parts import active_parts
from shared.spool.spool import Spool
from shared.spool.states import State

log = structlog.get_logger()


def dead_letters(spool: Spool) -> Iterator[DeadLetter]:
    """Every part and delivery that waits for a person; reads unfinished work only."""
    for id_ in (*active_parts(spool), *active_deliveries(spool)):
        try:
            unit = spool.units(id_).outline(id_)
        except UNREADABLE as error:
            log.warning("unreadable_record", unit=id_, error=type(error).__name__, remedy="check the disk of the spool")
            continue
        if unit is not None and unit.state.status == "held":
            yield letter_of(id_, unit.order, unit.state)


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
