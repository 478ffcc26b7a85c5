"""Memory: what each worker had resident at most, after small instances and after one of 2 GB."""

from collections.abc import Iterator

from tests.bench import dcmtk
from tests.bench.relay import CLEAN, PLAIN, peak_megabytes
from tests.bench.relaying import Field
from tests.bench.rounds import say
from tests.bench.rows import Goal, Row
from tests.bench.store import facts_of, store_each
from tests.bench.studies import multi_frame

ALLOWED_MEGABYTES = 230
"""200, and 30 for the one association."""
GOAL = Goal(name="memory of any worker, whatever an instance's size", at_most=1)


def memory(competitors: Field) -> Iterator[Row]:
    """Rows of the workers' peaks before and after a multi-frame instance went through, plain and de-identified."""
    before = _peaks(competitors)
    file = multi_frame(competitors.folder, competitors.sizes.frames)
    size = file.stat().st_size
    for source in (PLAIN, CLEAN):
        known = competitors.relay.deliveries()
        store_each(competitors.relay.port, facts_of([file]), calling=source)
        dcmtk.arrived(competitors.tuned, 1)
        competitors.relay.finished(known)
        say(f"memory: {size / 1e9:.2g} GB from {source} delivered")
    after = _peaks(competitors)
    for name, peak in after.items():
        yield Row(
            section="memory", what=f"{name}: peak after {size / 1e9:.2g} GB, before", unit="MB",
            ours=[peak, before[name]], name="allowed", theirs=[ALLOWED_MEGABYTES] * 2, goal=GOAL,
        )  # fmt: skip


def _peaks(competitors: Field) -> dict[str, float]:
    return {name: peak_megabytes(pid) for name, pid in competitors.relay.worker_pids().items()}
