"""Ingest, one association: our ingress (durable) against Orthanc (syncs its files) and storescp (syncs nothing)."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from tests.bench import dcmtk
from tests.bench.orthanc import orthanc
from tests.bench.rounds import by_turns
from tests.bench.rows import Goal, Row
from tests.bench.sizes import Sizes
from tests.bench.studies import CT, MR, Kind, study
from tests.producers.ingress.running import ingress_process

AGAINST_TUNED = Goal(name="ingest, one association, durable, against tuned Orthanc", at_least=2)
AGAINST_STOCK = Goal(name="ingest from stock dcmsend, against stock Orthanc or storescp", at_least=20)


def ingest(folder: Path, sizes: Sizes) -> Iterator[Row]:
    """Rows of the instances a second that one dcmsend brings to each."""
    with ExitStack() as stack:
        (folder / "ingress").mkdir()
        ports = {
            "dcmrelay": stack.enter_context(ingress_process(folder / "ingress")).port,
            "tuned Orthanc": stack.enter_context(orthanc(folder, "TUNED", tuned=True)).port,
            "stock Orthanc": stack.enter_context(orthanc(folder, "STOCK", tuned=False)).port,
            "tuned storescp": stack.enter_context(dcmtk.receiver(folder, "TUNEDSCP", tuned=True)).port,
            "stock storescp": stack.enter_context(dcmtk.receiver(folder, "STOCKSCP", tuned=False)).port,
        }
        for kind, count in ((CT, sizes.ct), (MR, sizes.mr)):
            yield from _tuned(folder, sizes, kind, count, ports)
            yield from _stock(folder, sizes, kind, ports)


def _tuned(folder: Path, sizes: Sizes, kind: Kind, count: int, ports: dict[str, int]) -> Iterator[Row]:
    what = f"{count} × {kind.name}, from tuned dcmsend"
    names = ("dcmrelay", "tuned Orthanc", "tuned storescp")
    rates = by_turns(
        what, sizes.rounds, {name: _brings(folder, kind, count, ports[name], tuned=True) for name in names}
    )
    yield _row(what, rates, "tuned Orthanc", AGAINST_TUNED)
    yield _row(what, rates, "tuned storescp", None)


def _stock(folder: Path, sizes: Sizes, kind: Kind, ports: dict[str, int]) -> Iterator[Row]:
    what = f"{sizes.stock} × {kind.name}, from stock dcmsend"
    names = ("dcmrelay", "stock Orthanc", "stock storescp")
    runs = {name: _brings(folder, kind, sizes.stock, ports[name], tuned=False) for name in names}
    rates = by_turns(what, sizes.rounds, runs)
    for name in names[1:]:
        yield _row(what, rates, name, AGAINST_STOCK)


def _brings(folder: Path, kind: Kind, count: int, port: int, *, tuned: bool) -> Callable[[], float]:
    def run() -> float:
        files = study(folder, kind, count)
        os.sync()
        return dcmtk.send(folder, port, files, tuned=tuned).rate

    return run


def _row(what: str, rates: dict[str, list[float]], name: str, goal: Goal | None) -> Row:
    return Row(
        section="ingest", what=what, unit="/s", ours=rates["dcmrelay"], name=name, theirs=rates[name],
        better="higher", goal=goal,
    )  # fmt: skip
