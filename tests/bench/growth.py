"""Growth: what an instance costs late in a large study, and a study while many others wait for a dead destination."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import pairwise
from statistics import median
from unittest.mock import patch

from consumers.janitor.sweep import sweep
from shared.config import load
from shared.spool.parts import active_parts
from shared.spool.states import State
from tests.bench import dcmtk
from tests.bench.relay import PLAIN, QUIET_SECONDS, Measured, cpu_seconds
from tests.bench.relaying import Field
from tests.bench.rounds import say
from tests.bench.rows import Goal, Row
from tests.bench.store import facts_of, store_each
from tests.bench.studies import SMALL
from tests.dcmrelay.relays import Prepared
from tests.support import eventually

FLAT = Goal(name="cost per instance and per study as study and queue grow", at_most=1.1)
FEW = 10


@dataclass(frozen=True, kw_only=True)
class Passage:
    """What one study's instances took, in milliseconds each.

    Args:
        received: from each C-STORE request to its answer, in order.
        closed: from the last answer to the sender's claim, the quiet second taken off, for each instance.
        sent: of each slice of the sender's, in order.
    """

    received: list[float]
    closed: float
    sent: list[float]


def instances(competitors: Field) -> Iterator[Row]:
    """Rows of one study of many small instances: its last tenth against its first, and against a small study."""
    count, few = competitors.sizes.growth, competitors.sizes.growth // 10
    large: list[Passage] = []
    small: list[Passage] = []
    for _ in range(competitors.sizes.rounds):
        small.append(_passage(competitors, few))
        large.append(_passage(competitors, count))
        say(f"growth: closing {small[-1].closed:.3g} and {large[-1].closed:.3g} ms an instance")
    yield _row(
        f"an instance received, last tenth of {count}",
        [_last_tenth(one.received) for one in large], "first tenth",
        [_first_tenth(one.received[FEW:]) for one in large], "ms",
    )  # fmt: skip
    yield _row(
        f"an instance, as its part of {count} is closed and routed",
        [one.closed for one in large], f"part of {few}",
        [one.closed for one in small], "ms",
    )  # fmt: skip
    yield _row(
        f"an instance sent, last tenth of {count}",
        [_last_tenth(one.sent) for one in large], "first tenth",
        [_first_tenth(one.sent) for one in large], "ms",
    )  # fmt: skip


def studies(competitors: Field) -> Iterator[Row]:
    """Rows of live studies, and of the sweep, with few and with many deliveries waiting."""
    many = competitors.sizes.waiting
    _add_waiting(competitors.relay, FEW)
    alone = _live(competitors)
    _add_waiting(competitors.relay, many - FEW)
    crowded = _live(competitors)
    for k, (what, unit) in enumerate(
        (("a live study", "ms"), ("CPU time of a live study", "ms"), ("CPU time of a sweep, each waiting", "ms"))
    ):
        yield _row(f"{what}, {many} waiting", crowded[k], f"{FEW} waiting", alone[k], unit)


def _passage(competitors: Field, count: int) -> Passage:
    before, facts = competitors.relay.deliveries(), facts_of(competitors.study(SMALL, count))
    times = store_each(competitors.relay.port, facts, calling=PLAIN)
    answered = time.time()
    dcmtk.arrived(competitors.tuned, count)
    (records,) = competitors.relay.finished(before)
    claimed = next(state for state in records if state.status == "working")
    closed = claimed.at.timestamp() - answered - QUIET_SECONDS
    return Passage(received=[one * 1000 for one in times], closed=closed / count * 1000, sent=_slices(records))


def _slices(records: list[State]) -> list[float]:
    """Milliseconds for each instance, slice by slice."""
    working = [state for state in records if state.status == "working"]
    return [
        (after.at - before.at).total_seconds() * 1000 / len(after.facts["delivered"])
        for before, after in pairwise(working)
    ]


def _live(competitors: Field) -> tuple[list[float], list[float], list[float]]:
    """Milliseconds a study, in time and in CPU time, and CPU milliseconds of a sweep for each delivery that waits."""
    relay, count = competitors.relay, competitors.sizes.live
    waiting = len(list(relay.spool.store.list("active/deliveries")))
    eventually(lambda: len(list(active_parts(relay.spool))) == waiting, 120)
    run = competitors.ours(PLAIN, SMALL, 2, count)
    taken, used, swept = [], [], []
    for _ in range(competitors.sizes.rounds):
        begun = time.process_time()
        sweep(relay.spool, "")
        swept.append((time.process_time() - begun) / waiting * 1000)
        before = sum(map(cpu_seconds, relay.worker_pids().values()))
        taken.append((run() - QUIET_SECONDS) / count * 1000)
        used.append((sum(map(cpu_seconds, relay.worker_pids().values())) - before) / count * 1000)
        eventually(lambda: len(list(active_parts(relay.spool))) == waiting, 120)
    say(f"growth: {waiting} waiting: a live study {median(taken):.3g} ms, a sweep {median(swept) * waiting:.3g} ms")
    return taken, used, swept


def _add_waiting(relay: Measured, count: int) -> None:
    """Studies whose first try at a dead destination failed and whose next is due in an hour; synced at the end."""
    prepared = Prepared(load(relay.relay.config), relay.spool)
    with patch("os.fsync"):
        for number in range(count):
            part = prepared.part(study=f"1.2.3.{number}")
            (delivery,) = prepared.routed(part, "dead")
            state = relay.spool.deliveries.newest(delivery)
            assert state is not None
            due = relay.spool.now() + timedelta(hours=1)
            later = replace(state, n=1, tries=1, since=state.at, due=due, reason="cannot connect")
            relay.spool.deliveries.append(delivery, later)
    os.sync()


def _first_tenth(values: list[float]) -> float:
    return median(values[: max(1, len(values) // 10)])


def _last_tenth(values: list[float]) -> float:
    return median(values[-max(1, len(values) // 10) :])


def _row(what: str, ours: list[float], name: str, theirs: list[float], unit: str) -> Row:
    return Row(section="growth", what=what, unit=unit, ours=ours, name=name, theirs=theirs, goal=FLAT)
