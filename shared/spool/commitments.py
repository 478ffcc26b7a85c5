"""Storage commitment that sources asked for: a unit for each request, and where what they sent is found.

commitments/<id>/<n>.json             the unit's records; record 0 holds the request
active/commitments/<id>               there while it is not answered
received/<source>/<time>.<part>       a part of a source that may ask, or asked in vain lately; goes with the part
commitment-refused/<source>/<day>     a source asked that may not, on that day

Source: ADR 0019.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, timedelta
from typing import Any

from shared.forms import hashed_id
from shared.spool.parts import Part
from shared.spool.spool import Spool
from shared.spool.states import State

COMMIT = "commit"
"""The stage of these units."""
_REFUSED_FOR = timedelta(days=7)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request for storage commitment.

    Args:
        source: who asked.
        transaction_uid: (0008,1195).
        references: SOP Class UID and SOP Instance UID of each instance.
        calling_ae_title: how the source called itself, and is called when it is answered.
        called_ae_title: how it called us, and we call ourselves then.
        host: address from which it asked.
    """

    source: str
    transaction_uid: str
    references: tuple[tuple[str, str], ...]
    calling_ae_title: str
    called_ae_title: str
    host: str

    @property
    def id(self) -> str:
        """Id of the unit: the same transaction of a source is one request, however often it comes."""
        return hashed_id("c", self.source, self.transaction_uid)


def asked_from_json(content: Mapping[str, Any]) -> Asked:
    """A request as it was written."""
    return Asked(**{**content, "references": tuple((str(one), str(other)) for one, other in content["references"])})


def marker(commitment: str) -> str:
    """The name that stands in `active/` while a request is not answered."""
    return f"active/commitments/{commitment}"


def create_commitment(spool: Spool, asked: Asked) -> bool:
    """Make a request durable, whole: first the marker, then the unit.

    Returns:
        False when the source used this Transaction UID before for other instances.

    Raises:
        StorageError: the disk refused.
    """
    state = State(n=0, stage=COMMIT, status="waiting", at=spool.now())
    before = spool.commitments.order(asked.id)
    if before is None:
        spool.store.put_new(marker(asked.id), b"")
        spool.commitments.create(asked.id, asdict(asked), state)
        before = spool.commitments.order(asked.id) or asdict(asked)
    return set(asked_from_json(before).references) == set(asked.references)


def active_commitments(spool: Spool) -> Iterator[str]:
    """Ids of requests that are not answered, dead letters among them."""
    yield from spool.store.list("active/commitments")


def received_name(part: Part) -> str:
    """Where a part of a source that may ask for commitment, or asked in vain lately, is noted."""
    return f"received/{part.source}/{part.opened_at.astimezone(UTC):%Y%m%dT%H%M%S}.{part.id}"


def received_parts(spool: Spool, source: str) -> list[str]:
    """Ids of the parts of a source in which to look for what it asks about, the newest first."""
    return [name.partition(".")[2] for name in reversed(spool.store.list(f"received/{source}"))]


def note_refused(spool: Spool, source: str) -> None:
    """Note that a source asked for commitment today that may not; notes of a week ago go.

    Raises:
        StorageError: the disk refused.
    """
    folder, today = f"commitment-refused/{source}", spool.now().astimezone(UTC).date()
    if spool.store.put_new(f"{folder}/{today}", b""):
        for day in spool.store.list(folder):
            if date.fromisoformat(day) < today - _REFUSED_FOR:
                spool.store.delete(f"{folder}/{day}")


def refused_lately(spool: Spool, source: str) -> bool:
    """Whether a source asked within a week for commitment that it may not have."""
    days = spool.store.list(f"commitment-refused/{source}")
    return bool(days) and date.fromisoformat(days[-1]) >= spool.now().astimezone(UTC).date() - _REFUSED_FOR
