"""`python -m tests.bench [--quick] [--only SECTION ...]`: measures, prints the table, keeps the figures as JSON."""

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from shared import logs
from tests.bench import dcmtk
from tests.bench.growth import instances, studies
from tests.bench.ingest import ingest
from tests.bench.leaving import leaving
from tests.bench.machine import machine
from tests.bench.memory import memory
from tests.bench.relay import running
from tests.bench.relaying import Field, relay, send
from tests.bench.rounds import say
from tests.bench.rows import Row, goals, row_to_json, table
from tests.bench.scaling import scaling
from tests.bench.secured import secured
from tests.bench.sizes import FULL, QUICK, Sizes
from tests.bench.storm import storm
from tests.bench.trouble import trouble

ALONE = {"ingest": ingest, "TLS": secured, "storm": storm, "workers": scaling, "trouble": trouble, "leaving": leaving}
# In this order: what is measured last leaves the most behind.
TOGETHER = {"send": send, "relay": relay, "instances": instances, "memory": memory, "studies": studies}
FREE_GIGABYTES = 30
RAM, RAM_GIGABYTES = Path("/dev/shm"), 3
_NOTE = """Medians of the rounds, and their range. A ratio above 1 is in our favour; in rows with an upper bound
(growth, memory, time) it is ours over theirs."""


def main() -> None:
    """Measures what was asked for."""
    arguments = _arguments()
    logs.set_up("bench", "WARNING")
    begun = time.monotonic()
    with _workplace(arguments.folder) as folder:
        facts = machine(folder)
        rows = list(_rows(folder, QUICK if arguments.quick else FULL, arguments.only))
    load = Path("/proc/loadavg").read_text(encoding="ascii").split()[0]
    print(page(rows, facts, arguments=_said(arguments), seconds=time.monotonic() - begun, load=load))
    content = {"machine": facts, "quick": arguments.quick, "rows": [row_to_json(row) for row in rows]}
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    say(f"written: {arguments.json}")


def page(rows: list[Row], facts: dict[str, str], *, arguments: Sequence[str], seconds: float, load: str) -> str:
    """The figures for `docs/benchmarks.md`: how they were taken, each goal, each row.

    Args:
        rows: of all sections.
        facts: about the machine.
        arguments: of the command line.
        seconds: how long it took.
        load: average of the last minute.
    """
    command = "make bench" + (f' ARGS="{" ".join(arguments)}"' if arguments else "")
    head = f"Measured with `{command}` in {seconds / 60:.1f} minutes, load at the end {load}, on:"
    machine = "\n".join(f"* {name}: {fact}" for name, fact in facts.items())
    return "\n\n".join([head, machine, goals(rows), _NOTE, table(rows)])


def _said(arguments: argparse.Namespace) -> list[str]:
    """Those arguments that make a difference to the figures."""
    some = ["--only", *arguments.only] if arguments.only != [*ALONE, *TOGETHER] else []
    return [*(["--quick"] if arguments.quick else []), *some]


def _rows(folder: Path, sizes: Sizes, only: list[str]) -> Iterator[Row]:
    for name, section in ALONE.items():
        if name in only:
            say(f"-- {name}")
            place = folder / name
            place.mkdir()
            yield from section(place, sizes)
    wanted = [name for name in TOGETHER if name in only]
    if wanted:
        with _field(folder, sizes) as competitors:
            for name in wanted:
                say(f"-- {name}")
                yield from TOGETHER[name](competitors)


@contextmanager
def _field(folder: Path, sizes: Sizes) -> Iterator[Field]:
    with ExitStack() as stack:
        away = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dcmrelay-bench-", dir=_ram(folder))))
        tuned = stack.enter_context(dcmtk.receiver(away, "TUNED", tuned=True))
        stock = stack.enter_context(dcmtk.receiver(away, "STOCK", tuned=False))
        ours = stack.enter_context(running(folder, archive=tuned.port, stock=stock.port))
        competitors = Field(folder, sizes, ours, tuned, stock)
        competitors.start(stack)
        yield competitors


def _ram(otherwise: Path) -> Path:
    """A RAM disk with room for the largest study, for destinations."""
    return RAM if RAM.is_dir() and shutil.disk_usage(RAM).free > RAM_GIGABYTES * 1e9 else otherwise


@contextmanager
def _workplace(parent: Path) -> Iterator[Path]:
    """A new folder on the disk that is to be measured; gone afterwards."""
    parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(parent).free / 1e9
    if free < FREE_GIGABYTES:
        raise SystemExit(f"bench: {parent} has {free:.0f} GB free, {FREE_GIGABYTES} are needed; name another --folder")
    with tempfile.TemporaryDirectory(prefix="bench-", dir=parent, ignore_cleanup_errors=True) as folder:
        yield Path(folder).absolute()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description="Measure the relay against the installed peers.")
    names = [*ALONE, *TOGETHER]
    parser.add_argument("--quick", action="store_true", help="smaller studies, two rounds: about three minutes")
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="some sections")
    parser.add_argument("--folder", type=Path, default=Path("var"), help="on the disk to measure (not a RAM disk)")
    parser.add_argument("--json", type=Path, default=Path("var/bench.json"), help="where the figures go")
    return parser.parse_args()


if __name__ == "__main__":
    main()
