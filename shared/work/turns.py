"""Who may be worked on at the same time, and what a bell is answered with.

A bell is about a unit, and its worker answers that very unit, unless somebody picks: then it says that there is
something to do, and what is done first is picked from all that waits. Of one subject, one unit is worked on at a time.
"""

import threading
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from shared.broker import URGENT, Delivered
from shared.errors import StorageError
from shared.messages import Bell, decode_bell

# What a damaged record makes of reading it; the sweep goes on counting the unit, and others are not kept waiting.
UNREADABLE = (ValueError, TypeError, KeyError, OSError, StorageError)


@dataclass(frozen=True, kw_only=True)
class Picked:
    """What is worked on next.

    Args:
        bell: the unit, with its newest record.
        subject: nothing else of it is worked on meanwhile; empty: it stands for itself.
    """

    bell: Bell
    subject: str


class Noted(Protocol):
    """A unit that waits."""

    @property
    def study(self) -> str:
        """What it is about."""

    @property
    def waits_since(self) -> datetime:
        """When it became due, or will."""


class Picks(Protocol):
    """Who knows what waits, and what goes first."""

    def note(self, bell: Bell, *, urgent: bool) -> Noted | None:
        """The unit of a bell, if it waits."""

    def is_due(self, noted: Noted) -> bool:
        """Whether it may be worked on now."""

    def any_due(self) -> bool:
        """Whether anything that may be worked on now waits."""

    def pick(self, busy: Collection[str]) -> Picked | None:
        """What goes next, without what is of these subjects."""

    def end(self, unit: str) -> None:
        """The turn of a unit that was picked is over."""


@dataclass(frozen=True, kw_only=True)
class Turn:
    """A message that is answered now.

    Args:
        message: acknowledged after it.
        picked: what it is answered with; None: with what it is about.
    """

    message: Delivered
    picked: Picked | None = None


class Turns:
    """What several workers answer now, and the messages that wait for something to be free.

    Args:
        picks: None: each message is answered with what it is about.
        workers: how many answer.

    Attributes:
        looking: held by the worker that looks for its next message.
    """

    def __init__(self, picks: Picks | None = None, workers: int = 1) -> None:
        self._picks, self._workers = picks, workers
        self._parked: list[Delivered] = []
        self._running: list[Turn] = []
        self._gave_way: Delivered | None = None
        self._lock = threading.RLock()
        self.looking = threading.Lock()

    def next(self, message: Delivered | None) -> Turn | None:
        """What is to be answered now.

        Args:
            message: that came; None: none did, but something may be free by now.
        """
        with self._lock:
            turn = self._next(message)
            if turn is not None:
                self._running.append(turn)
            return turn

    def end(self, turn: Turn) -> list[Delivered]:
        """A turn is over; the messages that waited are to be looked at again, in this order."""
        with self._lock:
            self._running.remove(turn)
            if turn.picked is not None and self._picks is not None:
                self._picks.end(turn.picked.bell.unit)
            parked, self._parked = self._parked, []
            return sorted(parked)

    def gives_way(self, urgent: Delivered | None) -> bool:
        """Whether a worker on something routine is to stop for an urgent message; True once for each message.

        Args:
            urgent: the first that is at hand.
        """
        if urgent is None or self._picks is None:
            return False
        with self._lock:
            if urgent is self._gave_way or len(self._running) < self._workers:
                return False
            self._gave_way = urgent
            return self._may_begin(urgent)

    def _may_begin(self, urgent: Delivered) -> bool:
        picks, busy = self._picks, self._busy if self._workers > 1 else ()
        try:
            entry = picks.note(decode_bell(urgent.body), urgent=True) if picks else None
        except UNREADABLE:
            return False
        return picks is not None and entry is not None and picks.is_due(entry) and entry.study not in busy

    @property
    def _busy(self) -> set[str]:
        return {turn.picked.subject for turn in self._running if turn.picked is not None} - {""}

    def _next(self, message: Delivered | None) -> Turn | None:
        picks = self._picks
        self._parked = [it for it in self._parked if not it.acknowledged and it.channel.is_open]
        if picks is None:
            return None if message is None else Turn(message=message)
        try:
            if message is not None:
                noted = picks.note(decode_bell(message.body), urgent=message.queue.endswith(URGENT))
                if noted is not None and not picks.is_due(noted):
                    return Turn(message=message)  # which rings for it again when it is due
                self._parked.append(message)
            picked = picks.pick(self._busy) if self._parked else None
        except UNREADABLE:
            self._parked = [it for it in self._parked if it is not message]
            return None if message is None else Turn(message=message)
        if picked is not None:
            return Turn(message=self._spent_for(picked), picked=picked)
        if self._parked and not picks.any_due():
            return Turn(message=self._parked.pop(0))  # what it was about is done
        return None

    def _spent_for(self, picked: Picked) -> Delivered:
        """The message that is acknowledged when what was picked is done: its own if that is here, or the first."""
        own = (it for it in self._parked if decode_bell(it.body).unit == picked.bell.unit)
        message = next(own, self._parked[0])
        self._parked = [it for it in self._parked if it is not message]
        return message
