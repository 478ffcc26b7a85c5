"""`python -m tests.campaign run|report`: runs trials until the time is up, one line each; makes the table of them."""

import argparse
import json
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path

from tests.campaign.network import network
from tests.campaign.report import table
from tests.campaign.site import campaign_broker
from tests.campaign.trials import MANY, Row, commit, trial

DEFAULT = Path("var/campaign.jsonl")
# What the whole campaign shall hold, in trials of each kind; a run takes the kind that is furthest behind.
WANTED = {
    "kills": 17, "all-at-once": 3, "syscalls": 8, "bystanders": 2, "broker-killed": 2, "broker-erased": 3,
    "connections": 2, "queues": 1, "queues-full": 2, "alarms": 2, "disk-full": 3, "destinations": 2, "clock": 1,
    "zombies": 2, "network": 2, "power": 6, "power-control": 1, "power-cut": 1, "up": 1, "long-send": 0,
}  # fmt: skip


def rows_of(results: Path) -> list[Row]:
    """The lines of a results file; a last one that was cut off is left out."""
    if not results.exists():
        return []
    rows = []
    for line in results.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows


def main() -> int:
    """Exit code 1 when a trial of this run lost, damaged or misdirected anything, or did not come to rest."""
    asked = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what a trial has mounted and started ends with it
    if asked.command == "report":
        print(table(row for row in rows_of(asked.results) if asked.commit in ("", row["commit"])))
        return 0
    asked.results.parent.mkdir(parents=True, exist_ok=True)
    until, bad, tried = time.monotonic() + asked.minutes * 60, 0, Counter[str]()
    ours = commit()
    kinds = asked.kinds.split(",") if asked.kinds else list(WANTED)
    with network() as host, campaign_broker() as broker:
        while time.monotonic() < until:
            done = Counter(it["kind"] for it in rows_of(asked.results) if "failed" not in it and it["commit"] == ours)
            wanted = {kind: asked.trials or WANTED[kind] for kind in kinds}
            left = [kind for kind in kinds if done[kind] < wanted[kind]]
            if not left:
                break
            kind = min(left, key=lambda it: ((done[it] + tried[it]) / wanted[it], it))
            broker.start()
            seed = asked.seed or random.SystemRandom().randrange(1 << 31)
            row = trial(kind, seed, broker, host, asked.many, asked.results.parent / "logs")
            with asked.results.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            print(json.dumps(row), flush=True)
            bad += is_bad(row)
            tried[kind] += "failed" in row
            if bad >= 20:
                break
    return 1 if bad else 0


def is_bad(row: Row) -> bool:
    """Whether a trial found something that must never be."""
    if row["kind"] == "power-control":
        return "failed" in row
    counts = ("lost", "corrupt", "wrong_form", "wrong_place", "manual")
    faults = row.get("faults", {})
    return (
        "failed" in row
        or any(row[it] for it in counts)
        or row.get("unexplained", 0) > 0
        or any(faults.get(f"image_{it}") for it in ("lost", "damaged"))
        or row["duplicated"] > faults.get("zombies", row["duplicated"])  # it may repeat what it had in hand, no more
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.campaign")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run")
    run.add_argument("results", nargs="?", type=Path, default=DEFAULT)
    run.add_argument("--minutes", type=float, default=45)
    run.add_argument("--kinds", default="", help=f"of {','.join(MANY)}")
    run.add_argument("--trials", type=int, default=0, help="of each kind, those in the results file included")
    run.add_argument("--many", type=int, default=0, help="faults of one trial")
    run.add_argument("--seed", type=int, default=0)
    report = commands.add_parser("report")
    report.add_argument("results", type=Path)
    report.add_argument("--commit", default="", help="only trials of this one, as `git describe --always` names it")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
