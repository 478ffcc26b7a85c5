"""The bell: "record n of this part or delivery is there, look at it". No I/O, no clock, no globals."""

import json
import re
from dataclasses import dataclass
from datetime import timedelta

VERSION = 1
LARGEST_BODY_BYTES = 4096
_UNIT = re.compile(r"[pd][0-9a-f]{32}")


@dataclass(frozen=True, kw_only=True)
class Bell:
    """A pointer to one record.

    Args:
        unit: id of a part (`p` + 32 hex digits) or delivery (`d` + 32 hex digits).
        n: number of the record that was newest when the bell was rung.
    """

    unit: str
    n: int


@dataclass(frozen=True, kw_only=True)
class Ring:
    """A bell and where it goes.

    Args:
        routing_key: `route`, `render`, `send.<destination>`, `send.<destination>.urgent` or a dead letter class's key.
        bell: the message.
        wait: not to arrive before; over ten minutes nobody is rung, the sweep does when due.
        journey: id of the part it all began with (AMQP correlation_id).
    """

    routing_key: str
    bell: Bell
    wait: timedelta = timedelta(0)
    journey: str = ""


def encode_bell(bell: Bell) -> bytes:
    """The message body: canonical JSON."""
    return json.dumps({"v": VERSION, "id": bell.unit, "n": bell.n}, separators=(",", ":")).encode()


def decode_bell(body: bytes) -> Bell:
    """Read a message body; other keys than ours are allowed (a fact that is also a bell has more).

    Raises:
        ValueError: too large, not JSON, another version, or not a bell; the text quotes nothing of the body.
    """
    if len(body) > LARGEST_BODY_BYTES:
        raise ValueError("body too large")
    try:
        message = json.loads(body)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError("body is not JSON") from error
    if not isinstance(message, dict) or type(message.get("v")) is not int or message["v"] != VERSION:
        raise ValueError("unknown message version")
    unit, n = message.get("id"), message.get("n")
    if not isinstance(unit, str) or not _UNIT.fullmatch(unit):
        raise ValueError("id is not a part or delivery")
    if type(n) is not int or not 0 <= n < 10**8:
        raise ValueError("n is not a record number")
    return Bell(unit=unit, n=n)
