"""What a consumer answers: what became of the unit. One place (`shared.work`) turns it into records, bells and acks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from shared.errors import DeadLetterClass
from shared.messages import Event, Ring


@dataclass(frozen=True, kw_only=True)
class Done:
    """The unit is final.

    Args:
        outcome: one word for the record: `routed`, `delivered`, ...
        rings: bells for the units that this one made.
        facts: kept in the final record.
    """

    outcome: str
    rings: tuple[Ring, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Next:
    """The same unit goes on, at another stage or with its next slice; not a failure."""

    stage: str


@dataclass(frozen=True)
class Later:
    """May work later; the reason is kept, the time is the worker's to choose.

    Args:
        reason: why it did not work now.
        given_up: what it becomes when its time is used up; None: class unreachable, with the reason.
    """

    reason: str
    given_up: "Held | None" = None


@dataclass(frozen=True)
class Paused:
    """A person paused what the unit needs: it waits, no try is counted, and the time to give up stands still."""

    reason: str
    until: datetime


@dataclass(frozen=True, kw_only=True)
class Watched:
    """Nothing is left to do for the unit now, but it is looked at again: what it made may have to go elsewhere.

    Args:
        outcome: one word for the record: `routed`.
        until: when it is looked at again, if nobody does before.
        reason: what is known by now, without patient data.
        alert: a person is to be told the reason.
        rings: bells for the units that this one made or changed.
        events: facts to be told.
    """

    outcome: str
    until: datetime
    reason: str = ""
    alert: bool = False
    rings: tuple[Ring, ...] = ()
    events: tuple[Event, ...] = ()


@dataclass(frozen=True)
class Held:
    """A person is needed: a dead letter with its reason and class."""

    reason: str
    dead_letter_class: DeadLetterClass


Outcome = Done | Next | Later | Paused | Watched | Held
