"""The spool: the truth about what was received, what is to be done, and what has been done."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from shared import owner
from shared.spool.states import State
from shared.spool.store import Step, Store
from shared.spool.units import Units

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The time, with its zone."""
    return datetime.now(UTC)


class Spool:
    """One spool on disk.

    Args:
        root: the directory, made ready by `shared.spool.volume`.
        clock: tells the time.
        step: called around each durable step; tests kill there.
        store: names and bytes, when they are not those of the directory.

    Attributes:
        store: names and bytes.
        parts: units at stage `route`.
        deliveries: units at stages `render` and `send`.
        commitments: units at stage `commit`.
    """

    def __init__(
        self, root: Path, *, clock: Clock = utc_now, step: Step = lambda _: None, store: Store | None = None
    ) -> None:
        self.store = store or Store(root, step)
        self.parts = Units(self.store, "parts")
        self.deliveries = Units(self.store, "deliveries")
        self.commitments = Units(self.store, "commitments")
        self.now = clock

    def units(self, unit: str) -> Units:
        """The series that a unit's id belongs to, by its first letter."""
        if unit.startswith("c"):
            return self.commitments
        return self.parts if unit.startswith("p") else self.deliveries

    def put_json(self, name: str, content: Mapping[str, Any]) -> bool:
        """`put_new` of a JSON object."""
        return self.store.put_new(name, json.dumps(content, separators=(",", ":"), sort_keys=True).encode())

    def read_json(self, name: str) -> dict[str, Any] | None:
        """A JSON object, or None when there is no such name."""
        body = self.store.read(name)
        content: dict[str, Any] | None = None if body is None else json.loads(body)
        return content

    def keep_config(self, snapshot: bytes, config_hash: str) -> None:
        """Keep a resolved configuration under its hash, so that a part can be decided under it later."""
        self.store.put_new(f"config/{config_hash}.json", snapshot)

    def config(self, config_hash: str) -> bytes | None:
        """The snapshot kept under a hash."""
        return self.store.read(f"config/{config_hash}.json")

    def is_abandoned(self, state: State) -> bool:
        """Whether the one who works on a unit has ended, or let the lease run out."""
        return state.status == "working" and (owner.is_alive(state.owner) is False or self.lapsed(state.lease))

    def lapsed(self, moment: datetime | None, grace: timedelta = timedelta(0)) -> bool:
        """Whether a moment (plus grace) has passed; None has."""
        return moment is None or moment + grace <= self.now()
