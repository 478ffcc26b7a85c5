"""What surrounds the relay's processes in a simulation: a clock, a broker that forgets and repeats, three receivers.

The spool on disk and everything that works on it are the product's own; only AMQP and the network are played here.
"""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from shared.accounts.counting import WORDS
from shared.accounts.reading import take_account
from shared.broker.topology import rung_for
from shared.config import Config, parse
from shared.errors import PeerAbortedError, PeerUnreachableError
from shared.messages import Bell, Ring
from shared.spool.deliveries import active_deliveries
from shared.spool.parts import active_parts, read_part
from shared.spool.spool import Spool
from shared.spool.volume import prepare
from tests.shared.spool.examples import data_set

PLAIN, DEIDENTIFIED, OPTIONAL = "archive", "reading", "research"
TEXT = """
[relay]
data_dir = "var"
[ingress]
min_free = "1kB"
[[source]]
name = "ct-1"
ae_title = "CT1"
issuer = "HX"
quiet = "5s"
quiet_after_release = "1s"
[[destination]]
name = "archive"
ae_title = "ARCHIVE"
host = "127.0.0.1"
port = 1
[[destination]]
name = "reading"
ae_title = "READING"
host = "127.0.0.1"
port = 2
deidentified_only = true
[[destination]]
name = "research"
ae_title = "RESEARCH"
host = "127.0.0.1"
port = 3
[profile.reading]
pseudonyms = { PatientID = "HX{key:12}" }
[[route]]
name = "plain"
match = { source = "ct-1", Modality = "CT" }
to = ["archive"]
optional = ["research"]
[[route]]
name = "reading"
match = { source = "ct-1" }
profile = "reading"
to = ["reading"]
"""
CANARIES = (b"CANARY^PATIENT", b"CANARY4711")


def new_config(folder: Path) -> Config:
    """A configuration with its key, shared by all runs."""
    config = parse(TEXT, folder)
    prepare(config)
    return config


class Stepping(Protocol):
    """A process that can be killed at a step."""

    name: str

    def step(self, what: str) -> None: ...


@dataclass(frozen=True)
class ToSend:
    """An instance that the modality has and has had no success for."""

    uid: str
    study: str
    not_before: timedelta = timedelta(0)


@dataclass(eq=False)
class Message:
    """A bell in the broker."""

    key: str
    bell: Bell
    arrives: datetime
    redelivered: bool = False


SCRIPT = (
    ToSend("1.7771.1", "1.7771"), ToSend("1.7772.1", "1.7772"), ToSend("1.7771.2", "1.7771"),
    ToSend("1.7773.1", "1.7773"), ToSend("1.7773.2", "1.7773", timedelta(seconds=10)),
)  # fmt: skip


