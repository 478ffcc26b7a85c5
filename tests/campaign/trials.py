"""One trial: a site, a burst of faults, rest, an account."""

import random
import shutil
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dcmrelay.private_broker import PrivateBroker
from tests.campaign.accounts import account
from tests.campaign.faults import KINDS
from tests.campaign.network import Network
from tests.campaign.rest import arrived, held, in_several_parts, remembered, rests, unexplained
from tests.campaign.singles import SINGLES
from tests.campaign.site import Site, site
from tests.system.relay import PROJECT

Row = dict[str, Any]
# How much one trial does, unless told.
MANY = {
    "kills": 50, "all-at-once": 6, "syscalls": 20, "bystanders": 20, "broker-killed": 4, "broker-erased": 7,
    "connections": 6, "queues": 12, "queues-full": 4, "alarms": 4, "disk-full": 10, "destinations": 12, "clock": 15,
    "zombies": 2, "network": 25, "power": 40, "power-control": 5, "power-cut": 5, "up": 5, "long-send": 1, "medley": 1,
}  # fmt: skip
# Without a broker the ingress takes more in a second than the other workers can bring away in one.
_PAUSES = {
    "broker-killed": 1.0,
    "broker-erased": 1.0,
    "alarms": 1.0,
    "queues-full": 1.0,
    "power-cut": 0.6,
    "medley": 1.0,
}


def trial(kind: str, seed: int, broker: PrivateBroker, host: Network, many: int, logs: Path) -> Row:
    """Runs one trial of a kind.

    Args:
        kind: a key of MANY.
        seed: of what is hit, and when.
        broker: a running node.
        host: where the workers run.
        many: faults; as MANY says when 0.
        logs: a folder for what the workers said in a trial that is to be explained.

    Returns:
        One line of the results. `failed` says why a trial did not come to its end, which is a finding.
    """
    rng, begun, many = random.Random(seed), time.monotonic(), many or MANY[kind]
    row: Row = {"kind": kind, "seed": seed, "at": datetime.now(UTC).isoformat(timespec="seconds"), "commit": commit()}
    try:
        if kind in SINGLES:
            row |= SINGLES[kind](host, rng, many)
        else:
            with site(broker, host, synced=kind != "power-control", pause=_PAUSES.get(kind, 0.25)) as ours:
                try:
                    row |= on_site(kind, ours, rng, many)
                finally:
                    _keep_log(row, ours, logs)
    except (AssertionError, OSError, subprocess.SubprocessError) as error:
        row["failed"] = f"{type(error).__name__}: {error}"[:500]
    return row | {"seconds": round(time.monotonic() - begun, 1)}


def on_site(kind: str, ours: Site, rng: random.Random, many: int) -> Row:
    """A burst on a running site, which then takes no more; what came of it."""
    deadline = time.monotonic() + 60
    while not any(True for _ in arrived(ours.peers)):
        assert time.monotonic() < deadline, "nothing arrives though nothing is wrong yet"
        time.sleep(0.1)
    row: Row = {"faults": KINDS[kind](ours, rng, many)}
    calm = time.monotonic()
    ours.load.__exit__(None, None, None)
    if kind != "power-control":
        row["slow"] = rests(ours.relay)
    row["recovery_seconds"] = round(time.monotonic() - calm, 1)
    letters = held(ours.relay)
    row |= account(ours.load.acknowledged.values(), arrived(ours.peers)).row() | {
        "held": letters,
        "manual": len(letters),
    }
    row["unexplained"] = unexplained(ours.relay, row["again"])
    row["in_several_parts"] = in_several_parts(ours.relay)
    row["exits"] = sorted({f"{worker}: {code}" for worker, code in ours.crew.codes if code != -9})
    if kind == "bystanders":
        row["remembered_seconds"] = remembered(ours.relay)
    return row


def commit() -> str:
    """The commit under test, with a plus when files differ from it."""
    said = subprocess.run(
        ["git", "describe", "--always", "--dirty=+", "--exclude=*"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    return said.stdout.strip()


def _keep_log(row: Row, ours: Site, logs: Path) -> None:
    if row.get("recovery_seconds") is None or row.get("duplicated") or row.get("exits") or row.get("lost"):
        logs.mkdir(parents=True, exist_ok=True)
        shutil.copy(ours.relay.folder / "crew.log", logs / f"{row['kind']}-{row['seed']}.log")
