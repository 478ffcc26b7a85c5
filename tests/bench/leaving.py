"""A service in trouble is left for another: how long after the study was due that is on record."""

import os
import signal
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

from shared.spool.spool import Spool
from tests.bench.dcmtk import receiver
from tests.bench.rounds import say
from tests.bench.rows import Goal, Row
from tests.bench.sizes import Sizes
from tests.bench.store import facts_of, store_each
from tests.bench.studies import SMALL, study
from tests.consumers.sender.peer import Peer, listening
from tests.peers import free_port
from tests.support import eventually
from tests.system.relay import Relay, destination, relay_in

AFTER_SECONDS, STEP_SECONDS = 2.0, 1.0
GOAL = Goal(name="hand_over_after and one step of a retry", at_most=1 + STEP_SECONDS / AFTER_SECONDS)
_TROUBLES = {"down": 3, "refuses": 3, "hangs": 3, "full": 3, "loses": 1}
"""Instances of the study for each; one that loses its last answer loses the only one."""
_SERVICE = """
[[source]]
name = "{name}"
ae_title = "{title}"
hosts = ["127.0.0.0/8"]
[[route]]
name = "{name}"
match = {{ source = "{name}" }}
one_of = [{{ destination = "{name}", as_backup = "always" }}, {{ destination = "night", as_backup = "always" }}]
hand_over_after = "2s"
"""


def leaving(folder: Path, sizes: Sizes) -> Iterator[Row]:
    """A row for each trouble; a relay for each round, so that no service is known to be in trouble before."""
    taken: dict[str, list[float]] = defaultdict(list)
    for number in range(sizes.rounds):
        place = folder / str(number)
        place.mkdir()
        for name, seconds in _round(place).items():
            say(f"one that {name}: told after {seconds:.3f}")
            taken[name].append(seconds * 1000)
    for name, values in taken.items():
        done = "a person is told of" if name == "loses" else "another gets the study of"
        yield Row(
            section="leaving", what=f"{done} one that: {name}", unit="ms", ours=values, name="hand_over_after",
            theirs=[AFTER_SECONDS * 1000] * len(values), goal=GOAL,
        )  # fmt: skip


def _round(folder: Path) -> dict[str, float]:
    """By trouble, seconds from when the delivery was due to the record of what was decided."""
    with ExitStack() as stack:
        options = {"night": (), "hangs": (), "refuses": ("--refuse",), "loses": ("--abort-after",)}
        scps = {
            it: stack.enter_context(receiver(folder, it.upper(), *more, tuned=True)) for it, more in options.items()
        }
        full = stack.enter_context(listening(Peer(script=[0xA700] * 1000)))
        ports = {name: scp.port for name, scp in scps.items()} | {"down": free_port(), "full": full.port}
        relay = stack.enter_context(relay_in(folder / "relay"))
        more = "".join(_SERVICE.format(name=name, title=name.upper()) for name in _TROUBLES)
        relay.configure("".join(destination(*it) for it in ports.items()), more)
        relay.start()
        os.kill(scps["hangs"].pid, signal.SIGSTOP)
        for name, count in _TROUBLES.items():
            store_each(relay.port, facts_of(study(folder / name, SMALL, count)), calling=name.upper())
        spool = Spool(relay.data / "spool")
        found = {name: eventually(lambda name=name: _decided(relay, spool, name), 60) for name in _TROUBLES}
        os.kill(scps["hangs"].pid, signal.SIGCONT)
        relay.stop()
        return found


def _decided(relay: Relay, spool: Spool, name: str) -> float | None:
    """Seconds from the delivery's first record to the one that says that it moved, or that a person is told."""
    for unit in spool.deliveries.ids():
        delivery = spool.deliveries.load(unit)
        if delivery is None or delivery.order["destination"] != name:
            continue
        moved = delivery.state.at if delivery.state.outcome == "handed_over" else None
        told = moved or _told(spool, str(delivery.order["part"]))
        return None if told is None else (told - delivery.made_at).total_seconds()
    return None


def _told(spool: Spool, part: str) -> datetime | None:
    return next((it.at for it in spool.parts.history(part) if it.facts.get("alert")), None)
