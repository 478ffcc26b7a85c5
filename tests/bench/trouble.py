"""One destination in trouble: how long a study for another one takes meanwhile, and with the trouble paused."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from shared.spool.spool import Spool
from shared.spool.states import State
from tests.bench.dcmtk import receiver
from tests.bench.rounds import by_turns
from tests.bench.rows import Goal, Row
from tests.bench.sizes import Sizes
from tests.bench.store import facts_of, store_each
from tests.bench.studies import SMALL, study
from tests.consumers.sender.peer import Peer, listening
from tests.peers import free_port
from tests.support import eventually
from tests.system.relay import Relay, destination, relay_in

QUIET_SECONDS = 0.3
TROUBLES = ("down", "refuses", "hangs", "full")
GOAL = Goal(name="a study's time to one destination while another is in trouble", at_most=1.2)
_SOURCE = """
[[source]]
name = "{name}"
ae_title = "{title}"
hosts = ["127.0.0.0/8"]
[[route]]
name = "{name}"
match = {{ source = "{name}" }}
to = ["{name}"]
"""


@dataclass(frozen=True)
class Scene:
    """A relay with a destination that is well and one for each trouble, each with a source of its own."""

    relay: Relay
    folder: Path
    sizes: Sizes

    def seconds(self) -> float:
        """From the last answer to the modality to the delivery's end, the quiet time taken off; median of some."""
        return median(self._one() for _ in range(self.sizes.live))

    def send(self, name: str) -> float:
        """Gives the relay a study of two instances as a source; when the last was answered, seconds since 1970."""
        store_each(self.relay.port, facts_of(study(self.folder, SMALL, 2)), calling=name.upper())
        return time.time()

    def _one(self) -> float:
        spool = Spool(self.relay.data / "spool")
        before = set(spool.deliveries.ids())
        answered = self.send("well")
        (unit,) = eventually(lambda: set(spool.deliveries.ids()) - before, 60)
        ended = eventually(lambda: _ended(spool.deliveries.newest(unit)), 60)
        return ended.at.timestamp() - answered - QUIET_SECONDS


def trouble(folder: Path, sizes: Sizes) -> Iterator[Row]:
    """A row for each trouble: studies wait for it all the time, and it is paused while the others are timed alone."""
    with ExitStack() as stack:
        scps = {it: stack.enter_context(receiver(folder, it.upper(), tuned=True)) for it in ("well", "hangs")}
        scps["refuses"] = stack.enter_context(receiver(folder, "REFUSES", "--refuse", tuned=True))
        full = stack.enter_context(listening(Peer(script=[0xA700] * 100_000)))
        ports = {name: scp.port for name, scp in scps.items()} | {"down": free_port(), "full": full.port}
        relay = stack.enter_context(relay_in(folder / "relay"))
        sources = "".join(_SOURCE.format(name=name, title=name.upper()) for name in ports)
        relay.configure("".join(destination(*it) for it in ports.items()), sources)
        relay.start()
        os.kill(scps["hangs"].pid, signal.SIGSTOP)
        scene = Scene(relay, folder, sizes)
        for name in TROUBLES:
            relay.run("pause", name)
            for _ in range(sizes.small_studies):
                scene.send(name)
        spool = Spool(relay.data / "spool")
        eventually(lambda: len(spool.deliveries.ids()) == len(TROUBLES) * sizes.small_studies, 120)
        scene.seconds()
        for name in TROUBLES:
            yield _row(scene, name)
        os.kill(scps["hangs"].pid, signal.SIGCONT)
        relay.stop()


def _row(scene: Scene, name: str) -> Row:
    def troubled() -> float:
        scene.relay.run("resume", name)
        taken = scene.seconds()
        scene.relay.run("pause", name)
        return taken

    seconds = by_turns(f"one that {name}", scene.sizes.rounds, {"paused": scene.seconds, "in trouble": troubled})
    waiting = scene.sizes.small_studies
    return Row(
        section="trouble", what=f"a study, {waiting} waiting for another destination: {name}", unit="ms",
        ours=[it * 1000 for it in seconds["in trouble"]], name="paused", theirs=[it * 1000 for it in seconds["paused"]],
        goal=GOAL,
    )  # fmt: skip


def _ended(state: State | None) -> State | None:
    return state if state is not None and state.status == "final" else None
