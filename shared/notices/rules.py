"""What is to be said now, given what is wrong and what was said. No I/O, no clock, no globals."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from shared.config import Occasion
from shared.notices.troubles import Trouble

ENDING: frozenset[Occasion] = frozenset(("destination_down", "disk_low", "stuck", "configuration"))
"""Occasions whose end is told too; of the others each member is told of once."""
_GATHERED = timedelta(seconds=30)
"""The first of many is told of with those that follow it at once."""


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a notifier has said of one occasion and what it is about.

    Args:
        members: marks of the trouble's members that it has told of.
        at: when it last told of the trouble; None: never.
    """

    members: frozenset[str] = frozenset()
    at: datetime | None = None

    def to_json(self) -> dict[str, Any]:
        """As a record keeps it."""
        return {"members": sorted(self.members), "told_at": None if self.at is None else self.at.isoformat()}


@dataclass(frozen=True, kw_only=True)
class Notice:
    """One message to a person.

    Args:
        occasion: what it is about, with `about`.
        about: name of the destination, route or stage; empty: the relay.
        over: it says that all is well again.
        new: members that were not told of before.
        total: members there are now.
        since: since when the oldest of the new ones is.
        command: to type next.
        facts: more, without patient data.
        told: what is to be remembered when it was taken.
    """

    occasion: Occasion
    about: str
    over: bool = False
    new: int = 0
    total: int = 0
    since: datetime | None = None
    command: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    told: Told = Told()


def told_from_json(content: Mapping[str, Any]) -> Told:
    """What a record says was told; nothing when it says nothing."""
    at = content.get("told_at")
    return Told(members=frozenset(content.get("members", ())), at=None if at is None else datetime.fromisoformat(at))


def mark(key: str) -> str:
    """A member's key as it is remembered."""
    return hashlib.sha256(key.encode()).hexdigest()[:16]


def notice_of(trouble: Trouble, told: Told, now: datetime, every: timedelta) -> Notice | None:
    """The message about a trouble, or None: nothing is new, or it is too soon after the last.

    Args:
        trouble: as it is.
        told: what was said of it.
        now: the time. A told moment that lies in its future, as after a clock was set back, keeps nothing back.
        every: not more often.
    """
    new = {key: since for key, since in trouble.members.items() if mark(key) not in told.members}
    if not new:
        return None
    if told.at is not None and timedelta(0) <= now - told.at < every:
        return None
    first = min(new.values())
    if trouble.occasion not in ENDING and timedelta(0) <= now - first < min(every, _GATHERED):
        return None
    return Notice(
        occasion=trouble.occasion,
        about=trouble.about,
        new=len(new),
        total=len(trouble.members),
        since=first,
        command=trouble.command,
        facts=trouble.facts,
        told=Told(members=frozenset(map(mark, trouble.members)), at=now),
    )


def end_of(occasion: Occasion, about: str, told: Told) -> Notice | None:
    """The message that something told of is over; None when nothing was told of, or its end is not told."""
    if occasion not in ENDING or not told.members:
        return None
    return Notice(occasion=occasion, about=about, over=True, command="dcmrelay status", told=Told(at=told.at))
