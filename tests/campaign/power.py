"""Power cuts: images of the volume at random moments, each looked at as the next start would find it."""

import hashlib
import json
import os
import random
import signal
import time
from contextlib import ExitStack
from pathlib import Path

from tests.campaign.load import data_set_of
from tests.campaign.site import Site, starting
from tests.campaign.volume import mount, mounted, power_cut, unmount
from tests.support import eventually


def power(site: Site, rng: random.Random, many: int) -> dict[str, int]:
    """Copies images under load, then reads each: what was acknowledged before is there, whole, or is counted as lost.

    The workers stand still for the milliseconds of the copy, so that it is of one moment.
    """
    cuts, torn = [], 0
    for number in range(many):
        time.sleep(rng.uniform(0.1, 0.8))
        copy = site.folder / f"cut-{number}.img"
        site.crew.signal_all(signal.SIGSTOP)
        known = set(site.load.acknowledged)
        torn += power_cut(site.image, copy)
        site.crew.signal_all(signal.SIGCONT)
        cuts.append((copy, known))
    counts = {
        "images": many,
        "image_retaken": torn,
        "image_acknowledged": 0,
        "image_lost": 0,
        "image_damaged": 0,
        "image_unreadable_records": 0,
    }
    for copy, known in cuts:
        lost, damaged, unreadable = _look(copy, known, site.folder / "cut")
        counts["image_acknowledged"] += len(known)
        counts["image_lost"] += lost
        counts["image_damaged"] += damaged
        counts["image_unreadable_records"] += unreadable
        copy.unlink()
    return counts


def restarts(site: Site, rng: random.Random, many: int) -> dict[str, int]:
    """The power fails for the whole relay, broker included, and comes back: it goes on from what was on the disk."""
    copy = site.image.with_name("after.img")
    for _ in range(many):
        time.sleep(rng.uniform(1, 4))
        site.crew.signal_all(signal.SIGSTOP)
        power_cut(site.image, copy)
        with ExitStack() as until_it_runs, site.crew.off():
            os.kill(site.broker.pid, signal.SIGKILL)
            eventually(lambda: not site.broker.alive())  # or its port would seem to be taken
            unmount(site.relay.data)
            copy.replace(site.image)
            mount(site.image, site.relay.data)
            until_it_runs.enter_context(starting(site.broker))  # and so do the workers: a machine that boots
    return {"power_cuts": many}


def _look(copy: Path, known: set[str], folder: Path) -> tuple[int, int, int]:
    """Lost instances, damaged ones, and records that are no JSON, in one image after its journal was replayed."""
    with mounted(copy, folder):
        spool = folder / "spool"
        whole, damaged = set(), 0
        for path in spool.glob("parts/*/instances/*"):
            sha256 = hashlib.sha256(data_set_of(path.read_bytes())).hexdigest()
            damaged += sha256 != path.name
            whole |= {path.name} if sha256 == path.name else set()
        unreadable = sum(not _is_record(path) for path in spool.rglob("*.json") if path.is_file())
    return len(known - whole), damaged, unreadable


def _is_record(path: Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except ValueError:
        return False
    return True
