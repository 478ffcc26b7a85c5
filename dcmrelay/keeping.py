"""Keeps things running: what ended is started again, after pauses that grow while it does not stay up."""

import time
from collections.abc import Callable
from typing import Protocol

from shared import metrics
from shared.errors import StartError

FIRST_PAUSE, LONGEST_PAUSE, STEADY = 0.5, 30.0, 60.0
"""Seconds: the first pause, the longest, and how long a thing runs before the pauses begin anew."""


class Startable(Protocol):
    """A worker process, or the private broker."""

    def start(self) -> None:
        """Start it, or raise StartError."""

    def alive(self) -> bool:
        """Whether it runs."""


def next_pause(pause: float, lived: float) -> float:
    """The pause after one of `pause` seconds (0: none yet), when the thing then ran for `lived` seconds."""
    return FIRST_PAUSE if lived >= STEADY or not pause else min(pause * 2, LONGEST_PAUSE)


class Keeper:
    """One thing that shall run.

    Args:
        name: for people and as metric label: `router`, `sender archive`, `rabbitmq`.
        thing: what shall run.
        why: asked after each end: why it ended.
        say: tells a person, one line.
        clock: seconds, monotonic.

    Attributes:
        repeated: how often in a row it ended early with the same words.
        words: what it said last.
    """

    def __init__(
        self,
        name: str,
        thing: Startable,
        *,
        why: Callable[[], str],
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name, self.thing = name, thing
        self._why, self._say, self._clock = why, say, clock
        self._running = False
        self._changed_at = clock()
        self._pause = 0.0
        self.repeated = 0
        self.words = ""

    def look(self) -> None:
        """Start it when it is time to, or note that it ended."""
        if self._running:
            if not self.thing.alive():
                self._ended(self._why())
        elif self._clock() - self._changed_at >= self._pause:
            self._start()

    def _start(self) -> None:
        metrics.WORKER_STARTS.labels(self.name).inc()
        self._changed_at = self._clock()
        try:
            self.thing.start()
        except StartError as error:
            self._ended(str(error))
            return
        self._running = True
        metrics.WORKER_UP.labels(self.name).set(1)

    def _ended(self, words: str) -> None:
        metrics.WORKER_UP.labels(self.name).set(0)
        lived = self._clock() - self._changed_at
        again = words == self.words and lived < STEADY
        self.repeated = self.repeated + 1 if again else 1
        self.words = words
        self._running = False
        self._changed_at = self._clock()
        self._pause = next_pause(self._pause, lived)
        self._say(f"{self.name} ended{' again' if again else f': {words}'}; next start in {self._pause:g} s")
