"""Mutated bytes against framer, variable items and command sets: an end that has a name, and nothing half kept.

The seed is fixed and said on failure. `make fuzz` (DCMRELAY_EXHAUSTIVE=1) goes on a hundred times as long, with
another seed each time.
"""

import contextlib
import os
import random
import struct
from collections.abc import Callable
from functools import partial

import pytest

from shared.dimse import Timeouts, codec
from shared.dimse.commands import echo_request, parse_command, store_request
from shared.dimse.items import walk_answer, walk_request
from shared.dimse.negotiation import negotiate
from shared.errors import ProtocolError
from tests.shared.dimse.pdus import ABORT, CT, RELEASE, associate_rq, connected, data_pdus, pdata, pdv, rest, store_rq
from tests.shared.dimse.shelf import Shelf, listening
from tests.support import eventually

EXHAUSTIVE = bool(os.environ.get("DCMRELAY_EXHAUSTIVE"))
SEED = random.SystemRandom().randrange(1 << 32) if EXHAUSTIVE else 20_100_101
STREAMS, PARSED = (30_000, 500_000) if EXHAUSTIVE else (300, 5_000)

REQUEST = associate_rq()
ACCEPT = codec.associate_accept(
    walk_request(REQUEST[6:]), [negotiate(it) for it in walk_request(REQUEST[6:]).contexts], 0
)
STREAM = b"".join(
    (
        REQUEST,
        pdata(pdv(echo_request(1, "1.2.840.10008.1.1"), 3, context_id=1)),
        store_rq(),
        data_pdus(bytes(3000), 700),
        store_rq("1.2.4", 2),
        data_pdus(bytes(range(200)), 16),
        RELEASE,
    )
)
ENDS = {"released", "rejected", "aborted", "timeout", "protocol", "too_large"}
NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x100001, 0x7FFFFFFF, 0xFFFFFFFF)


def mutated(draw: random.Random, content: bytes) -> bytes:
    """Content with one to four things done to it."""
    changed = bytearray(content)
    for _ in range(draw.randint(1, 4)):
        draw.choice(MUTATIONS)(draw, changed, draw.randrange(len(changed) or 1))
    return bytes(changed)


def flip(draw: random.Random, content: bytearray, at: int) -> None:
    content[at : at + 1] = bytes((draw.randrange(256),))


def number(draw: random.Random, content: bytearray, at: int) -> None:
    form = draw.choice((">L", "<L", ">H", "<H"))
    value = draw.choice(NUMBERS) & ((1 << 8 * struct.calcsize(form)) - 1)
    content[at : at + struct.calcsize(form)] = struct.pack(form, value)


def cut(draw: random.Random, content: bytearray, at: int) -> None:
    del content[at : at + draw.randint(1, 40)]


def repeat(draw: random.Random, content: bytearray, at: int) -> None:
    content[at:at] = content[at : at + draw.randint(1, 300)] * draw.randint(1, 3)


def insert(draw: random.Random, content: bytearray, at: int) -> None:
    content[at:at] = draw.choice((REQUEST, RELEASE, ABORT, store_rq(), draw.randbytes(20)))


def end(_draw: random.Random, content: bytearray, at: int) -> None:
    del content[at:]


MUTATIONS: tuple[Callable[[random.Random, bytearray, int], None], ...] = (flip, flip, number, cut, repeat, insert, end)


@pytest.mark.timeout(1800)
def test_a_mutated_stream_has_an_end_with_a_name_and_nothing_half_kept() -> None:
    draw, shelf = random.Random(SEED), Shelf()
    quick = Timeouts(associate=2, pdu=2, idle=2)
    with listening(shelf, timeouts=quick) as listener:
        for n in range(STREAMS):
            said = mutated(draw, STREAM)
            with connected(listener.addresses[0][1]) as peer, contextlib.suppress(OSError):
                peer.sendall(said)
                peer.shutdown(1)
                rest(peer)
            eventually(partial(has_ended, shelf, n + 1))
            assert shelf.ended[-1] in ENDS, (SEED, n)
            assert shelf.sinks == len(shelf.kept) + shelf.discarded, (SEED, n)
            assert shelf.opened_count == shelf.closed_count, (SEED, n)
    assert set(shelf.ended) >= {"released", "protocol", "aborted"}
    assert shelf.kept
    assert shelf.discarded


def has_ended(shelf: Shelf, count: int) -> bool:
    return len(shelf.ended) >= count


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("parse", "content"),
    [
        (walk_request, REQUEST[6:]),
        (walk_answer, ACCEPT[6:]),
        (parse_command, store_request(7, CT, "1.2.3.4", ("PACS", 1))),
    ],
    ids=["request", "answer", "command set"],
)
def test_mutated_bytes_are_read_or_a_protocol_error(parse: Callable[[bytes], object], content: bytes) -> None:
    draw, refused = random.Random(SEED), 0
    for _ in range(PARSED):
        try:
            parse(mutated(draw, content))
        except ProtocolError:
            refused += 1
    assert PARSED // 10 < refused < PARSED, SEED
