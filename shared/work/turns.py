"""Who may be worked on at the same time: bells of one study have their turns, while others are answered."""

import threading
from collections.abc import Callable

from shared.broker import Delivered
from shared.errors import StorageError
from shared.messages import decode_bell

# What a damaged record makes of reading it; the sweep goes on counting the unit, and others are not kept waiting.
UNREADABLE = (ValueError, TypeError, KeyError, OSError)


class Turns:
    """What several workers answer now, and what waits for it.

    Args:
        subject: of a unit, by its id; units with the same one have their turns. Empty: it never waits.

    Attributes:
        looking: held by the worker that looks for its next message.
    """

    def __init__(self, subject: Callable[[str], str]) -> None:
        self._subject = subject
        self._waiting: dict[str, list[Delivered]] = {}
        self._lock = threading.Lock()
        self.looking = threading.Lock()

    def subject(self, delivered: Delivered) -> str:
        """What a message is about; empty when that cannot be read, which whoever answers it will find out."""
        try:
            return self._subject(decode_bell(delivered.body).unit)
        except (StorageError, *UNREADABLE):
            return ""

    def begin(self, subject: str, delivered: Delivered) -> bool:
        """Whether a message may be answered now; otherwise it is kept until `end`."""
        with self._lock:
            waiting = self._waiting.setdefault(subject, []) if subject else None
            if waiting is None:
                return True
            waiting.append(delivered)
            return waiting[0] is delivered

    def end(self, subject: str) -> list[Delivered]:
        """The subject is free; what waited for it is to be looked at again, in this order."""
        with self._lock:
            return sorted(self._waiting.pop(subject, [])[1:])
