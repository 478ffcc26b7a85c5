"""What the router would decide, found by having it decide, on a spool that forgets. Source: ADR 0024."""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from pydicom import Dataset

from consumers.router.routing import Routing
from dcmrelay import sending
from dcmrelay.sending import NotSent, Ready
from shared.config import Config
from shared.config.peers import Source
from shared.errors import DataSetError, PermanentError, StartError, StorageError
from shared.headers import read_header, read_identity
from shared.spool.corrections import corrections_of
from shared.spool.keys import edit_key_id, key_id
from shared.spool.overlay import Overlay
from shared.spool.parts import Instance, Manifest, Part, instance_name, new_part_id, open_part, put_manifest, read_part
from shared.spool.pins import newest_pin, study_pins
from shared.spool.spool import Spool

ANY_CALLED = "*"
UNKNOWN_KEY = "?"


@dataclass(frozen=True, kw_only=True)
class Question:
    """A part that could come, or did.

    Args:
        part: what it is.
        manifest: its instances.
        files: where those lie that the spool does not have.
        made: choices that were pinned since then are not followed; None: all are.
    """

    part: Part
    manifest: Manifest
    files: Mapping[str, Path]
    made: datetime | None = None


def rehearse(config: Config, question: Question, at: datetime, root: Path | None = None) -> tuple[Routing, Spool]:
    """A part as it would be decided at a moment under a configuration; nothing is written.

    What the spool knows of the study before the part is followed; what the part itself brought about is not. The
    spool that it is decided on is given too; it forgets.

    Args:
        config: the configuration.
        question: the part.
        at: the moment.
        root: the spool's directory; None: the configuration's.
    """
    root = root or config.relay.data_dir / "spool"
    pins = study_pins(question.part.study_instance_uid, question.part.called_ae_title)
    own = _own_pins(Spool(root, store=Overlay(root)), pins, question.made)
    spool = Spool(root, clock=lambda: at, store=Overlay(root, question.files, hides=own.__contains__))
    spool.keep_config(config.snapshot(), config.hash)
    if read_part(spool, question.part.id) is None:
        open_part(spool, question.part)
        put_manifest(spool, question.part.id, question.manifest)
    unit = spool.parts.load(question.part.id)
    corrections = "" if unit is None else corrections_of(unit.facts)
    routing = Routing(
        spool, question.part.id, config.hash, corrections, key=_key_id, edit_key=_edit_key_id, read=header_of
    )
    return routing, spool


def study_files(paths: Iterable[Path]) -> tuple[dict[str, list[tuple[Ready, str]]], list[NotSent]]:
    """DICOM files by Study Instance UID, each with the hash of its data set, and what is none."""
    studies: dict[str, list[tuple[Ready, str]]] = {}
    passed: list[NotSent] = []
    for path, named in sending.files_in(paths):
        found = sending.examine(path, named=named)
        if isinstance(found, NotSent):
            passed.append(found)
            continue
        try:
            study = read_identity(path).study_instance_uid
        except (DataSetError, StorageError) as error:
            passed.append(NotSent(path=path, why=str(error)))
            continue
        studies.setdefault(study, []).append((found, _sha256(found)))
    return studies, passed


def question_of(
    files: Iterable[tuple[Ready, str]], study: str, source: Source, called: str, at: datetime, host: str = ""
) -> Question:
    """The part that files of one study would be, if that source sent them.

    Args:
        files: with the hashes of their data sets.
        study: Study Instance UID.
        source: who would send them.
        called: AE title it would call.
        at: when.
        host: from which address; empty: not known.
    """
    part = Part(
        id=new_part_id(),
        source=source.name,
        calling_ae_title=source.ae_title,
        called_ae_title=called,
        study_instance_uid=study,
        run="explained",
        opened_at=at,
        host=host,
    )
    them = {instance_name(part.id, sha256): (file, sha256) for file, sha256 in files}
    instances = tuple(
        Instance(
            file=name,
            sha256=sha256,
            offset=file.offset,
            size=file.size,
            sop_class_uid=file.sop_class_uid,
            sop_instance_uid=file.sop_instance_uid,
            transfer_syntax_uid=file.transfer_syntax_uid,
        )
        for name, (file, sha256) in them.items()
    )
    paths = {name: file.path for name, (file, _) in them.items()}
    return Question(part=part, manifest=Manifest(instances=instances), files=paths)


def past(part: Part, manifest: Manifest) -> Question:
    """A part of the spool, asked about anew."""
    return Question(part=part, manifest=manifest, files={}, made=part.opened_at)


def called_by(source: Source, called: str, config: Config) -> str:
    """The AE title that a source would call: the given one, or the first that it may.

    Raises:
        StartError: it may not call that one.
    """
    if not called:
        return next((it for it in source.called if it != ANY_CALLED), config.relay.ae_title)
    if called not in source.called and ANY_CALLED not in source.called:
        allowed = ", ".join(source.called)
        raise StartError(f"source '{source.name}' may not call {called!r}: its `called` has {allowed}")
    return called


def _own_pins(spool: Spool, folder: str, made: datetime | None) -> set[str]:
    """Names of the pins that were made when a part had begun to come, or later."""
    names: set[str] = set()
    for route in spool.store.list(folder) if made is not None else ():
        for name in spool.store.list(f"{folder}/{route}"):
            epoch = name.removesuffix(".json")
            pin = newest_pin(spool, folder, route, int(epoch)) if epoch.isdigit() else None
            if made is not None and pin is not None and pin.made_at >= made:
                names.add(f"{folder}/{route}/{name}")
    return names


def _key_id(config: Config, profile: str) -> str:
    """A configuration that is only looked at may name keys that are made later, or lie on another machine."""
    try:
        return key_id(config, profile)
    except PermanentError:
        return UNKNOWN_KEY


def _edit_key_id(config: Config, edit: str) -> str:
    try:
        return edit_key_id(config, edit)
    except PermanentError:
        return UNKNOWN_KEY


def header_of(path: Path, keywords: Collection[str]) -> Dataset:
    """As `read_header`, once for each file."""
    return _header(path, tuple(sorted(keywords)))


@lru_cache(maxsize=20_000)
def _header(path: Path, keywords: tuple[str, ...]) -> Dataset:
    return read_header(path, keywords)


def _sha256(file: Ready) -> str:
    with file.path.open("rb") as stream:
        stream.seek(file.offset)
        return hashlib.file_digest(stream, "sha256").hexdigest()
