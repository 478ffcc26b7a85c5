"""One trial: a site, a burst of faults, rest, an account."""

import random
import subprocess
import time
from datetime import UTC, datetime
from typing import Any

from dcmrelay.private_broker import PrivateBroker
from tests.campaign.accounts import account
from tests.campaign.faults import KINDS
from tests.campaign.power import power
from tests.campaign.site import Site, site
from tests.system.relay import PROJECT

Row = dict[str, Any]
# How much one trial does, unless told.
MANY = {
    "kills": 30, "all-at-once": 6, "syscalls": 20, "broker-killed": 4, "broker-erased": 5, "connections": 6,
    "queues": 12,
    "alarms": 4, "disk-full": 6, "destinations": 12, "clock": 15, "zombies": 2, "power": 25, "power-control": 5,
}  # fmt: skip
_FAULTS = KINDS | {"power": power, "power-control": power}


def trial(kind: str, seed: int, broker: PrivateBroker, many: int = 0) -> Row:
    """Runs one trial of a kind.

    Args:
        kind: a key of MANY.
        seed: of what is hit, and when.
        broker: a running node.
        many: faults; as MANY says when 0.

    Returns:
        One line of the results. `failed` says why a trial did not come to its end, which is a finding.
    """
    rng, begun = random.Random(seed), time.monotonic()
    row: Row = {"kind": kind, "seed": seed, "at": datetime.now(UTC).isoformat(timespec="seconds"), "commit": commit()}
    try:
        with site(broker, synced=kind != "power-control") as ours:
            row |= on_site(kind, ours, rng, many or MANY[kind])
    except AssertionError as error:
        row["failed"] = str(error)[:500]
    return row | {"seconds": round(time.monotonic() - begun, 1)}


def on_site(kind: str, ours: Site, rng: random.Random, many: int) -> Row:
    """A burst on a running site, which then takes no more; what came of it."""
    deadline = time.monotonic() + 60
    while not any(True for _ in ours.arrived()):
        assert time.monotonic() < deadline, "nothing arrives though nothing is wrong yet"
        time.sleep(0.1)
    row: Row = {"faults": _FAULTS[kind](ours, rng, many)}
    calm = time.monotonic()
    ours.load.__exit__(None, None, None)
    if kind != "power-control":
        ours.rests()
    row["recovery_seconds"] = round(time.monotonic() - calm, 1)
    held = ours.held()
    row |= account(ours.load.acknowledged.values(), ours.arrived()).row() | {"held": held, "manual": len(held)}
    row["exits"] = sorted({f"{worker}: {code}" for worker, code in ours.crew.codes if code != -9})
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
