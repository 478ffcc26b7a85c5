"""Who looked for a patient: an entry of its own, made before the answer is shown.

The values that were looked for are not kept: a salted hash of each is, so that one can ask who looked for a certain
patient, and which parts were shown, and cannot read names out of it.
"""

import hashlib
import hmac
import json
import secrets
from collections.abc import Iterable, Mapping
from datetime import datetime

from sqlalchemy import Connection

from consumers.ledger.book import News, enter
from consumers.ledger.folding import Row
from consumers.ledger.patients import name_key
from shared.spool.accounts import utc

KIND = "searched"
_PARTS_NAMED = 500


def note_search(
    connection: Connection,
    by: str,
    criteria: Mapping[str, str],
    found: Iterable[str],
    *,
    identified: bool,
    now: datetime,
    today: str,
) -> None:
    """Enter that somebody searched by patient data, or was shown some.

    Args:
        connection: appending.
        by: who.
        criteria: by field, what was looked for.
        found: ids of the parts that are shown.
        identified: whether they are shown with who they are about.
        now: when.
        today: the relay's day.
    """
    salt, shown = secrets.token_hex(16), list(found)
    account = {
        "n": 0,
        "at": utc(now),
        "by": by,
        "salt": salt,
        "fields": {field: _digest(salt, value) for field, value in criteria.items()},
        "found": len(shown),
        "identified": identified,
        "parts": shown[:_PARTS_NAMED],
    }
    enter(connection, [News(unit="q" + secrets.token_hex(16), accounts=[account], kind=KIND)], today)


def is_about(entry: Row, value: str) -> bool:
    """Whether an entry tells of a search for this value, in any field."""
    content = json.loads(entry["content"])
    digest = _digest(content.get("salt", ""), value)
    return any(hmac.compare_digest(digest, it) for it in content.get("fields", {}).values())


def _digest(salt: str, value: str) -> str:
    return hashlib.sha256(f"{salt}{name_key(value)}".encode()).hexdigest()
