"""`python -m tests.bench.history FOLDER`: what listings and sweeps cost by what waits, and by what has been finished.

Prints a table of CPU times, of commands by the clock too, medians of five; makes a spool for each row below FOLDER,
which must be empty, and needs some gigabytes of many small files for the largest. Written plainly, without the
product's fsyncs.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from statistics import median

from consumers.janitor.sweep import sweep
from consumers.sender.circuit import Circuit
from consumers.sender.waiting import Waiting
from shared import logs
from shared.config import Config, load
from shared.forms import RECEIVED
from shared.spool.outlines import Keeper
from shared.spool.spool import Spool
from shared.spool.volume import prepare
from tests.dcmrelay.relays import write_config

ROUNDS = 5
WAITING_AND_DEAD = ((50, 50), (10_000, 10_000))
FINISHED = (1_000, 10_000, 100_000)


def main() -> None:
    """Measures each pair, and prints a line for each as it is there."""
    logs.set_up("bench", "WARNING")
    folder = Path(sys.argv[1]).absolute()
    print(
        "| waiting | dead letters | finished | sweep | owner's look | `status`: CPU, clock | `dead list`: CPU, clock |"
    )
    print("|---|---|---|---|---|---|---|")
    for waiting, dead in WAITING_AND_DEAD:
        for finished in FINISHED:
            place = folder / f"{waiting}-{finished}"
            place.mkdir(parents=True)
            print(_line(place, waiting, dead, finished), flush=True)


def _line(place: Path, waiting: int, dead: int, finished: int) -> str:
    path = write_config(place)
    config = load(path)
    spool = prepare(config)
    for number, name in enumerate(_states(waiting, dead, finished)):
        _write(spool, number, name)
    Keeper(spool).keep(sweep(spool, "").unfinished)
    swept = [_cpu(lambda: sweep(spool, "")) for _ in range(ROUNDS)]
    picked = [_cpu(lambda: _pick(spool, config)) for _ in range(ROUNDS)]
    cells = [f"{median(it) * 1000:.0f} ms" for it in (swept, picked)]
    for words in (("status",), ("dead", "list")):
        cpu, clock = _command(path, *words)
        cells.append(f"{median(cpu) * 1000:.0f} ms, {median(clock) * 1000:.0f} ms")
    return f"| {waiting:,} | {dead:,} | {finished:,} | {' | '.join(cells)} |"


def _states(waiting: int, dead: int, finished: int) -> Iterator[str]:
    yield from ["waiting"] * waiting
    yield from ["held"] * dead
    yield from ["final"] * finished


def _write(spool: Spool, number: int, status: str) -> None:
    """A delivery as its records say it: one record, or three."""
    unit, at = f"d{number:032x}", spool.now().isoformat()
    order = {
        "id": unit, "part": f"p{number:032x}", "route": "all", "destination": "archive", "identity": "1" * 16,
        "calling_ae_title": "DCMRELAY", "form": asdict(RECEIVED), "source": "ct-1", "optional": False,
        "urgent": False, "again": 0, "one_of": False, "excluded": [],
    }  # fmt: skip
    common = {"stage": "send", "at": at, "config": "0" * 64}
    records: list[dict[str, object]] = [{**common, "order": order, "n": 0, "status": "waiting"}]
    if status != "waiting":
        ended = {"reason": "refused", "dead_letter_class": "refused"} if status == "held" else {"outcome": "delivered"}
        records.append({**common, "n": 1, "status": "working", "owner": "gone"})
        records.append({**common, "n": 2, "status": status, **ended})
    folder = spool.store.path(f"deliveries/{unit}")
    folder.mkdir(parents=True)
    for record in records:
        (folder / f"{record['n']:08}.json").write_text(json.dumps(record), encoding="utf-8")
    if status != "final":
        marker = spool.store.path(f"active/deliveries/{unit}")
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.touch()


def _pick(spool: Spool, config: Config) -> None:
    archive = config.destination("archive")
    assert archive is not None
    Waiting(spool, "archive", Circuit(spool, archive)).pick(())


def _cpu(act: object) -> float:
    assert callable(act)
    begun = time.process_time()
    act()
    return time.process_time() - begun


def _command(config: Path, *words: str) -> tuple[list[float], list[float]]:
    """CPU seconds of a command, in user and kernel mode, and by the clock; Python's byte code is at hand."""
    command = [sys.executable, "-m", "dcmrelay", *words, "--config", str(config)]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(config.parent.parent / "pycache")
    cpu, clock = [], []
    for round_ in range(ROUNDS + 1):
        before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        subprocess.run(command, stdout=subprocess.DEVNULL, env=environment, check=False)
        after, ended = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        if round_ > 0:  # the first makes the byte code
            cpu.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
            clock.append(ended - begun)
    return cpu, clock


if __name__ == "__main__":
    main()
