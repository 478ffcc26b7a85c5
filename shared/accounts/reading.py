"""Takes account of a spool: every instance that was received, where it is, from the records and the tombstones.

Costs by history: for a person's question and the daily report, never for a sweep.
"""

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from shared.accounts.counting import word_of_part, words_of_delivery
from shared.errors import UNREADABLE
from shared.spool.closing import late_id, late_manifests
from shared.spool.deliveries import ordered_of
from shared.spool.parts import Manifest, Part, decided_deliveries, read_manifest, read_part
from shared.spool.removal import has_begun
from shared.spool.spool import Spool
from shared.spool.states import State

Wanted = Callable[[datetime], bool]
LANDING = timedelta(minutes=2)


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """Something that the records do not explain.

    Args:
        part: id of the part.
        destination: whom it concerns, or empty.
        instances: how many.
        why: what is wrong.
    """

    part: str
    destination: str
    instances: int
    why: str


@dataclass
class Account:
    """What was received, and where it is.

    Attributes:
        sources: by source: `parts`, `received`, `duplicates`, `receiving` (in open parts), and of what was received
            `routed`, `waiting`, `held`, `discarded`, `unexplained`: these five are all of it.
        destinations: by source and destination: `ordered`, and of that the words of `counting.WORDS`.
        doubts: what a person has to look at.
    """

    sources: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    destinations: dict[tuple[str, str], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    doubts: list[Doubt] = field(default_factory=list)


def take_account(spool: Spool, is_wanted: Wanted = lambda _: True) -> Account:
    """Look at every part that there is or was.

    Args:
        spool: the spool.
        is_wanted: of the parts, by when they were opened.
    """
    account = Account()
    for part_id in spool.parts.ids():
        try:
            if not _is_removed(spool, part_id):
                _Look(spool, account).at(part_id, is_wanted)
        except UNREADABLE as error:
            account.doubts.append(_doubt(part_id, 0, f"its records cannot be read ({type(error).__name__})"))
    for name in spool.store.list("tombstones"):
        _remember(spool, account, name, is_wanted)
    return account


def _is_removed(spool: Spool, part_id: str) -> bool:
    return spool.store.path(f"tombstones/{part_id}.json").exists()


def _remember(spool: Spool, account: Account, name: str, is_wanted: Wanted) -> None:
    try:
        epitaph = spool.read_json(f"tombstones/{name}") or {}
        if not epitaph.get("opened_at") or not is_wanted(datetime.fromisoformat(epitaph["opened_at"])):
            return
        source, count = epitaph["source"], epitaph["instances"]
        word = "discarded" if epitaph.get("outcome") == "discarded" else "routed"
        account.sources[source].update(
            {"parts": 1, "received": count, "duplicates": epitaph.get("duplicates", 0), word: count}
        )
        for delivery in epitaph["deliveries"]:
            counts = delivery.get("counts") or {delivery["outcome"]: count}
            account.destinations[source, delivery["destination"]].update({"ordered": count, **counts})
    except UNREADABLE as error:
        part = name.removesuffix(".json")
        account.doubts.append(_doubt(part, 0, f"its tombstone cannot be read ({type(error).__name__})"))


@dataclass
class _Look:
    """At one part that is there."""

    spool: Spool
    account: Account

    def at(self, part_id: str, is_wanted: Wanted) -> None:
        part = read_part(self.spool, part_id)
        if part is None:
            if self.spool.store.list(f"parts/{part_id}"):
                self.account.doubts.append(_doubt(part_id, 0, "there is a folder and no record of what it is"))
            return
        if is_wanted(part.opened_at):
            self._part(part)

    def _part(self, part: Part) -> None:
        source = self.account.sources[part.source]
        manifest, state = read_manifest(self.spool, part.id), self.spool.parts.newest(part.id)
        source["parts"] += 1
        if manifest is None:
            source["receiving"] += len(self.spool.store.list(f"parts/{part.id}/instances"))
            return
        count = len(manifest.instances)
        source.update({"received": count, "duplicates": len(manifest.duplicates)})
        decided = decided_deliveries(self.spool, part.id)
        if decided:
            source["routed"] += count
            for delivery in decided:
                self._delivery(part, delivery, state, count)
        else:
            word = word_of_part(state)
            word = "unexplained" if word == "routed" else word
            source[word] += count
            if word == "unexplained" and count:
                self.account.doubts.append(_doubt(part.id, count, "it is final, and no decision says where it went"))
        if state is not None and not has_begun(self.spool, part.id):
            self._files(part, manifest)

    def _delivery(self, part: Part, delivery: str, state: State | None, count: int) -> None:
        unit = self.spool.deliveries.load(delivery)
        if unit is None:
            self._missing(part, delivery, state, count)
            return
        destination = str(unit.order["destination"])
        words = words_of_delivery(unit.state, unit.facts, count)
        self.account.destinations[part.source, destination].update({"ordered": count, **words})
        if words["unexplained"]:
            why = f"delivery {delivery[:10]} is {unit.state.status} and has no answer for them"
            self.account.doubts.append(_doubt(part.id, words["unexplained"], why, destination))

    def _missing(self, part: Part, delivery: str, state: State | None, count: int) -> None:
        """A delivery that was decided and is not there: not yet, or given up with its part, or lost."""
        destination = _destination(self.spool, part.id, delivery)
        word = {"routed": "unexplained", "discarded": "discarded"}.get(word_of_part(state), "waiting")
        if word == "unexplained":
            why = f"delivery {delivery[:10]} was decided and is not there"
            self.account.doubts.append(_doubt(part.id, count, why, destination))
        self.account.destinations[part.source, destination].update({"ordered": count, word: count})

    def _files(self, part: Part, manifest: Manifest) -> None:
        """Whether the files are those that the manifests name: of the part, and of its late parts, which lie in it."""
        folder = f"parts/{part.late_of or part.id}/instances/"
        there = {folder + name for name in self.spool.store.list(folder)}
        missing = {instance.file for instance in manifest.instances} - there
        if missing:
            self.account.doubts.append(_doubt(part.id, len(missing), "their files are gone from the spool"))
        if part.late_of:
            return
        late = late_manifests(self.spool, part.id)
        if _is_removed(self.spool, late_id(part.id, len(late) + 1)):
            return  # the manifest is gone, its files go with this part
        made = (manifest, *late)
        named = {it.file for one in made for it in one.instances} | {file for one in made for file in one.duplicates}
        if more := [name for name in there - named if self._has_landed(name)]:
            self.account.sources[part.source].update({"received": len(more), "unexplained": len(more)})
            self.account.doubts.append(_doubt(part.id, len(more), "they lie in the spool and no manifest names them"))

    def _has_landed(self, name: str) -> bool:
        """Whether an instance is there for so long that whoever brought it has made its part, or is dead."""
        try:
            changed = self.spool.store.path(name).stat().st_mtime
        except FileNotFoundError:
            return False
        return self.spool.lapsed(datetime.fromtimestamp(changed, UTC), LANDING)


def _destination(spool: Spool, part_id: str, delivery: str) -> str:
    """Where a delivery was to go: as the router decided, or as a person ordered."""
    decision = spool.read_json(f"parts/{part_id}/decision.json") or {"deliveries": ()}
    decided = next((str(it["destination"]) for it in decision["deliveries"] if it["id"] == delivery), "")
    unit = None if decided else spool.parts.load(part_id)
    ordered = None if unit is None else ordered_of(unit.facts).get(delivery)
    return decided if ordered is None else ordered.order.destination


def _doubt(part: str, instances: int, why: str, destination: str = "") -> Doubt:
    return Doubt(part=part, destination=destination, instances=instances, why=why)
