"""Callers that were refused because no source is theirs: what they said, so that a person can let them in.

knocked/<hash>.json               one caller and why: first and last time, how often; the latest 200

Written seldom, and of no account: who loses a race loses a count.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime

from shared.forms import hashed_id
from shared.spool.spool import Spool

MOST = 200


@dataclass(frozen=True, kw_only=True)
class Knock:
    """A refused caller.

    Args:
        calling_ae_title: as the caller said, in printable ASCII; "?" for what was not.
        called_ae_title: likewise.
        host: its IP address.
        fingerprint: of its certificate, when it came by TLS.
        why: what fits no source: `calling`, `host`, `called`, `certificate`.
        first: when it was first refused.
        last: when it was last refused, a minute more or less.
        times: how often.
    """

    calling_ae_title: str
    called_ae_title: str
    host: str
    fingerprint: str
    why: str
    first: datetime
    last: datetime
    times: int

    @property
    def name(self) -> str:
        """Where it is remembered; nothing of what the caller said can be read from it."""
        said = (self.calling_ae_title, self.called_ae_title, self.host, self.fingerprint, self.why)
        return f"knocked/{hashed_id('k', *said)}.json"


def remember(spool: Spool, knock: Knock) -> None:
    """Add to what is known of a caller; the one that was silent longest is forgotten when there are too many.

    Raises:
        StorageError: the disk refused.
    """
    before = _read(spool, knock.name)
    if before is not None:
        knock = replace(knock, first=before.first, times=before.times + knock.times)
        spool.store.delete(knock.name)
    elif len(spool.store.list("knocked")) >= MOST:
        spool.store.delete(min(knocks(spool), key=lambda it: it.last).name)
    facts = {**asdict(knock), "first": knock.first.isoformat(), "last": knock.last.isoformat()}
    spool.put_json(knock.name, facts)


def knocks(spool: Spool) -> Iterator[Knock]:
    """Refused callers that are remembered, in no order."""
    for name in spool.store.list("knocked"):
        if knock := _read(spool, f"knocked/{name}"):
            yield knock


def _read(spool: Spool, name: str) -> Knock | None:
    facts = spool.read_json(name)
    if facts is None:
        return None
    first, last = (datetime.fromisoformat(facts[key]) for key in ("first", "last"))
    return Knock(**{**facts, "first": first, "last": last})
