"""What travels over RabbitMQ: bells and facts. Never pixels, never a name, never a path."""

from shared.messages.bell import Bell, Ring, decode_bell, encode_bell
from shared.messages.events import (
    Event,
    StudyCompleted,
    StudyDelivered,
    StudyFailed,
    StudyHandedOver,
    StudyReplayed,
    StudyRouted,
    encode_event,
    told_if_possible,
)

__all__ = [
    "Bell",
    "Event",
    "Ring",
    "StudyCompleted",
    "StudyDelivered",
    "StudyFailed",
    "StudyHandedOver",
    "StudyReplayed",
    "StudyRouted",
    "decode_bell",
    "encode_bell",
    "encode_event",
    "told_if_possible",
]
