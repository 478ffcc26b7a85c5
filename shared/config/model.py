"""The whole configuration, as the rest of the product sees it."""

import hashlib
import json
from collections.abc import Iterator
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import Field

from shared.config import callers
from shared.config.fields import Name, Table, Tables
from shared.config.notifying import Notify
from shared.config.peers import Destination, Source
from shared.config.profiles import Profile
from shared.config.relay import Broker, Ingress, Ledger, Metrics, Relay, Spool
from shared.config.rules import Calendar, Check, Edit, Route


class Config(Table):
    """A configuration that passed every check; immutable. In TOML the lists and tables have singular names."""

    relay: Relay = Relay()
    broker: Broker = Broker()
    ingress: Ingress = Ingress()
    ledger: Ledger = Ledger()
    spool: Spool = Spool()
    metrics: Metrics = Metrics()
    notify: Tables[Notify] = ()
    sources: Tables[Source] = Field(default=(), alias="source")
    destinations: Tables[Destination] = Field(default=(), alias="destination")
    calendars: dict[Name, Calendar] = Field(default={}, alias="calendar")
    profiles: dict[Name, Profile] = Field(default={}, alias="profile")
    checks: Tables[Check] = Field(default=(), alias="check")
    edits: dict[Name, Edit] = Field(default={}, alias="edit")
    routes: Tables[Route] = Field(default=(), alias="route")

    def snapshot(self) -> bytes:
        """Return it as canonical JSON without secrets; `from_snapshot` makes an equal configuration of it."""
        return json.dumps(self._tables(), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    @classmethod
    def from_snapshot(cls, snapshot: bytes) -> "Config":
        """Return the configuration of a snapshot; its data_dir is where it was when the snapshot was made."""
        return cls.model_validate(json.loads(snapshot))

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the snapshot, in hexadecimal."""
        return hashlib.sha256(self.snapshot()).hexdigest()

    def source_of(
        self, calling_ae_title: str, host: str, called_ae_title: str, certificate: frozenset[str] | None = None
    ) -> Source | None:
        """Return the most specific source a caller is, or None; `mismatch_of` says why, `callers.source_of` more."""
        found = callers.source_of(self.sources, calling_ae_title, host, called_ae_title, certificate)
        return found if isinstance(found, Source) else None

    def mismatch_of(
        self, calling_ae_title: str, host: str, called_ae_title: str, certificate: frozenset[str] | None = None
    ) -> callers.Mismatch | None:
        """Return what about a caller fits no source, as `callers.source_of`; None when it is a source."""
        found = callers.source_of(self.sources, calling_ae_title, host, called_ae_title, certificate)
        return None if isinstance(found, Source) else found

    def source(self, name: str) -> Source | None:
        """Return the source of that name, or None."""
        return next((source for source in self.sources if source.name == name), None)

    def destination(self, name: str) -> Destination | None:
        """Return the destination of that name, or None."""
        return next((destination for destination in self.destinations if destination.name == name), None)

    def route(self, name: str) -> Route | None:
        """Return the route of that name, or None."""
        return next((route for route in self.routes if route.name == name), None)

    def profile(self, name: str) -> Profile | None:
        """Return the profile of that name, or None."""
        return self.profiles.get(name)

    def edit(self, name: str) -> Edit | None:
        """Return the edit of that name, or None."""
        return self.edits.get(name)

    def key_path(self, profile: Profile | Edit) -> Path:
        """Return where the key of a profile or edit lies."""
        return self.relay.data_dir / profile.key_file

    def quiet_of(self, source: Source) -> tuple[timedelta, timedelta]:
        """Return a source's `quiet` and `quiet_after_release`, its own or [ingress]'s."""
        after_release = source.quiet_after_release or self.ingress.quiet_after_release
        return source.quiet or self.ingress.quiet, after_release

    def holds_changed(self, source: Source) -> bool:
        """Return whether a source's new content under a known SOP Instance UID is looked at, and held if need be."""
        return (source.on_changed or self.relay.on_changed) == "hold"

    def resolved_lines(self) -> tuple[str, ...]:
        """Return every setting as a line `source.ct-1.ae_title = "CT1"`; there are no secrets in it."""
        return tuple(f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in _flat("", self._tables()))

    def _tables(self) -> dict[str, Any]:
        return self.model_dump(mode="json", by_alias=True)


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the leaves of nested tables with their dotted keys; tables in a list go by their names or numbers."""
    if isinstance(value, dict) and prefix.endswith(".rows"):
        yield prefix, f"{len(value)} lines"  # of a hospital's file: not to be printed
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(f"{prefix}.{key}" if prefix else key, inner)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for number, inner in enumerate(value, 1):
            yield from _flat(f"{prefix}.{inner.get('name', number)}", inner)
    elif value not in (None, []):
        yield prefix, value
