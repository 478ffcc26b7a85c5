"""Diverts: until a moment, a person has a route give new studies to one of its candidates, whoever is on duty.

diverts/<route>/<k>.json    diverted or ended, to whom, until when, by whom, why; the highest number is what is true
"""

from dataclasses import dataclass
from datetime import datetime

from shared.spool.spool import Spool

_KEPT = 50


@dataclass(frozen=True, kw_only=True)
class Divert:
    """One record: a route was diverted, or is not any more.

    Args:
        route: its name.
        destination: who gets its new studies; empty of one that was ended.
        at: when it was ordered.
        until: when it ends by itself.
        by: who ordered it.
        why: their words.
    """

    route: str
    destination: str
    at: datetime
    until: datetime
    by: str
    why: str

    @property
    def sentence(self) -> str:
        """Such as `diverted until 2026-03-04T19:00+00:00 by ann@pacs (their line is down)`."""
        why = f" ({self.why})" if self.why else ""
        return f"diverted until {self.until.isoformat(timespec='minutes')} by {self.by}{why}"


def divert_in_force(spool: Spool, route: str) -> Divert | None:
    """The divert that decides for a route now; None when its calendars do."""
    newest = newest_divert(spool, route)
    if newest is None or not newest.destination or spool.lapsed(newest.until):
        return None
    return newest


def newest_divert(spool: Spool, route: str) -> Divert | None:
    """What a person ordered last for a route; None when nobody ever did."""
    while names := spool.store.list(f"diverts/{route}"):
        content = spool.read_json(f"diverts/{route}/{names[-1]}")
        if content is not None:
            at, until = (datetime.fromisoformat(content[key]) for key in ("at", "until"))
            return Divert(**{**content, "at": at, "until": until})
    return None


def put_divert(spool: Spool, divert: Divert) -> None:
    """Write what a person orders, after whatever was ordered before.

    Raises:
        StorageError: the disk refused; what was ordered before still counts.
    """
    folder, made = f"diverts/{divert.route}", False
    content = {**vars(divert), "at": divert.at.isoformat(), "until": divert.until.isoformat()}
    while not made:
        names = spool.store.list(folder)
        k = int(names[-1].removesuffix(".json")) + 1 if names else 0
        made = spool.put_json(f"{folder}/{k:08}.json", content)
    for name in spool.store.list(folder)[:-_KEPT]:
        spool.store.delete(f"{folder}/{name}")
