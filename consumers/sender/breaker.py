"""When a destination's circuit opens and closes, and when the next probe goes out. No I/O, no clock, no globals.

What failed is the destination itself when there was no association at all, or when the turns of two different
deliveries in a row ended without one instance that was answered for good: one instance that a destination cannot stand
must not keep back all the others. Source: ADR 0017.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from shared.errors import PeerError, PeerRejectedError
from shared.spool.states import Retry

Gate = Literal["all", "one", "none"]
_CALLING_AE_TITLE_NOT_RECOGNIZED = (1, 1, 3)


@dataclass(frozen=True, kw_only=True)
class Breaker:
    """How things stand with a destination.

    Args:
        since: when the circuit opened; None: it is closed.
        probes: how many failed since then.
        due: when the next may go out.
        fruitless: the delivery whose turn was the last to bring nothing; empty after one that brought something.
        why: what it failed with last.
        failed_at: when, while it is open.
    """

    since: datetime | None = None
    probes: int = 0
    due: datetime | None = None
    fruitless: str = ""
    why: str = ""
    failed_at: datetime | None = None

    def gate(self, now: datetime) -> Gate:
        """What may begin now: all deliveries, one of them as a probe, or none."""
        if self.since is None:
            return "all"
        return "one" if self.due is None or self.due <= now else "none"


CLOSED = Breaker()


def failed(
    breaker: Breaker, delivery: str, why: str, *, away: bool, now: datetime, retry: Retry, jitter: float
) -> Breaker:
    """How things stand after a delivery's turn that brought nothing.

    Args:
        breaker: how they stood; when the circuit is open, the turn was a probe.
        delivery: whose turn it was.
        why: what the destination failed with.
        away: there was no association.
        now: the time.
        retry: waits between probes are those between tries.
        jitter: 0..1.
    """
    if breaker.since is not None:
        probes = breaker.probes + 1
        return replace(breaker, probes=probes, due=now + retry.wait(probes, jitter), why=why, failed_at=now)
    if away or breaker.fruitless not in ("", delivery):
        return Breaker(since=now, due=now + retry.wait(0, jitter), fruitless=delivery, why=why, failed_at=now)
    return replace(breaker, fruitless=delivery, why=why)


def is_about_the_caller(error: PeerError) -> bool:
    """Whether a destination does not know the name we called under, which may be one source's alone (PS3.8 9.3.4)."""
    if not isinstance(error, PeerRejectedError):
        return False
    return (error.result, error.source, error.reason) == _CALLING_AE_TITLE_NOT_RECOGNIZED
