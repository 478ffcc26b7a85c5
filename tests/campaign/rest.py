"""Whether a relay has come to rest, and what is then to be seen of it: asked of its files alone."""

import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from itertools import pairwise
from pathlib import Path

from shared.spool.deliveries import active_deliveries
from shared.spool.parts import active_parts, decided_deliveries, read_manifest, read_part
from shared.spool.spool import Spool
from shared.spool.states import State
from tests.consumers.ledger.ledgers import in_spool
from tests.peers import StoreScp
from tests.system.relay import Relay

SLOW_SECONDS = 15


def unfinished(relay: Relay) -> list[State | None]:
    """Newest records of what waits or is worked on; None of a part being received.

    The marker of a part that was killed before it was made stands for nothing: no instance was ever in it.
    """
    spool = Spool(relay.data / "spool")
    parts = [spool.parts.newest(part) for part in active_parts(spool) if read_part(spool, part)]
    deliveries = [it for id_ in active_deliveries(spool) if (it := spool.deliveries.newest(id_))]
    return [it for it in (*parts, *deliveries) if it is None or it.status in ("waiting", "working")]


def rests(relay: Relay, seconds: float = 150) -> list[str]:
    """Waits until nothing is unfinished; returns what was waited for, when that took more than SLOW_SECONDS."""
    begun, slow = time.monotonic(), list[str]()
    while left := unfinished(relay):
        waited = time.monotonic() - begun
        if waited > SLOW_SECONDS and not slow:
            slow = _told(left)
        assert waited < seconds, f"{len(left)} unfinished after {seconds} s: {_told(left)[:5]}"
        time.sleep(0.1)
    return slow


def held(relay: Relay) -> list[str]:
    """Class and reason of each dead letter."""
    spool = Spool(relay.data / "spool")
    states = [spool.parts.newest(part) for part in active_parts(spool)]
    states += [spool.deliveries.newest(id_) for id_ in active_deliveries(spool)]
    return [f"{it.dead_letter_class}: {it.reason}" for it in states if it and it.status == "held"]


def in_several_parts(relay: Relay) -> int:
    """Instances that another part holds too: sent again by a modality that was not told of success."""
    spool = Spool(relay.data / "spool")
    found: Counter[str] = Counter()
    for part in spool.parts.ids():
        if manifest := read_manifest(spool, part):
            found.update(it.sha256 for it in manifest.instances)
    return sum(number - 1 for number in found.values())


def unexplained(relay: Relay, again: Iterable[tuple[str, str, int]]) -> int:
    """Copies that nobody began: an instance comes once more only when its delivery is worked on once more.

    That is: after whoever worked on it ended, or was cut off before the answer. Nobody who goes on repeats anything.
    """
    spool = Spool(relay.data / "spool")
    begun: Counter[tuple[str, str]] = Counter()
    wanted = {sha256 for _, sha256, _ in again}
    for part in spool.parts.ids():
        manifest = read_manifest(spool, part)
        held = wanted & {it.sha256 for it in manifest.instances} if manifest else set()
        for delivery in decided_deliveries(spool, part) or () if held else ():
            order = spool.deliveries.order(delivery)
            times = _times_begun(spool.deliveries.history(delivery))
            begun.update({(str(order["destination"]), sha256): times for sha256 in held} if order else {})
    return sum(max(0, copies - begun[where, sha256]) for where, sha256, copies in again)


def _times_begun(history: list[State]) -> int:
    """How often somebody took a delivery to send it."""
    mine = [(state.status, state.stage, state.owner) for state in history]
    return sum(now[:2] == ("working", "send") and now != before for before, now in pairwise([("", "", ""), *mine]))


def arrived(peers: Mapping[str, StoreScp]) -> Iterator[tuple[str, bytes]]:
    """Every file that a destination wrote, with the destination's name."""
    for name, peer in peers.items():
        for path in peer.files():
            yield name, path.read_bytes()


def remembered(relay: Relay, seconds: float = 90) -> float:
    """Waits until the ledger has every record of the spool, once; returns the seconds that took."""
    begun, file = time.monotonic(), relay.data / "ledger.sqlite"
    wanted = in_spool(Spool(relay.data / "spool"))
    while (there := _entries(file)) != wanted:
        waited = time.monotonic() - begun
        assert waited < seconds, f"the ledger lacks {len(wanted - there)} records, and has {len(there - wanted)} more"
        time.sleep(0.5)
    return round(time.monotonic() - begun, 1)


def _entries(file: Path) -> set[tuple[str, int]]:
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
        found = [(unit, n) for unit, n in database.execute("select unit, n from entries") if unit[0] in "pd"]
    assert len(found) == len(set(found)), "the ledger has a record twice"
    return set(found)


def _told(left: list[State | None]) -> list[str]:
    kinds = Counter(f"{it.stage} {it.status}: {it.reason}" if it else "open part" for it in left)
    return [f"{number} {kind}" for kind, number in kinds.most_common()]
