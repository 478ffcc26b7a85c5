"""Parts: opened by an ingress, filled with instances as received, closed once; what lands meanwhile is the next part.

parts/<id>/part.json              who sent it to whom; which study; which ingress run began it
parts/<id>/instances/<sha256>     each instance as a Part 10 file, named by the hash of its data set
parts/<id>/manifest.json          made at closing: the instances, in order, and the duplicates left out
parts/<id>/<n>.json               the unit's records, from the moment it is closed
parts/<id>/decision.json          made by the router: the deliveries
active/parts/<study key>/<id>     there while the part is unfinished
"""

import errno
import hashlib
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from shared.forms import hashed_id
from shared.spool.drafts import storage_error
from shared.spool.spool import Spool


@dataclass(frozen=True, kw_only=True)
class Part:
    """The instances of one study from one source to one called AE title, until the sender went quiet.

    Args:
        id: `p` and 32 hex digits.
        source: name in the configuration.
        calling_ae_title: as the source called itself.
        called_ae_title: as it called us.
        study_instance_uid: (0020,000D).
        run: the ingress run that opened it.
        opened_at: when.
        late_of: the part whose closing it missed, or empty.
        host: address from which its first instance came; empty when that is not known.
    """

    id: str
    source: str
    calling_ae_title: str
    called_ae_title: str
    study_instance_uid: str
    run: str
    opened_at: datetime
    late_of: str = ""
    host: str = ""

    @property
    def study_key(self) -> str:
        """The same for all parts of a study from this source to this called AE title."""
        return hashed_id("s", self.source, self.called_ae_title, self.study_instance_uid)[:17]

    @property
    def marker(self) -> str:
        """The name that stands in `active/` while the part is unfinished."""
        return f"active/parts/{self.study_key}/{self.id}"


@dataclass(frozen=True, kw_only=True)
class Instance:
    """One SOP Instance in a part.

    Args:
        file: its name in the spool.
        sha256: hash of the data set, as received; hex.
        offset: where the data set begins in the file, bytes.
        size: length of the data set, bytes.
        sop_class_uid: (0008,0016).
        sop_instance_uid: (0008,0018).
        transfer_syntax_uid: as negotiated.
    """

    file: str
    sha256: str
    offset: int
    size: int
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a closed part holds.

    Args:
        instances: in the order of arrival where known; their index is their name in progress records.
        duplicates: file names left out: the same bytes as an instance of an unfinished part of the study.
    """

    instances: tuple[Instance, ...]
    duplicates: tuple[str, ...] = ()


def new_part_id() -> str:
    """An id nobody has."""
    return "p" + secrets.token_hex(16)


def open_part(spool: Spool, part: Part) -> None:
    """Make an open part known: first the marker that a sweep finds, then the part."""
    spool.store.put_new(part.marker, b"")
    spool.put_json(f"parts/{part.id}/part.json", _part_to_json(part))


def read_part(spool: Spool, part_id: str) -> Part | None:
    """What a part is, or None when there is no such part."""
    facts = spool.read_json(f"parts/{part_id}/part.json")
    return None if facts is None else Part(**{**facts, "opened_at": datetime.fromisoformat(facts["opened_at"])})


def instance_name(part_id: str, sha256: str) -> str:
    """The name of an instance in a part: equal bytes have one name, other bytes another, whatever their UID."""
    return f"parts/{part_id}/instances/{sha256}"


def is_closed(spool: Spool, part_id: str) -> bool:
    """Whether a part has its manifest; asked after linking an instance into it, before success is answered."""
    return spool.store.path(f"parts/{part_id}/manifest.json").exists()


def read_manifest(spool: Spool, part_id: str) -> Manifest | None:
    """What a closed part holds; None while it is open."""
    content = spool.read_json(f"parts/{part_id}/manifest.json")
    if content is None:
        return None
    return Manifest(
        instances=tuple(Instance(**instance) for instance in content["instances"]),
        duplicates=tuple(content["duplicates"]),
    )


def put_manifest(spool: Spool, part_id: str, manifest: Manifest) -> Manifest:
    """Make the manifest unless somebody has; returns the one that stands."""
    spool.put_json(f"parts/{part_id}/manifest.json", asdict(manifest))
    standing = read_manifest(spool, part_id)
    return manifest if standing is None else standing


def active_parts(spool: Spool, study_key: str = "") -> Iterator[str]:
    """Ids of unfinished parts: of one study, or all."""
    keys = [study_key] if study_key else spool.store.list("active/parts")
    for key in keys:
        yield from spool.store.list(f"active/parts/{key}")


def decided_deliveries(spool: Spool, part_id: str) -> tuple[str, ...] | None:
    """Ids of the deliveries that the router decided, then of those that persons ordered; None while it has not.

    What a person ordered a moment ago may not be made yet; then the part is not final.
    """
    decision = spool.read_json(f"parts/{part_id}/decision.json")
    if decision is None:
        return None
    decided = tuple(delivery["id"] for delivery in decision["deliveries"])
    unit = spool.parts.load(part_id)
    return (*decided, *(unit.facts.get("ordered", ()) if unit is not None else ()))


def is_finished(spool: Spool, part_id: str) -> bool:
    """Whether nothing is left to do or to decide for a part: it and every delivery of it is final.

    Deliveries of a discarded part that were decided and never made are not missed.
    """
    state = spool.parts.newest(part_id)
    if state is None or state.status != "final":
        return False
    is_discarded = "discarded" in (state.outcome, state.facts.get("was"))  # `was`: its removal has begun
    states = [spool.deliveries.newest(delivery) for delivery in decided_deliveries(spool, part_id) or ()]
    return all(it.status == "final" if it is not None else is_discarded for it in states)


def is_intact(path: Path, instance: Instance) -> bool:
    """Whether the data set on disk still has the hash it was stored under.

    Raises:
        StorageError: that cannot be seen now; raised again, it is no damage.
    """
    try:
        with path.open("rb") as file:
            file.seek(instance.offset)
            return hashlib.file_digest(file, "sha256").hexdigest() == instance.sha256
    except OSError as error:
        if is_damage(error):
            return False
        raise storage_error("read an instance in", path.parent, error) from error


def is_damage(error: OSError) -> bool:
    """Whether a file that cannot be read is lost or rotten, rather than out of reach for the moment."""
    return isinstance(error, FileNotFoundError) or error.errno == errno.EIO


def _part_to_json(part: Part) -> Mapping[str, Any]:
    return {**asdict(part), "opened_at": part.opened_at.isoformat()}
