"""When a destination's circuit opens and closes: by table, and for every series of turns."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.sender.breaker import CLOSED, Breaker, failed, is_about_the_caller
from shared.errors import PeerAbortedError, PeerError, PeerRejectedError, PeerUnreachableError
from shared.spool.states import Retry

NOW = datetime(2026, 3, 4, 2, 0, tzinfo=UTC)
RETRY = Retry(first=timedelta(seconds=1), longest=timedelta(minutes=5))


def after(*turns: tuple[str, bool], begin: Breaker = CLOSED) -> Breaker:
    """After turns that brought nothing, a minute apart: of which delivery, and whether there was no association."""
    for k, (delivery, away) in enumerate(turns):
        now = NOW + k * timedelta(minutes=1)
        begin = failed(begin, delivery, "silent", away=away, now=now, retry=RETRY, jitter=0)
    return begin


@pytest.mark.parametrize(
    ("turns", "is_open"),
    [
        ((), False),
        ((("a", True),), True),
        ((("a", False),), False),
        ((("a", False), ("a", False), ("a", False)), False),
        ((("a", False), ("b", False)), True),
        ((("a", False), ("a", True)), True),
    ],
)
def test_a_circuit_opens_for_what_is_about_the_destination(turns: tuple[tuple[str, bool], ...], is_open: bool) -> None:
    assert (after(*turns).since is not None) == is_open


def test_probes_go_out_after_the_waits_of_the_retry_table() -> None:
    breaker, waits = after(("a", True)), []
    for _ in range(12):
        assert breaker.due is not None
        now = breaker.due
        assert (breaker.gate(now - timedelta(milliseconds=1)), breaker.gate(now)) == ("none", "one")
        breaker = failed(breaker, "a", "silent", away=True, now=now, retry=RETRY, jitter=0)
        assert breaker.due is not None
        waits.append((breaker.due - now).total_seconds())
    assert waits == [2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300, 300]
    assert breaker.since == NOW


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), min_size=1, max_size=30), st.floats(0, 1))
def test_an_open_circuit_never_waits_longer_than_the_retry_table_and_keeps_its_beginning(
    turns: list[tuple[str, bool]], jitter: float
) -> None:
    breaker, now = CLOSED, NOW
    for delivery, away in turns:
        before = breaker
        breaker = failed(breaker, delivery, "silent", away=away, now=now, retry=RETRY, jitter=jitter)
        if before.since is not None:
            assert breaker.since == before.since
        if breaker.since is not None:
            assert breaker.due is not None
            assert now < breaker.due <= now + RETRY.longest
            now = breaker.due


@pytest.mark.parametrize(
    ("error", "is_so"),
    [
        (PeerRejectedError(1, 1, 3, "calling AE title not recognized"), True),
        (PeerRejectedError(1, 1, 7, "called AE title not recognized"), False),
        (PeerRejectedError(2, 3, 1, "temporary congestion"), False),
        (PeerUnreachableError("no"), False),
        (PeerAbortedError("no"), False),
    ],
)
def test_a_name_that_is_not_known_says_nothing_about_other_names(error: PeerError, is_so: bool) -> None:
    assert is_about_the_caller(error) == is_so
