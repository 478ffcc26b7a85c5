"""The parts that are being received, and when each is over.

C-STORE has no end of study (PS3.4 B.4), so a part closes when nothing came for a while: `quiet`, or the shorter
`quiet_after_release` once every association that brought some is closed. On a monotonic clock, per source.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from shared.config.peers import Source
from shared.dimse import Proposal
from shared.spool.drafts import Draft
from shared.spool.parts import Instance, Part

Monotonic = Callable[[], float]
Key = tuple[str, ...]


@dataclass(eq=False)
class Session:
    """One association of a source.

    Args:
        source: who it is.
        proposal: how it introduced itself.
        receiving: an instance is on its way in now.
        spare: a draft for the next instance.
        answers: name of the destination it is, too, when it may answer questions about storage commitment.
        is_source: False for a destination that is no source, and sends nothing else.
    """

    source: Source
    proposal: Proposal
    receiving: bool = False
    spare: Draft | None = None
    answers: str | None = None
    is_source: bool = True


@dataclass(eq=False)
class OpenPart:
    """A part that is being received.

    Args:
        part: what it is.
        quiet: seconds without an instance after which it is over.
        quiet_after_release: likewise, once no association of `sessions` is left.
        last: when something last came, or the last association closed; monotonic seconds.
        storing: instances of it that are being stored now.
        sessions: open associations that brought some.
        known: facts about its instances by name, in order of arrival.
        made: whether the spool knows the part; held while it is told.
    """

    part: Part
    quiet: float
    quiet_after_release: float
    last: float
    storing: int = 0
    sessions: set[Session] = field(default_factory=set)
    known: dict[str, Instance] = field(default_factory=dict)
    made: bool = False
    making: threading.Lock = field(default_factory=threading.Lock)

    def is_over(self, now: float) -> bool:
        """Whether the sender went quiet."""
        if self.storing or any(session.receiving for session in self.sessions):
            return False
        return now - self.last >= (self.quiet if self.sessions else min(self.quiet, self.quiet_after_release))


class OpenParts:
    """All parts that this ingress receives now; used by many threads.

    Args:
        monotonic: the clock; a parameter for tests.
    """

    def __init__(self, monotonic: Monotonic = time.monotonic) -> None:
        self._now = monotonic
        self._parts: dict[Key, OpenPart] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._parts)

    def begin_storing(self, new: Callable[[], Part], key: Key, quiet: tuple[float, float], by: Session) -> OpenPart:
        """The part an instance goes to, kept open until `end_storing`.

        Args:
            new: makes the part when none is open.
            key: source, called AE title, Study Instance UID.
            quiet: the source's `quiet` and `quiet_after_release`, seconds.
            by: the association that brings it.
        """
        with self._lock:
            open_part = self._parts.get(key)
            if open_part is None:
                open_part = self._parts[key] = OpenPart(new(), *quiet, last=self._now())
            open_part.storing += 1
            open_part.sessions.add(by)
            return open_part

    def end_storing(self, open_part: OpenPart, instance: Instance | None) -> None:
        """An instance is in its part, or was not stored after all."""
        with self._lock:
            open_part.storing -= 1
            open_part.last = self._now()
            if instance is not None:
                open_part.known.setdefault(instance.file, instance)

    def adopt(self, part: Part, quiet: tuple[float, float], *, takes_more: bool) -> None:
        """Go on with a part that another run left open; it takes no more when its closing has begun."""
        open_part = OpenPart(part, *quiet, last=self._now(), made=True)
        with self._lock:
            key = key_of(part)
            self._parts[key if takes_more and key not in self._parts else (*key, part.id)] = open_part

    def end_session(self, session: Session) -> None:
        """An association is closed: the parts that only it brought to are over sooner."""
        with self._lock:
            for open_part in self._parts.values():
                if session in open_part.sessions:
                    open_part.sessions.discard(session)
                    open_part.last = self._now()

    def take_over(self) -> list[OpenPart]:
        """The parts that are over; from now on they take nothing more."""
        with self._lock:
            now = self._now()
            over = [key for key, open_part in self._parts.items() if open_part.is_over(now)]
            return [self._parts.pop(key) for key in over]

    def set_apart(self, open_part: OpenPart) -> None:
        """The closing of a part has begun, by somebody, and is not known to be done.

        It is over again when quiet, so that it will be; what comes next goes to a new part.
        """
        with self._lock:
            self._parts = {key: other for key, other in self._parts.items() if other is not open_part}
            open_part.last = self._now()
            self._parts[(*key_of(open_part.part), open_part.part.id)] = open_part


def key_of(part: Part) -> Key:
    """What tells open parts apart."""
    return (part.source, part.called_ae_title, part.study_instance_uid)
