"""Copies: what a service still has of a study that another one was given whole, until its people discard it.

copies/<delivery id>.json    made before the delivery to the old service ends; kept for a while, for `status`
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.spool.spool import Spool

KEPT = timedelta(days=7)


@dataclass(frozen=True, kw_only=True)
class PartialCopy:
    """One part of a study that stopped half way at a service.

    Args:
        delivery: id of the delivery to it.
        part: id of the part.
        route: its name.
        destination: who has some of it.
        to: who gets the study now.
        at: when that was decided.
        delivered: instances answered with success or a warning.
        in_doubt: sent, or perhaps sent, and not answered.
        instances: of the part.
    """

    delivery: str
    part: str
    route: str
    destination: str
    to: str
    at: datetime
    delivered: int
    in_doubt: int
    instances: int

    @property
    def sentence(self) -> str:
        """Such as `day has 300 of 612 instances, 1 more in doubt, of a study that night was given`."""
        doubt = f", {self.in_doubt} more in doubt," if self.in_doubt else ""
        share = f"{self.delivered} of {self.instances} instances{doubt}"
        return f"{self.destination} has {share} of a study that {self.to} was given"


def put_copy(spool: Spool, copy: PartialCopy) -> None:
    """Note it; harmless when it was noted before."""
    spool.put_json(f"copies/{copy.delivery}.json", {**vars(copy), "at": copy.at.isoformat()})


def copies(spool: Spool) -> Iterator[PartialCopy]:
    """All that are known, in no order."""
    for name in spool.store.list("copies"):
        content = spool.read_json(f"copies/{name}")
        if content is not None:
            yield PartialCopy(**{**content, "at": datetime.fromisoformat(content["at"])})


def forget_copies(spool: Spool) -> None:
    """Take away those that were told for long enough.

    Raises:
        StorageError: the disk refused.
    """
    for copy in copies(spool):
        if spool.lapsed(copy.at, KEPT):
            spool.store.delete(f"copies/{copy.delivery}.json")
