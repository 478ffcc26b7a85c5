"""The removal of a finished part begins with a record in the part's own series: who makes the next record has won.

So a part is never removed and sent again at once. Whoever makes new work of a finished part calls `keep` first; it
stops a removal that has not begun, and is refused when one has.

parts/<id>/<n>.json       at stage `removal`: the part is about to go
tombstones/<id>.json      what it was; stays
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from shared.errors import RemovalError, SupersededError
from shared.spool.parts import decided_deliveries
from shared.spool.spool import Spool
from shared.spool.states import State

REMOVAL = "removal"


def tombstone(part_id: str) -> str:
    """The name under which it stays on record what a part was."""
    return f"tombstones/{part_id}.json"


def has_begun(spool: Spool, part_id: str) -> bool:
    """Whether a part is being removed, or was."""
    state = spool.parts.newest(part_id)
    # Its records go last and the newest first, so a tombstone says more than they do.
    return (state is not None and state.stage == REMOVAL) or spool.store.path(tombstone(part_id)).exists()


def begin(spool: Spool, part_id: str, state: State) -> None:
    """Make it durable that a part is about to go.

    Args:
        spool: the spool.
        part_id: a part that is finished.
        state: its newest record, read before it was found to be finished.

    Raises:
        SupersededError: somebody keeps the part, or removes it already.
    """
    going = replace(state, n=state.n + 1, stage=REMOVAL, at=spool.now(), facts={}, reason="", by="")
    spool.parts.append(part_id, going)


def keep(spool: Spool, part_id: str, *, by: str, why: str) -> None:
    """Keep a finished part for another retention from now, so that new deliveries of it can be made.

    Args:
        spool: the spool.
        part_id: the part; nothing happens when it is not finished, for then nobody removes it.
        by: who wants it.
        why: their words for the record.

    Raises:
        RemovalError: its removal has begun: its bytes are going, or gone.
    """
    while not has_begun(spool, part_id):
        state = spool.parts.newest(part_id)
        if state is None or state.status != "final":
            return
        kept = replace(state, n=state.n + 1, at=spool.now(), facts={"kept": True}, reason=why, by=by)
        try:
            spool.parts.append(part_id, kept)
        except SupersededError:
            continue
        return
    raise RemovalError(f"part {part_id[:10]} is over and its bytes are being removed; have its source send it again")


def last_change(spool: Spool, part_id: str) -> datetime:
    """When the newest record of a finished part and of its deliveries was written; retention counts from it."""
    return max(state.at for state in _states(spool, part_id) if state is not None)


def _states(spool: Spool, part_id: str) -> Iterable[State | None]:
    yield spool.parts.newest(part_id)
    for delivery in decided_deliveries(spool, part_id) or ():
        yield spool.deliveries.newest(delivery)
