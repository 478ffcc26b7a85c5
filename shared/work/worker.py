"""Claim, count, handle, settle: the one place that turns what a handler answers into records, bells and facts.

It knows nothing of AMQP beyond the bells it returns, so that kills at every durable step can be tried without a broker.
Source: ADR 0004.
"""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

import structlog

from shared import metrics, owner
from shared.errors import (
    HandedBackError,
    PausedError,
    PermanentError,
    SupersededError,
    TransientError,
    where,
)
from shared.messages import Bell
from shared.outcomes import Held, Later, Outcome, Paused
from shared.spool import states
from shared.spool.deliveries import marker
from shared.spool.spool import Spool
from shared.spool.states import Retry, State
from shared.spool.units import Unit
from shared.work.claim import LEASE, Claim
from shared.work.said import Said, ring_of, said

log = structlog.get_logger()
Handle = Callable[[Claim], Outcome]
# A bell that comes this much early is on time: rungs and clocks are not exact.
_EARLY = timedelta(milliseconds=200)


@dataclass
class Worker:
    """One thread's worth of work on bells.

    Args:
        spool: the spool.
        handle: the consumer.
        retry: waits and limits.
        stopping: set when the process was told to stop.
        jitter: draws 0..1.
    """

    spool: Spool
    handle: Handle
    retry: Retry
    stopping: threading.Event = field(default_factory=threading.Event)
    jitter: Callable[[], float] = random.random
    claim: Claim | None = None

    def look(self, bell: Bell, *, redelivered: bool = False) -> Said:
        """Answer a bell: claim the unit, count, handle, settle.

        Args:
            bell: which record to look at.
            redelivered: the bell's first reader may have died at any line, so the newest record counts, whatever its n.

        Returns:
            What to publish before the bell is acknowledged; nothing when it was stale.
        """
        unit = self.spool.units(bell.unit).load(bell.unit)
        if unit is None or unit.state.status in ("held", "final") or unit.state.stage == states.HAND_OVER:
            return Said()
        abandoned = self.spool.is_abandoned(unit.state)
        if unit.state.n != bell.n and not redelivered and not abandoned:
            return Said()
        if unit.state.status == "working" and not abandoned:
            return Said()
        early = (unit.state.due or self.spool.now()) - self.spool.now()
        if early > _EARLY:
            return Said(rings=(ring_of(unit, unit.state, early),), unit=bell)
        return self._work(unit, faults=unit.state.faults + abandoned)

    def abandon(self) -> None:
        """Give the unit back from another thread, when the process can wait no longer for the handler."""
        claim = self.claim
        if claim is not None:
            claim.append(states.handed_back(claim.state, now=self.spool.now()))

    def _work(self, unit: Unit, faults: int) -> Said:
        claim = Claim(self.spool, unit, self.stopping)
        now = self.spool.now()
        try:
            claim.append(states.claimed(unit.state, owner=owner.this_process(), now=now, lease=LEASE, faults=faults))
            if faults >= self.retry.faults:
                outcome: Outcome | str | None = Held(f"its worker died {faults} times at it", "bug")
            else:
                self.claim = claim
                outcome = self._handled(claim)
            return self._settle(claim, outcome)
        except SupersededError:
            log.info("superseded", unit=unit.id)
            return Said()
        finally:
            self.claim = None

    def _handled(self, claim: Claim) -> Outcome | str | None:
        """What the handler answered; a word when it broke; None when it gave the unit back."""
        try:
            with metrics.timed(metrics.STEP_SECONDS.labels(stage=claim.state.stage)):
                return self.handle(claim)
        except HandedBackError:
            return None
        except PausedError as error:
            return Paused(error.reason, error.until)
        except TransientError as error:
            return Later(str(error))
        except PermanentError as error:
            return Held(error.reason, error.dead_letter_class)
        except SupersededError:
            raise
        except Exception as error:  # noqa: BLE001  (the worker: what nobody foresaw is counted, without its text)
            log.error("handler_broke", unit=claim.id, error=type(error).__name__, at=where(error))
            return f"{type(error).__name__} at {where(error)}"

    def _settle(self, claim: Claim, outcome: Outcome | str | None) -> Said:
        now, jitter = self.spool.now(), self.jitter()
        if outcome is None:
            state = states.handed_back(claim.state, now=now)
        elif isinstance(outcome, str):
            state = states.broke(claim.state, outcome, now=now, retry=self.retry, jitter=jitter)
        else:
            state = states.settled(claim.state, outcome, now=now, retry=self.retry, jitter=jitter)
        claim.settle(state)
        if state.status == "final" and claim.id.startswith("d"):
            self.spool.store.delete(marker(claim.id))
        _count(claim, state)
        return said(claim, state, outcome)


def _count(claim: Claim, state: State) -> None:
    if state.status == "held":
        metrics.DEAD_LETTERS.labels(**{"class": state.dead_letter_class}).inc()
    if state.status == "waiting" and state.tries:
        metrics.RETRIES.labels(stage=state.stage).inc()
    if state.stage in ("send", "verify") and state.status in ("held", "final"):
        word = state.outcome or "dead_letter"
        metrics.DELIVERIES.labels(destination=claim.order["destination"], outcome=word).inc()