@dataclass
class World:
    """One run.

    Args:
        root: of the spool.
        config: of the relay.
        rng: every chance of the run.
        lost: share of bells that the broker forgets.
        repeated: share of bells that come twice.
        broken: share of bells during whose work the connection breaks, so that they are delivered once more.
        down_for: how long the optional destination does not answer at first.
        unseen: each process runs on a machine of its own, so that only a lease tells whether another lives.
    """

    root: Path
    config: Config
    rng: random.Random
    lost: float = 0.1
    repeated: float = 0.2
    broken: float = 0.05
    down_for: timedelta = timedelta(seconds=12)
    unseen: bool = False
    begun: datetime = field(default_factory=lambda: datetime.now(UTC))
    elapsed: timedelta = timedelta(0)
    to_send: list[ToSend] = field(default_factory=lambda: list(SCRIPT))
    accepted: Counter[str] = field(default_factory=Counter)
    alive: set[str] = field(default_factory=set)
    current: Stepping | None = None
    messages: list[Message] = field(default_factory=list)
    unacknowledged: dict[str, list[Message]] = field(default_factory=dict)
    most_messages: int = 0
    arrived: list[tuple[str, str, bytes]] = field(default_factory=list)
    aborts: int = 1
    trespasses: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.root.mkdir()
        self.spool = Spool(self.root, clock=self.now)
        self.spool.keep_config(self.config.snapshot(), self.config.hash)

    def now(self) -> datetime:
        return self.begun + self.elapsed

    def monotonic(self) -> float:
        return self.elapsed.total_seconds()

    def this_process(self) -> str:
        return "sim.0.1/0/0" if self.current is None else self.current.name

    def is_alive(self, owner: str) -> bool | None:
        return None if self.unseen and owner != self.this_process() else owner in self.alive

    def step(self, what: str) -> None:
        assert self.current is not None
        self.current.step(what)

    def died(self, name: str) -> None:
        """A process is gone: the broker delivers again what it had not acknowledged."""
        self.alive.discard(name)
        for message in self.unacknowledged.pop(name, []):
            message.redelivered = True
            self.messages.append(message)

    # The broker.

    def publish(self, rings: Sequence[Ring]) -> None:
        for ring in rings:
            self.step("publish")
            if ring.wait.total_seconds() > 0 and rung_for(ring.wait) is None:
                continue
            if self.rng.random() < self.lost:
                continue
            for _ in range(2 if self.rng.random() < self.repeated else 1):
                self.messages.append(Message(ring.routing_key, ring.bell, self.now() + ring.wait))
        self.most_messages = max(self.most_messages, len(self.messages))

    def depth(self, key: str) -> int:
        return sum(message.key == key and message.arrives <= self.now() for message in self.messages)

    def take(self, name: str, keys: set[str]) -> Message | None:
        """A message that has arrived in one of the queues, kept for the process until it acknowledges."""
        ready = [it for it in self.messages if it.key in keys and it.arrives <= self.now()]
        if not ready:
            return None
        message = self.rng.choice(ready)
        self.messages.remove(message)
        if self.rng.random() < self.broken:
            self.messages.append(replace(message, redelivered=True))
        self.unacknowledged.setdefault(name, []).append(message)
        return message

    def acknowledge(self, name: str, message: Message) -> None:
        self.step("acknowledge")
        if message in self.unacknowledged.get(name, []):
            self.unacknowledged[name].remove(message)

    # The receivers.

    def request(self, host: str, port: int, **_: object) -> "Peer":
        destination = self.config.destinations[port - 1].name
        if destination == OPTIONAL and self.elapsed < self.down_for:
            raise PeerUnreachableError(f"cannot connect to {host}:{port}: Connection refused")
        return Peer(self, destination)

    def check_owner(self, destination: str) -> None:
        """Note a C-STORE that is begun by a process that does not own the destination."""
        epochs = self.spool.store.list(f"owners/{destination}")
        owner = self.spool.read_json(f"owners/{destination}/{epochs[-1]}") or {}
        if owner["owner"] != self.this_process():
            self.trespasses.append(destination)

    def check_claim(self, unit: str, n: int) -> None:
        """Note work that is begun on a claim which is another's."""
        if self.spool.units(unit).history(unit)[n].owner != self.this_process():
            self.trespasses.append(unit)

    # What must hold.

    def unfinished(self) -> list[str]:
        """What still has a marker; a part killed between its marker and itself has nothing but the marker."""
        parts = (part for part in active_parts(self.spool) if read_part(self.spool, part) is not None)
        return [*parts, *active_deliveries(self.spool)]

    def is_quiet(self) -> bool:
        return not (self.to_send or self.messages or self.unfinished())

    def duplicates(self) -> int:
        return len(self.arrived) - len({arrival[:2] for arrival in self.arrived})

    def outputs(self, destination: str) -> dict[str, set[bytes]]:
        """What came at a destination, by SOP Instance UID."""
        came: dict[str, set[bytes]] = {}
        for name, uid, content in self.arrived:
            if name == destination:
                came.setdefault(uid, set()).add(content)
        return came

    def verify_account(self) -> None:
        """Every instance that was received is somewhere, at any moment."""
        account = take_account(self.spool)
        assert not account.doubts
        for counts in account.sources.values():
            assert counts["received"] == sum(counts[it] for it in ("routed", "waiting", "held", "discarded"))
        for counts in account.destinations.values():
            assert counts["ordered"] == sum(counts[it] for it in WORDS)

    def verify(self) -> None:
        """Everything accepted is at every destination, in one form, in its form, and nothing is stuck."""
        assert not self.trespasses
        everything = {it.uid: data_set(it.uid, it.study) for it in SCRIPT}
        assert set(self.accepted) == set(everything)
        for destination in (PLAIN, OPTIONAL):
            assert self.outputs(destination) == {uid: {content} for uid, content in everything.items()}
        clean = self.outputs(DEIDENTIFIED)
        assert len(clean) == len(everything), "lost, or two pseudonyms for one instance"
        for outputs in clean.values():
            assert len(outputs) == 1, "two outputs for one instance"
            for content in outputs:
                assert not any(canary in content for canary in CANARIES)
                assert not any(it.study.encode() in content for it in SCRIPT)
        stuck = [
            (unit, state)
            for units in (self.spool.parts, self.spool.deliveries)
            for unit in units.ids()
            if (state := units.newest(unit)) is not None and state.status != "final"
        ]
        assert not stuck


class Peer:
    """An association with a receiver that takes everything; the first one with the optional receiver breaks once."""

    def __init__(self, world: World, destination: str) -> None:
        self._world, self._destination = world, destination

    def release(self) -> None:
        """Nothing is kept of it."""

    def abort(self, error: BaseException | None = None) -> None:
        """Nothing is kept of it."""

    def accepted_context(self, *_: str) -> int:
        return 1

    def store(
        self,
        content: memoryview | Path,
        offset: int,
        length: int,
        *,
        sop_instance_uid: str,
        meanwhile: Callable[[], None],
        **_: Any,
    ) -> int:
        self._world.check_owner(self._destination)
        self._world.step(f"before C-STORE to {self._destination}")
        data_set = bytes(content) if isinstance(content, memoryview) else content.read_bytes()[offset:]
        assert len(data_set) == length
        self._world.arrived.append((self._destination, sop_instance_uid, data_set))
        meanwhile()
        self._world.step(f"after C-STORE to {self._destination}")
        if self._destination == OPTIONAL and self._world.aborts:
            self._world.aborts -= 1
            raise PeerAbortedError("the association ended before the answer")
        return 0x0000
