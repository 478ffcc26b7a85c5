"""Who a part is about, for search only: read from the first instance that can be read.

These values are in the ledger's table `patients` and nowhere else: no log line, metric, message, error or tombstone has
them. The chain covers them by a salted hash, so that they can be erased without breaking it.
"""

import hashlib
import secrets
import unicodedata
from collections.abc import Iterable, Mapping

from consumers.ledger.chain import canonical
from shared.errors import DataSetError
from shared.headers import read_header
from shared.spool.parts import Instance, read_manifest
from shared.spool.spool import Spool

_ELEMENTS = {
    "PatientID": "patient_id",
    "PatientName": "patient_name",
    "AccessionNumber": "accession_number",
    "StudyDate": "study_date",
    "StudyDescription": "study_description",
}
_TRIED = 5


def patient_of(spool: Spool, part_id: str) -> dict[str, str] | None:
    """The row of a part's patient; None when no instance can be read.

    Raises:
        StorageError: the disk refused.
    """
    manifest = read_manifest(spool, part_id)
    values = _first_readable(spool, manifest.instances[:_TRIED] if manifest else ())
    if values is None:
        return None
    return {"part": part_id, **values, "name_key": name_key(values["patient_name"]), "salt": secrets.token_hex(16)}


def digest_of(row: Mapping[str, str]) -> str:
    """The salted hash by which the part's entry covers its patient's row; hex."""
    told = {key: row[key] for key in ("part", "name_key", *_ELEMENTS.values())}
    return hashlib.sha256((row["salt"] + canonical(told)).encode()).hexdigest()


def name_key(name: str) -> str:
    """A name as it is searched by, without case, accents and separators: its first component group.

    Source: PS3.5 6.2 (PN: components separated by `^`, groups by `=`).
    """
    plain = "".join(it for it in unicodedata.normalize("NFKD", name.partition("=")[0]) if not unicodedata.combining(it))
    return " ".join(plain.replace("^", " ").replace(",", " ").casefold().split())


def _first_readable(spool: Spool, instances: Iterable[Instance]) -> dict[str, str] | None:
    for instance in instances:
        try:
            header = read_header(spool.store.path(instance.file), _ELEMENTS)
        except DataSetError:
            continue
        return {column: _plain(header.get(keyword)) for keyword, column in _ELEMENTS.items()}
    return None


def _plain(value: object) -> str:
    """A value as text that every database takes: no control characters, no halves of surrogate pairs."""
    text = "" if value is None else str(value)
    return "".join(it for it in text if it.isprintable() and not "\ud800" <= it <= "\udfff").strip()
