"""Which of the deliveries that wait for a destination is sent next. No I/O, no clock, no globals.

Urgent before routine; what was begun before what was not; then the source that was served longest ago; then what has
waited longest. As a probe goes what was tried least, so that one that the destination cannot stand is not all it gets.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

# A bell that comes this much early is on time: rungs and clocks are not exact.
EARLY = timedelta(milliseconds=200)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A delivery that waits.

    Args:
        unit: its id.
        n: its newest record.
        source: name of the source.
        study: Study Instance UID; of a study one delivery is sent at a time.
        waits_since: when its newest record was written, or its due time.
        urgent: overtakes routine ones.
        tried_since: when it was first tried; None: never.
        tries: how often it failed.
    """

    unit: str
    n: int
    source: str
    study: str
    waits_since: datetime
    urgent: bool = False
    tried_since: datetime | None = None
    tries: int = 0


def next_of(
    entries: Iterable[Entry],
    *,
    now: datetime,
    busy: Collection[str] = (),
    served: Mapping[str, int] | None = None,
    probing: bool = False,
) -> Entry | None:
    """The delivery that goes next; None when none may.

    Args:
        entries: all that wait.
        now: nothing that is due later goes.
        busy: studies that are being sent.
        served: by source, the number of the turn it had last; without one it never had any.
        probing: the circuit is open.
    """
    turns = served or {}

    def rank(it: Entry) -> tuple[bool, int, int, datetime, str]:
        first = it.tries if probing else int(it.tried_since is None)
        return (not it.urgent, first, turns.get(it.source, 0), it.waits_since, it.unit)

    free = (it for it in entries if it.waits_since <= now + EARLY and it.study not in busy)
    return min(free, key=rank, default=None)


def given_up(entries: Iterable[Entry], *, now: datetime, give_up: timedelta) -> Entry | None:
    """One whose time is used up, so that it becomes a dead letter without a probe of its own; None when none is."""
    return next((it for it in entries if it.tried_since is not None and it.tried_since + give_up <= now), None)
