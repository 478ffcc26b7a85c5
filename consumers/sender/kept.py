"""Associations that stay open between two studies, for as long as `keep_open` says."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from shared.dimse import Association

Suits = Callable[[Association], bool]


@dataclass(frozen=True, kw_only=True)
class _Idle:
    association: Association
    calling_ae_title: str
    timer: threading.Timer


class Kept:
    """Idle associations with one destination.

    Args:
        keep_open: how long each waits for another study; zero: none does.
        stopping: when it is set, none waits any more.
    """

    def __init__(self, keep_open: timedelta, stopping: threading.Event) -> None:
        self._seconds, self._stopping = keep_open.total_seconds(), stopping
        self._idle: list[_Idle] = []
        self._lock = threading.Lock()

    def keep(self, association: Association, calling_ae_title: str) -> None:
        """Keep an association that a study is done with, or release it."""
        if not self._seconds or self._stopping.is_set():
            association.release()
            return
        timer = threading.Timer(self._seconds, lambda: self._expired(idle))
        idle = _Idle(association=association, calling_ae_title=calling_ae_title, timer=timer)
        timer.daemon = True
        with self._lock:
            self._idle.append(idle)
        timer.start()

    def take(self, calling_ae_title: str, suits: Suits) -> Association | None:
        """An open association under this AE title that suits what is to be sent, or None.

        When none fits, the one that waited longest is released: there are never more than the destination allows.
        """
        with self._lock:
            ours = [idle for idle in self._idle if idle.calling_ae_title == calling_ae_title]
            fitting = [idle for idle in ours if suits(idle.association)]
            chosen = next(iter(fitting or self._idle), None)
            if chosen is None:
                return None
            self._idle.remove(chosen)
        chosen.timer.cancel()
        if fitting and chosen.association.is_open():
            return chosen.association
        chosen.association.release()
        return None

    def release(self) -> None:
        """Release all that wait."""
        with self._lock:
            idle, self._idle = self._idle, []
        for each in idle:
            each.timer.cancel()
            each.association.release()

    def _expired(self, idle: _Idle) -> None:
        with self._lock:
            if idle not in self._idle:
                return
            self._idle.remove(idle)
        idle.association.release()
