"""The removal of a finished part begins with a record in the part's own series: who makes the next record has won.

So a part is never removed and sent again at once. Whoever makes new work of a finished part makes the part's next
record too: it stops a removal that has not begun, and finds that the part is `removed` when one has.

parts/<id>/<n>.json       with the outcome `removed`: the part is about to go; the fact `was` is its outcome before
tombstones/<id>.json      what it was; stays
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from shared.spool.parts import decided_deliveries
from shared.spool.spool import Spool
from shared.spool.states import State

REMOVED = "removed"


def tombstone(part_id: str) -> str:
    """The name under which it stays on record what a part was."""
    return f"tombstones/{part_id}.json"


def has_begun(spool: Spool, part_id: str) -> bool:
    """Whether a part is being removed, or was."""
    state = spool.parts.newest(part_id)
    # Its records go last and the newest first, so a tombstone says more than they do.
    return (state is not None and state.outcome == REMOVED) or spool.store.path(tombstone(part_id)).exists()


def begin(spool: Spool, part_id: str, state: State) -> None:
    """Make it durable that a part is about to go.

    Args:
        spool: the spool.
        part_id: a part that is finished.
        state: its newest record, read before it was found to be finished.

    Raises:
        SupersededError: somebody makes new work of the part, or removes it already.
    """
    going = replace(
        state, n=state.n + 1, at=spool.now(), outcome=REMOVED, facts={"was": state.outcome}, reason="", by=""
    )
    spool.parts.append(part_id, going)


def outcome_of(state: State) -> str:
    """What became of a part, whether or not it is being removed."""
    return str(state.facts.get("was", "")) if state.outcome == REMOVED else state.outcome


def last_change(spool: Spool, part_id: str) -> datetime:
    """When the newest record of a finished part and of its deliveries was written; retention counts from it."""
    return max(state.at for state in _states(spool, part_id) if state is not None)


def _states(spool: Spool, part_id: str) -> Iterable[State | None]:
    yield spool.parts.newest(part_id)
    for delivery in decided_deliveries(spool, part_id) or ():
        yield spool.deliveries.newest(delivery)
