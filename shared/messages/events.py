"""Facts for anyone who binds to `dcmrelay.events`: past tense, small, frozen, no patient data.

No I/O, no clock, no globals.
"""

import json
from dataclasses import asdict, dataclass
from typing import ClassVar

from shared.messages.bell import VERSION


@dataclass(frozen=True, kw_only=True)
class Event:
    """A fact about one part or delivery.

    Args:
        id: the part or delivery.
        n: its record that makes the fact true.
        part: the part the journey began with.

    `must_arrive` says that some queue must take it: it is a bell too.
    """

    routing_key: ClassVar[str]
    must_arrive: ClassVar[bool] = False
    id: str
    n: int
    part: str


@dataclass(frozen=True, kw_only=True)
class StudyCompleted(Event):
    """A part was closed; also the router's bell."""

    routing_key: ClassVar[str] = "study.complete"
    must_arrive: ClassVar[bool] = True
    source: str
    instances: int
    bytes: int


@dataclass(frozen=True, kw_only=True)
class StudyRouted(Event):
    """A part's deliveries were decided."""

    routing_key: ClassVar[str] = "study.routed"
    deliveries: int


@dataclass(frozen=True, kw_only=True)
class StudyDelivered(Event):
    """A delivery's instances all have a success or warning of the destination.

    `addendum` says that they are later images of a study that was sent before.
    """

    routing_key: ClassVar[str] = "study.delivered"
    destination: str
    instances: int
    addendum: bool = False


@dataclass(frozen=True, kw_only=True)
class StudyFailed(Event):
    """A part or delivery became a dead letter."""

    routing_key: ClassVar[str] = "study.failed"
    dead_letter_class: str
    destination: str = ""


@dataclass(frozen=True, kw_only=True)
class StudyHandedOver(Event):
    """A study was left for the next candidate of its route; the old one may have some of it."""

    routing_key: ClassVar[str] = "study.handed_over"
    route: str
    destination: str
    to: str
    delivered: int
    in_doubt: int
    instances: int


@dataclass(frozen=True, kw_only=True)
class StudyReplayed(Event):
    """A person let a dead letter go on."""

    routing_key: ClassVar[str] = "study.replayed"


def told_if_possible() -> tuple[str, ...]:
    """The routing keys of the facts that are no bells."""
    return tuple(kind.routing_key for kind in Event.__subclasses__() if not kind.must_arrive)


def encode_event(event: Event) -> bytes:
    """The message body: JSON with the version and the event's fields."""
    return json.dumps({"v": VERSION, "event": event.routing_key, **asdict(event)}, separators=(",", ":")).encode()
