"""A storm of bad callers: what a good sender keeps of its rate, and how soon the ingress is as before."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench import dcmtk
from tests.bench.rounds import by_turns
from tests.bench.rows import Goal, Row
from tests.bench.sizes import Sizes
from tests.bench.studies import MR, study
from tests.certificates import authority, ingress_tls
from tests.producers.ingress.running import ingress_process
from tests.support import eventually
from tests.system.storming import HALF_OPEN, SLOW
from tests.system.test_storm import Held, is_as_before
from tests.system.test_storm import storm as raging

ALLOWED_SECONDS = 30
KEPT = Goal(name="a good sender's rate in a storm of bad callers", at_least=0.8)
GIVEN_BACK = Goal(name=f"threads, descriptors and memory are back within {ALLOWED_SECONDS} s of a storm", at_most=1)


def storm(folder: Path, sizes: Sizes) -> Iterator[Row]:
    """Rows of a good sender's rate in the storm, and of the time until threads, descriptors and memory are back."""
    world = authority(folder / "certificates")
    with ingress_process(folder, more=ingress_tls(world, world.issue("relay", "IP:127.0.0.1"))) as ours:

        def calm() -> float:
            files = study(folder, MR, sizes.mr)
            os.sync()
            return dcmtk.send(folder, ours.port, files, tuned=True).rate

        def stormy() -> float:
            with raging(ours):
                return calm()

        calm()
        before = Held.by(ours.pid)
        rates = by_turns("storm", sizes.rounds, {"calm": calm, "stormy": stormy})
        with raging(ours):
            calm()
        over = time.monotonic()
        eventually(lambda: is_as_before(before, Held.by(ours.pid)), 2 * ALLOWED_SECONDS)
        took = time.monotonic() - over
    yield Row(
        section="storm", what=f"{sizes.mr} × {MR.name}; {HALF_OPEN} half-open, {SLOW} slow, 1 TLS-silent", unit="/s",
        ours=rates["stormy"], name="without storm", theirs=rates["calm"], better="higher", goal=KEPT,
    )  # fmt: skip
    yield Row(
        section="storm", what="until threads, descriptors, memory are as before", unit="s",
        ours=[took], name="allowed", theirs=[ALLOWED_SECONDS], goal=GIVEN_BACK,
    )  # fmt: skip
