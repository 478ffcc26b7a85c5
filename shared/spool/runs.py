"""Runs: one process of the ingress, which open parts belong to.

runs/<run>/<beat>.json            who it is, and until when it counts as running if it cannot be seen
parts/<id>/adopted-<k>            holds the run that an open part goes on under when its own ended
"""

import secrets
from datetime import datetime, timedelta
from typing import Any

from shared import owner
from shared.spool.parts import Part
from shared.spool.spool import Spool

LEASE = timedelta(minutes=2)
BEAT = timedelta(seconds=30)


class Run:
    """This process's run; `beat` at least every BEAT."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self.id = "i" + secrets.token_hex(8)
        self._beat = 0
        self._last = spool.now()
        self._write()

    def beat(self) -> None:
        """Say that the run goes on, if the last time is long enough ago."""
        if self._spool.lapsed(self._last, BEAT):
            self._beat += 1
            self._last = self._spool.now()
            self._write()
            self._spool.store.delete(f"runs/{self.id}/{self._beat - 1:08}.json")

    def _write(self) -> None:
        facts = {"owner": owner.this_process(), "until": (self._last + LEASE).isoformat()}
        self._spool.put_json(f"runs/{self.id}/{self._beat:08}.json", facts)

    def end(self) -> None:
        """The run has closed its parts and goes."""
        self._spool.store.delete(f"runs/{self.id}/{self._beat:08}.json")


def is_running(spool: Spool, run: str) -> bool:
    """Whether a run goes on: its process lives, or cannot be seen and its lease has not run out."""
    facts = _newest_beat(spool, run)
    if facts is None:
        return False
    alive = owner.is_alive(facts["owner"])
    return not spool.lapsed(datetime.fromisoformat(facts["until"])) if alive is None else alive


def run_of(spool: Spool, part: Part) -> str:
    """The run that an open part belongs to now: the one that opened it, or the last that adopted it."""
    adoptions = _adoptions(spool, part)
    adopted = spool.store.read(f"parts/{part.id}/{adoptions[-1]}") if adoptions else None
    return part.run if adopted is None else adopted.decode()


def adopt(spool: Spool, part: Part, run: str) -> bool:
    """Take over an open part of a run that ended; False when it goes on, or somebody else was faster."""
    name = f"parts/{part.id}/adopted-{len(_adoptions(spool, part)):04}"
    if is_running(spool, run_of(spool, part)):
        return False
    return spool.store.put_new(name, run.encode())


def _newest_beat(spool: Spool, run: str) -> dict[str, Any] | None:
    """The newest beat; looked for again when it was replaced meanwhile; None when the run ended or never was."""
    while beats := spool.store.list(f"runs/{run}"):
        if facts := spool.read_json(f"runs/{run}/{beats[-1]}"):
            return facts
    return None


def _adoptions(spool: Spool, part: Part) -> list[str]:
    return [name for name in spool.store.list(f"parts/{part.id}") if name.startswith("adopted-")]
