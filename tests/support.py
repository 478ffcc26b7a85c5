"""What every test may use: waiting for a fact."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(fact: Callable[[], T], seconds: float = 10) -> T:
    """Return the first truthy value of `fact`, asked again and again for `seconds`.

    Raises:
        AssertionError: it never became true; says what it was last.
    """
    deadline = time.monotonic() + seconds
    while True:
        value = fact()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not true within {seconds} s, last: {value!r}")
        time.sleep(0.02)
