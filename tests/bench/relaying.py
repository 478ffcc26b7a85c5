"""The whole relay, and its sender, against Orthanc and against scripts over DCMTK.

From the first byte sent to the last instance at the destination: a storescp that writes to RAM, as it stands for a
machine with a disk of its own. The quiet second that relay and Orthanc wait for a study to be over is taken off both;
the scripts wait for less, or not at all when the next study begins, so nothing is taken off beside them. What the
sender alone does is taken from its delivery's records: from the claim to the end, with the hash of every file checked,
answers recorded and the association opened and closed.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench import dcmtk
from tests.bench.orthanc import ANONYMIZE, STORE, orthanc
from tests.bench.relay import CLEAN, PLAIN, QUIET_SECONDS, STOCK, Measured, span
from tests.bench.rounds import by_turns
from tests.bench.rows import Goal, Row
from tests.bench.sizes import Sizes
from tests.bench.store import facts_of, store_all
from tests.bench.studies import CT, MR, SMALL, Kind, study
from tests.peers import StoreScp

SEND_TUNED = Goal(name="send to tuned storescp, against tuned dcmsend", at_least=0.9)
SEND_STOCK = Goal(name="send to stock storescp, against dcmsend", at_least=30)
RELAY = Goal(name="whole relay, durable, against tuned Orthanc", at_least=2)
DEIDENTIFY = Goal(name="de-identify and relay, against tuned Orthanc", at_least=2.5)


@dataclass
class Field:
    """Who competes: all run from beginning to end.

    Args:
        folder: of the benchmark.
        sizes: how much.
        relay: ours.
        tuned: the destination.
        stock: a destination that leaves Nagle's algorithm on.
    """

    folder: Path
    sizes: Sizes
    relay: Measured
    tuned: StoreScp
    stock: StoreScp
    ports: dict[str, int] = field(default_factory=dict)

    def start(self, stack: ExitStack) -> None:
        """Starts the other relays."""
        to = self.tuned.port
        for name, lua in (("Orthanc", STORE), ("anonymizing Orthanc", ANONYMIZE)):
            place = name.replace(" ", "-")
            self.ports[name] = stack.enter_context(orthanc(self.folder, place, tuned=True, lua=lua, to_port=to)).port
        for name, tuned in (("scripts", True), ("stock scripts", False)):
            place = name.replace(" ", "").upper()
            self.ports[name] = stack.enter_context(dcmtk.script(self.folder, place, to, tuned=tuned)).port

    def study(self, kind: Kind, count: int, studies: int = 1) -> list[Path]:
        """A new study, on disk."""
        files = study(self.folder, kind, count, studies=studies)
        os.sync()
        return files

    def relays(self, name: str, kind: Kind, count: int, studies: int = 1) -> Callable[[], float]:
        """Seconds that a relay takes for so many instances."""

        def run() -> float:
            files = self.study(kind, count, studies)
            sent = dcmtk.send(self.folder, self.ports[name], files, tuned=name != "stock scripts")
            return dcmtk.arrived(self.tuned, len(files)) - sent.begun

        return run

    def ours(self, source: str, kind: Kind, count: int, studies: int = 1) -> Callable[[], float]:
        """Seconds that we take."""

        def run() -> float:
            before, files = self.relay.deliveries(), self.study(kind, count, studies)
            sent = dcmtk.send(self.folder, self.relay.port, files, tuned=True, calling=source)
            at = dcmtk.arrived(self.tuned, len(files))
            self.relay.finished(before, studies)
            return at - sent.begun

        return run


def relay(competitors: Field) -> Iterator[Row]:
    """Rows of the plain and the de-identifying relay."""
    sizes = competitors.sizes
    for kind, count in ((CT, sizes.ct), (MR, sizes.mr)):
        yield from _plain(competitors, kind, count, 1)
        yield from _deidentifying(competitors, kind, count)
    yield from _plain(competitors, SMALL, 2, sizes.small_studies)
    if sizes.scripts_stock:
        runs = {"ours": competitors.ours(PLAIN, CT, sizes.ct)}
        runs["theirs"] = competitors.relays("stock scripts", CT, sizes.ct)
        taken = by_turns("stock scripts", 1, runs)
        yield _beside(f"{sizes.ct} × {CT.name}", taken["ours"], "stock scripts", taken["theirs"])


def send(competitors: Field) -> Iterator[Row]:
    """Rows of the sender alone."""
    for kind, count in ((CT, competitors.sizes.ct), (MR, competitors.sizes.mr)):
        yield from _send(competitors, kind, count, competitors.tuned, PLAIN)
        yield from _send(competitors, kind, competitors.sizes.stock, competitors.stock, STOCK)


def _plain(competitors: Field, kind: Kind, count: int, studies: int) -> Iterator[Row]:
    what = f"{count} × {kind.name}" + (f", {studies} studies in one association" if studies > 1 else "")
    runs = {"ours": competitors.ours(PLAIN, kind, count, studies)}
    runs |= {name: competitors.relays(name, kind, count, studies) for name in ("Orthanc", "scripts")}
    taken = by_turns(f"relay {what}", competitors.sizes.rounds, runs)
    yield _row("relay", what, taken["ours"], taken["Orthanc"], RELAY if studies == 1 else None)
    yield _beside(what, taken["ours"], "tuned scripts", taken["scripts"])


def _deidentifying(competitors: Field, kind: Kind, count: int) -> Iterator[Row]:
    what = f"{count} × {kind.name}"
    runs = {
        "ours": competitors.ours(CLEAN, kind, count),
        "theirs": competitors.relays("anonymizing Orthanc", kind, count),
    }
    taken = by_turns(f"de-identify {what}", competitors.sizes.rounds, runs)
    yield _row("de-identify", what, taken["ours"], taken["theirs"], DEIDENTIFY)


def _send(competitors: Field, kind: Kind, count: int, to: StoreScp, source: str) -> Iterator[Row]:
    word = "tuned" if source == PLAIN else "stock"

    def theirs() -> float:
        files = competitors.study(kind, count)
        rate = dcmtk.send(competitors.folder, to.port, files, tuned=source == PLAIN).rate
        dcmtk.empty(to)
        return rate

    def loop() -> float:
        rate = store_all(to.port, facts_of(competitors.study(kind, count)))
        dcmtk.empty(to)
        return rate

    def ours() -> float:
        before, files = competitors.relay.deliveries(), competitors.study(kind, count)
        dcmtk.send(competitors.folder, competitors.relay.port, files, tuned=True, calling=source)
        (records,) = competitors.relay.finished(before)
        dcmtk.empty(to)
        return count / span(records, "send")

    what = f"{count} × {kind.name}, to {word} storescp"
    rates = by_turns(f"send {what}", competitors.sizes.rounds, {"ours": ours, "loop": loop, "theirs": theirs})
    goal = SEND_TUNED if source == PLAIN else SEND_STOCK
    for name, series in (("sender process", "ours"), ("bare loop", "loop")):
        yield Row(
            section="send", what=f"{what}, {name}", unit="/s", ours=rates[series], name=f"{word} dcmsend",
            theirs=rates["theirs"], better="higher", goal=goal,
        )  # fmt: skip


def _row(section: str, what: str, ours: list[float], theirs: list[float], goal: Goal | None) -> Row:
    ours, theirs = ([seconds - QUIET_SECONDS for seconds in taken] for taken in (ours, theirs))
    return Row(
        section=section, what=what, unit="s", ours=ours, name="tuned Orthanc", theirs=theirs, better="lower", goal=goal
    )  # fmt: skip


def _beside(what: str, ours: list[float], name: str, theirs: list[float]) -> Row:
    what = f"{what}, nothing taken off"
    return Row(section="relay", what=what, unit="s", ours=ours, name=name, theirs=theirs, better="lower")
