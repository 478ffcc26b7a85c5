"""The relay under measurement: `dcmrelay up` with a route for each purpose, and what its records say of the times."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from shared.spool.spool import Spool
from shared.spool.states import State
from tests.peers import free_port
from tests.support import eventually
from tests.system.relay import PROFILE, Relay, relay_in

QUIET_SECONDS = 1.0
PLAIN, STOCK, CLEAN = "PLAIN", "STOCK", "CLEAN"
_TICKS = os.sysconf("SC_CLK_TCK")

_HEAD = """
[relay]
data_dir = "var"
[ingress]
listen = ["127.0.0.1:{port}"]
quiet = "1s"
quiet_after_release = "1s"
min_free = "1MB"
"""
_SOURCE = """
[[source]]
name = "{name}"
ae_title = "{title}"
[[route]]
name = "{name}"
match = {{ source = "{name}" }}
to = [{to}]
{more}
"""
_DESTINATION = """
[[destination]]
name = "{name}"
ae_title = "{title}"
host = "127.0.0.1"
port = {port}
  [destination.retry]
  first = "{retry}"
  max = "{retry}"
"""


@dataclass
class Measured:
    """A running relay.

    Args:
        relay: it.
        spool: its spool, to read.
    """

    relay: Relay
    spool: Spool

    @property
    def port(self) -> int:
        """Where its ingress listens."""
        return self.relay.port

    def deliveries(self) -> set[str]:
        """Ids of all deliveries there are."""
        return set(self.spool.deliveries.ids())

    def finished(self, before: set[str], count: int = 1, seconds: float = 300) -> list[list[State]]:
        """Records of the deliveries made since `before`, once so many are delivered."""
        new = eventually(lambda: _enough(self.deliveries() - before, count), seconds)
        eventually(lambda: all(self._is_delivered(unit) for unit in new), seconds)
        return [self.spool.deliveries.history(unit) for unit in sorted(new)]

    def worker_pids(self) -> dict[str, int]:
        """Process ids of the workers that touch instances, by name."""
        names: dict[str, tuple[str, ...]] = {
            "ingress": ("ingress",),
            "router": ("router",),
            "anonymizer": ("anonymizer",),
        }
        names["sender"] = ("sender", "archive")
        return {name: self.relay.pids(*words)[0] for name, words in names.items()}

    def _is_delivered(self, unit: str) -> bool:
        state = self.spool.deliveries.newest(unit)
        assert state is None or state.status != "held", f"a dead letter: {state.reason}"
        return state is not None and state.status == "final"


@contextmanager
def running(folder: Path, *, archive: int, stock: int) -> Iterator[Measured]:
    """Runs a relay with a private broker.

    Args:
        folder: of the benchmark.
        archive: port of the destination of most routes.
        stock: port of the one that leaves Nagle's algorithm on.
    """
    with relay_in(folder / "relay") as relay:
        relay.config.write_text(configuration(relay.port, archive, stock), encoding="utf-8")
        relay.start()
        yield Measured(relay, Spool(relay.data / "spool"))
        relay.stop()


def configuration(port: int, archive: int, stock: int) -> str:
    """Sources named for their route, each with one; destination `dead` listens nowhere and is tried once an hour."""
    profile = 'profile = "reading"'
    return (
        _HEAD.format(port=port)
        + PROFILE
        + "".join(
            _DESTINATION.format(name=name, title=name.upper(), port=at, retry=retry)
            for name, at, retry in (("archive", archive, "1s"), ("stock", stock, "1s"), ("dead", free_port(), "1h"))
        )
        + _source(PLAIN, "archive")
        + _source(STOCK, "stock")
        + _source(CLEAN, "archive", profile)
    )


def span(records: list[State], stage: str) -> float:
    """Seconds from the claim of a stage to its end."""
    begun = next(state.at for state in records if state.stage == stage and state.status == "working")
    ended = next(state.at for state in reversed(records) if state.stage == stage or state.status == "final")
    return (ended - begun).total_seconds()


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has used, in user and kernel mode."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def peak_megabytes(pid: int) -> float:
    """The most memory a process had resident, in MB (VmHWM)."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    kilobytes = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    return kilobytes * 1024 / 1e6


def _source(title: str, destination: str, more: str = "") -> str:
    return _SOURCE.format(name=title.lower(), title=title, to=f'"{destination}"', more=more)


def _enough(units: set[str], count: int) -> set[str]:
    return units if len(units) >= count else set()
