"""What travels over RabbitMQ: byte for byte, and what is not let in."""

import json
import zlib
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.messages import (
    Bell,
    Event,
    StudyCompleted,
    StudyDelivered,
    StudyFailed,
    StudyHandedOver,
    StudyReplayed,
    StudyRouted,
    decode_bell,
    encode_bell,
    encode_event,
)

PART, DELIVERY = "p" + "0f" * 16, "d" + "1e" * 16
GOLDEN: list[tuple[Bell | Event, bytes]] = [
    (Bell(unit=PART, n=0), b'{"v":1,"id":"p0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f","n":0}'),
    (
        StudyCompleted(id=PART, n=0, part=PART, source="ct-1", instances=612, bytes=321_000_000),
        (
            b'{"v":1,"event":"study.complete","id":"p0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f","n":0,'
            b'"part":"p0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f","source":"ct-1","instances":612,"bytes":321000000}'
        ),
    ),
    (
        StudyRouted(id=PART, n=2, part=PART, deliveries=3),
        (
            b'{"v":1,"event":"study.routed","id":"p0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f","n":2,'
            b'"part":"p0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f","deliveries":3}'
        ),
    ),
    (
        StudyDelivered(id=DELIVERY, n=9, part=PART, destination="archive", instances=612),
        (
            b'{"v":1,"event":"study.delivered","id":"d1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e","n":9,'
            b'"part":"p0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f","destination":"archive","instances":612,"addendum":false}'
        ),
    ),
    (
        StudyFailed(id=DELIVERY, n=4, part=PART, dead_letter_class="refused", destination="archive"),
        (
            b'{"v":1,"event":"study.failed","id":"d1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e","n":4,'
            b'"part":"p0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f","dead_letter_class":"refused","destination":"archive"}'
        ),
    ),
    (
        StudyReplayed(id=DELIVERY, n=5, part=PART),
        (
            b'{"v":1,"event":"study.replayed","id":"d1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e","n":5,'
            b'"part":"p0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f"}'
        ),
    ),
    (
        StudyHandedOver(
            id=PART,
            n=4,
            part=PART,
            route="outside",
            destination="day",
            to="night",
            delivered=300,
            in_doubt=1,
            instances=612,
        ),
        b'{"v":1,"event":"study.handed_over","id":"%b","n":4,"part":"%b","route":"outside","destination":"day",'
        b'"to":"night","delivered":300,"in_doubt":1,"instances":612}' % (PART.encode(), PART.encode()),
    ),
]


@pytest.mark.parametrize(("message", "body"), GOLDEN, ids=lambda it: type(it).__name__)
def test_each_message_is_these_bytes(message: Bell | Event, body: bytes) -> None:
    assert (encode_bell(message) if isinstance(message, Bell) else encode_event(message)) == body


@pytest.mark.parametrize(("message", "body"), GOLDEN, ids=lambda it: type(it).__name__)
def test_every_fact_is_a_bell_for_its_record(message: Bell | Event, body: bytes) -> None:
    unit = message.unit if isinstance(message, Bell) else message.id
    assert decode_bell(body) == Bell(unit=unit, n=message.n)


def test_every_event_has_its_golden_bytes_and_a_key_of_its_own() -> None:
    kinds = Event.__subclasses__()
    assert {type(message) for message, _ in GOLDEN} == {Bell, *kinds}
    assert len({kind.routing_key for kind in kinds}) == len(kinds)
    assert [kind for kind in kinds if kind.must_arrive] == [StudyCompleted]


def test_no_message_has_a_field_for_a_name_or_a_path() -> None:
    known = {"id", "n", "part", "source", "instances", "bytes", "deliveries", "destination", "dead_letter_class"}
    known |= {"route", "to", "delivered", "in_doubt", "addendum"}
    assert {field.name for kind in Event.__subclasses__() for field in fields(kind)} == known


@given(unit=st.from_regex(r"[pd][0-9a-f]{32}", fullmatch=True), n=st.integers(0, 10**8 - 1))
def test_a_bell_is_read_as_it_was_written(unit: str, n: int) -> None:
    assert decode_bell(encode_bell(Bell(unit=unit, n=n))) == Bell(unit=unit, n=n)


def body(**changes: object) -> bytes:
    return json.dumps({"v": 1, "id": PART, "n": 0, **changes}).encode()


HOSTILE = {
    "empty": b"",
    "not JSON": b"CANARY",
    "not UTF-8": b'{"v":1,"id":"CANARY\xff"}',
    "cut": encode_bell(Bell(unit=PART, n=0))[:-2],
    "huge": body(more="CANARY" * 1000),
    "deep": b"[" * 4000,
    "a list": b'["CANARY"]',
    "a number": b"1" * 4000,
    "null": b"null",
    "no version": json.dumps({"id": PART, "n": 0}).encode(),
    "another version": body(v=2, id="CANARY"),
    "a version that is a word": body(v="1"),
    "a version that is true": body(v=True),
    "another study's path": body(id="../../CANARY"),
    "an absolute path": body(id="/etc/CANARY"),
    "an id with a line behind it": body(id=PART + "\n"),
    "an id of another kind": body(id="r" + "0" * 32),
    "an id in capitals": body(id=PART.upper()),
    "an id that is a list": body(id=[PART]),
    "no n": json.dumps({"v": 1, "id": PART}).encode(),
    "a negative n": body(n=-1),
    "an n that is no integer": body(n=1.0),
    "an n that is a word": body(n="CANARY"),
    "an n that is true": body(n=True),
    "an n beyond every record": body(n=10**8),
    "an endless n": b'{"v":1,"id":"' + PART.encode() + b'","n":1e999}',
    "not a number": b'{"v":1,"id":"' + PART.encode() + b'","n":NaN}',
    "pickle": b"\x80\x04\x95\x1a\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x06CANARY",
    "YAML": b"!!python/object/apply:os.system ['CANARY']",
    "a zip bomb": zlib.compress(bytes(1 << 20)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_body_is_refused_and_nothing_of_it_is_quoted(name: str) -> None:
    with pytest.raises(ValueError, match=r"^[a-zA-Z ]+$") as error:
        decode_bell(HOSTILE[name])
    assert "CANARY" not in str(error.value)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_bell_or_refused(noise: bytes) -> None:
    with pytest.raises(ValueError, match=r"^[a-zA-Z ]+$"):
        decode_bell(noise)


def test_a_later_version_may_say_more() -> None:
    assert decode_bell(body(colour="red")) == Bell(unit=PART, n=0)
