"""A destination in a network namespace of its own, whose line is cut and mended."""

import os
import random
import subprocess
import time

from tests.campaign.site import Site

_HERE, _THERE = "10.77.0.1", "10.77.0.2"


def network(site: Site, rng: random.Random, many: int) -> dict[str, int]:
    """The line to `archive` goes down and comes up again."""
    for number in range(many):
        time.sleep(rng.uniform(0.3, 1))
        _ip("link", "set", "dcmrelay0", "down")
        time.sleep(rng.uniform(0.3, 3))
        _ip("link", "set", "dcmrelay0", "up")
    return {"network_cuts": many}


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
