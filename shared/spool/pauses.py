"""Pauses: a person holds back everything for a destination for a while.

pauses/<destination>/<k>.json    paused or resumed, by whom, when, why; the highest number is what is true
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.errors import PausedError
from shared.spool.spool import Spool

# A delivery that waits for the end of a pause without one looks again by itself, should `resume` not have reached it.
LOOK_AGAIN = timedelta(hours=1)
_KEPT = 50


@dataclass(frozen=True, kw_only=True)
class Pause:
    """One record: a destination was paused, or resumed.

    Args:
        destination: its name.
        paused: False of one that was resumed.
        at: when.
        until: when it ends by itself; None: when a person says so.
        by: who ordered it.
        why: their words.
    """

    destination: str
    paused: bool
    at: datetime
    until: datetime | None
    by: str
    why: str

    @property
    def sentence(self) -> str:
        """Such as `paused until 2026-03-04T19:00+00:00 by ann@pacs (line is repaired)`."""
        until = f" until {self.until.isoformat(timespec='minutes')}" if self.until else ""
        return f"paused{until} by {self.by}" + (f" ({self.why})" if self.why else "")


def pause_in_force(spool: Spool, destination: str) -> Pause | None:
    """The pause that holds a destination back now; None when nothing does."""
    newest = newest_pause(spool, destination)
    if newest is None or not newest.paused:
        return None
    return None if newest.until is not None and spool.lapsed(newest.until) else newest


def newest_pause(spool: Spool, destination: str) -> Pause | None:
    """What a person ordered last for a destination; None when nobody ever did."""
    while names := spool.store.list(f"pauses/{destination}"):
        content = spool.read_json(f"pauses/{destination}/{names[-1]}")
        if content is not None:
            until = content["until"] and datetime.fromisoformat(content["until"])
            return Pause(**{**content, "at": datetime.fromisoformat(content["at"]), "until": until})
    return None


def put_pause(spool: Spool, pause: Pause) -> None:
    """Write what a person orders, after whatever was ordered before."""
    folder, made = f"pauses/{pause.destination}", False
    until = None if pause.until is None else pause.until.isoformat()
    content = {**vars(pause), "at": pause.at.isoformat(), "until": until}
    while not made:
        names = spool.store.list(folder)
        k = int(names[-1].removesuffix(".json")) + 1 if names else 0
        made = spool.put_json(f"{folder}/{k:08}.json", content)
    for name in spool.store.list(folder)[:-_KEPT]:
        spool.store.delete(f"{folder}/{name}")


def check_not_paused(spool: Spool, destination: str) -> None:
    """Asked by a sender before it begins and between instances.

    Raises:
        PausedError: the destination is paused; says when to look again.
    """
    pause = pause_in_force(spool, destination)
    if pause is not None:
        raise PausedError(pause.sentence, pause.until or spool.now() + LOOK_AGAIN)
