"""What each notifier told, as series of records like those of units: the highest number is true.

told/<notifier>/<occasion>/<destination, route or stage>/<n>.json     `working`: about to be told; `final`: told;
                                                                      `waiting`: could not be told, tried again when due

A message is claimed by a record before it is sent: of two janitors one sends it, and who dies in between leaves a claim
whose owner is gone. Then it is sent again: twice at worst, never not at all.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

from shared import owner
from shared.config import Occasion
from shared.notices.rules import Told, told_from_json
from shared.outcomes import Done, Later
from shared.spool import states
from shared.spool.spool import Spool
from shared.spool.states import Retry, State
from shared.spool.units import Units

RELAY_ITSELF = "_"
_LEASE = timedelta(minutes=5)
_RETRY = Retry(first=timedelta(seconds=10), longest=timedelta(minutes=10), give_up=timedelta(days=3650))
_KEPT = 5


class ToldBy:
    """What one notifier told.

    Args:
        spool: the spool.
        notifier: its name.
    """

    def __init__(self, spool: Spool, notifier: str) -> None:
        self._spool = spool
        self._folder = f"told/{notifier}"
        self._units = Units(spool.store, self._folder)

    def newest(self, occasion: Occasion, about: str) -> State | None:
        """The newest record of one occasion and what it is about."""
        return self._units.newest(_series(occasion, about))

    def abouts(self, occasion: Occasion) -> list[str]:
        """What this notifier ever told of on an occasion."""
        names = self._spool.store.list(f"{self._folder}/{occasion}")
        return ["" if name == RELAY_ITSELF else name for name in names]

    def all(self) -> Iterator[State]:
        """The newest record of every occasion."""
        for occasion in self._spool.store.list(self._folder):
            for about in self._spool.store.list(f"{self._folder}/{occasion}"):
                state = self._units.newest(f"{occasion}/{about}")
                if state is not None:
                    yield state

    def claim(self, occasion: Occasion, about: str, before: State | None) -> State:
        """Say that this process is about to tell, and return the record.

        Raises:
            SupersededError: another one is.
            StorageError: the disk refused; nothing may be told then.
        """
        now, who = self._spool.now(), owner.this_process()
        told = {} if before is None else before.facts
        if before is None or before.status == "final":
            fresh = State(n=-1 if before is None else before.n, stage="tell", status="waiting", at=now)
        else:
            fresh = before
        claimed = replace(states.claimed(fresh, owner=who, now=now, lease=_LEASE, faults=0), facts=told)
        self._append(occasion, about, claimed)
        return claimed

    def taken(self, occasion: Occasion, about: str, claimed: State, told: Told) -> None:
        """The message was taken. Raises as `claim`."""
        done = Done(outcome="told", facts=told.to_json())
        self._append(occasion, about, states.settled(claimed, done, now=self._spool.now(), retry=_RETRY, jitter=0))

    def failed(self, occasion: Occasion, about: str, claimed: State, why: str, jitter: float) -> None:
        """It was not, and is tried again later. Raises as `claim`."""
        now = self._spool.now()
        waiting = states.settled(claimed, Later(why), now=now, retry=_RETRY, jitter=jitter)
        self._append(occasion, about, replace(waiting, facts=claimed.facts))

    def needless(self, occasion: Occasion, about: str, failed: State) -> None:
        """What could not be told is over, and nobody needs to know. Raises as `claim`."""
        done = Done(outcome="needless", facts=failed.facts)
        self._append(occasion, about, states.settled(failed, done, now=self._spool.now(), retry=_RETRY, jitter=0))

    def _append(self, occasion: Occasion, about: str, state: State) -> None:
        series = _series(occasion, about)
        self._units.append(series, state)
        for name in self._spool.store.list(f"{self._folder}/{series}")[:-_KEPT]:
            self._spool.store.delete(f"{self._folder}/{series}/{name}")


def told_of(state: State | None) -> Told:
    """What was told by a record's account."""
    return Told() if state is None else told_from_json(state.facts)


def failures(spool: Spool, notifiers: tuple[str, ...]) -> dict[str, str]:
    """By notifier, why its last message was not taken; those that are well are left out."""
    waiting = {name: [it for it in ToldBy(spool, name).all() if it.status == "waiting"] for name in notifiers}
    return {name: max(states_, key=lambda it: it.at).reason for name, states_ in waiting.items() if states_}


def _series(occasion: Occasion, about: str) -> str:
    return f"{occasion}/{about or RELAY_ITSELF}"
