"""The same act on many units: several at a time, because each waits for the disk."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")
_AT_ONCE, _BATCH = 8, 200


def in_bulk(act: Callable[[T], R], things: Sequence[T]) -> Iterator[list[R]]:
    """What an act answers to each thing, batch by batch, in their order.

    Each act is whole by itself: whoever is killed in the middle has done some, and can do the others later.
    """
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        for start in range(0, len(things), _BATCH):
            yield list(pool.map(act, things[start : start + _BATCH]))
