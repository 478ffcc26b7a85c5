"""Circuits: while a destination takes nothing, its owner sends a probe now and then, and all else waits.

circuits/<destination>/<k>.json    opened, failed again or closed, since when, why; the highest number is what is true

Written by the destination's owner, for everybody who wants to know. Source: ADR 0017.
"""

from dataclasses import dataclass
from datetime import datetime

from shared.spool.spool import Spool

_KEPT = 20
_TIMES = frozenset(("since", "failed_at", "probe_at"))


@dataclass(frozen=True, kw_only=True)
class Circuit:
    """One record: the circuit of a destination opened, or closed again.

    Args:
        destination: its name.
        identity: what the destination was; see `Destination.identity`.
        open: whether nothing but probes goes out.
        since: when it opened; of one that closed, when that was.
        why: what the destination failed with; no patient data, no text of the peer.
        failed_at: when it last failed, as a rule a probe; nothing that came later has been tried.
        probe_at: no probe goes out before.
    """

    destination: str
    identity: str
    open: bool
    since: datetime
    why: str = ""
    failed_at: datetime | None = None
    probe_at: datetime | None = None

    @property
    def sentence(self) -> str:
        """Such as `takes nothing since 2026-03-04T02:13+00:00 (no answer), only a probe goes out`."""
        why = f" ({self.why})" if self.why else ""
        return f"takes nothing since {self.since.isoformat(timespec='minutes')}{why}, only a probe goes out"


def newest_circuit(spool: Spool, destination: str) -> Circuit | None:
    """How the circuit of a destination stands; None when it never opened."""
    while names := spool.store.list(f"circuits/{destination}"):
        content = spool.read_json(f"circuits/{destination}/{names[-1]}")
        if content is not None:
            times = {key: datetime.fromisoformat(content[key]) for key in _TIMES & content.keys()}
            return Circuit(**{**content, **times})
    return None


def put_circuit(spool: Spool, circuit: Circuit) -> None:
    """Write how the circuit of a destination stands now, after whatever was written before.

    Raises:
        StorageError: the disk refused; what was written before still counts.
    """
    folder, made = f"circuits/{circuit.destination}", False
    while not made:
        names = spool.store.list(folder)
        k = int(names[-1].removesuffix(".json")) + 1 if names else 0
        content = {key: value for key, value in vars(circuit).items() if value is not None}
        times = {key: content[key].isoformat() for key in _TIMES & content.keys()}
        made = spool.put_json(f"{folder}/{k:08}.json", content | times)
    for name in spool.store.list(folder)[:-_KEPT]:
        spool.store.delete(f"{folder}/{name}")
