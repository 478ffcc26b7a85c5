"""What is known of studies and series that came before, so that a check need not look through history.

known/key                                  secret of the hashes below; made once
known/studies/<study>/<what>/<epoch>.json  a value that parts of a study share, hashed; the highest epoch counts
known/series/<series>/<part>               there for each part that holds instances of a series
"""

import hashlib
import hmac
import secrets
from collections.abc import Iterator
from datetime import datetime, timedelta

from shared.forms import hashed_id
from shared.spool.spool import Spool

STUDIES, SERIES = "known/studies", "known/series"
_KEY = "known/key"


def is_as_known(spool: Spool, study_instance_uid: str, what: str, text: str, follow: timedelta) -> bool:
    """Whether a value of a study is the one that is known; it becomes that where none is, or `follow` has passed.

    Of two parts that come at the same time, one makes it known and the other is compared with it.

    Args:
        spool: the spool.
        study_instance_uid: (0020,000D).
        what: a plain name for the value: letters, digits, hyphens, dots.
        text: the value; only its keyed hash is kept.
        follow: how long a value is known.
    """
    folder = f"{STUDIES}/{hashed_id('s', study_instance_uid)}/{what}"
    hashed = keyed_hash(spool, text)
    epochs = spool.store.list(folder)
    epoch = int(epochs[-1].removesuffix(".json")) if epochs else 0
    standing = spool.read_json(f"{folder}/{epoch:06}.json")
    if standing is not None and not spool.lapsed(datetime.fromisoformat(standing["at"]), follow):
        return bool(standing["value"] == hashed)
    name = f"{folder}/{epoch + (standing is not None):06}.json"
    spool.put_json(name, {"at": spool.now().isoformat(), "value": hashed})
    return bool((spool.read_json(name) or {}).get("value") == hashed)


def keyed_hash(spool: Spool, text: str) -> str:
    """SHA-256 of a text, keyed with the spool's own secret; hexadecimal."""
    return hmac.new(_key(spool), text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def note_series(spool: Spool, series_instance_uid: str, part_id: str) -> None:
    """Make known that a part holds instances of a series."""
    spool.store.put_new(f"{_series(series_instance_uid)}/{part_id}", b"")


def parts_of_series(spool: Spool, series_instance_uid: str) -> list[str]:
    """Ids of the parts that were noted to hold instances of a series; some may be gone."""
    return spool.store.list(_series(series_instance_uid))


def lapsed_studies(spool: Spool, follow: timedelta) -> Iterator[str]:
    """Folders of studies of which nothing is known any more, for who clears them."""
    for study in spool.store.list(STUDIES):
        names = [f"{STUDIES}/{study}/{what}" for what in spool.store.list(f"{STUDIES}/{study}")]
        newest = (spool.read_json(f"{name}/{epochs[-1]}") for name in names if (epochs := spool.store.list(name)))
        if all(it is None or spool.lapsed(datetime.fromisoformat(it["at"]), follow) for it in newest):
            yield f"{STUDIES}/{study}"


def notes_without_part(spool: Spool) -> Iterator[str]:
    """Notes about parts that are gone, for who clears them."""
    for series in spool.store.list(SERIES):
        for part in spool.store.list(f"{SERIES}/{series}"):
            if not spool.store.list(f"parts/{part}"):
                yield f"{SERIES}/{series}/{part}"


def _series(series_instance_uid: str) -> str:
    return f"{SERIES}/{hashed_id('e', series_instance_uid)}"


def _key(spool: Spool) -> bytes:
    if (key := spool.store.read(_KEY)) is None:
        spool.store.put_new(_KEY, secrets.token_bytes(32))
        key = spool.store.read(_KEY) or b""
    return key
