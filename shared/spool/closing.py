"""Closing a part: the manifest, a second look, the first record; in this order, so whoever dies, another goes on."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import chain, count
from pathlib import Path

from shared import headers
from shared.errors import DataSetError, StorageError
from shared.forms import hashed_id
from shared.spool.parts import (
    Instance,
    Manifest,
    Part,
    active_parts,
    decided_deliveries,
    instance_name,
    is_intact,
    open_part,
    put_manifest,
    read_manifest,
)
from shared.spool.spool import Spool
from shared.spool.states import State

# What the disk refuses to read for so long, it will not read any more: the rest of the part waits no longer for it.
UNREADABLE_AFTER = timedelta(hours=1)


def close_part(
    spool: Spool, part: Part, *, config: str, known: Mapping[str, Instance] | None = None
) -> tuple[str, ...]:
    """Close a part, and give what its manifest does not have to parts of their own.

    May be called again, by anyone, at any time; the outcome is the same.

    Args:
        spool: the spool.
        part: an open part, or one whose closing somebody began.
        config: hash of the configuration in force.
        known: facts about instances by file name, in order of arrival; the others are read from their files.

    Returns:
        Ids of the units to ring for: the part, and late ones, each at record 0; without those that hold nothing new.
    """
    manifest = read_manifest(spool, part.id) or _make_manifest(spool, part, _facts(spool, part, known or {}))
    while missed := _missed(spool, part.id, manifest):
        _make_late(spool, part, missed)
    late = [_make_unit(spool, replace(part, id=it), made, config) for it, made in _late(spool, part.id)]
    # Its own record comes last: a part without one is looked at again.
    return (*_make_unit(spool, part, manifest, config), *chain.from_iterable(late))


def read_instance(spool: Spool, name: str) -> Instance:
    """Facts about a stored instance, from its file; its hash is taken anew.

    Raises:
        DataSetError: the bytes do not agree with the name they were stored under.
    """
    path = spool.store.path(name)
    identity = headers.read_identity(path)
    offset, transfer_syntax = headers.read_meta(path)
    sha256 = _hash_of(path, offset)
    if sha256 != path.name:
        raise DataSetError(f"{name}: the bytes on disk are not those that were received")
    return Instance(
        file=name,
        sha256=sha256,
        offset=offset,
        size=path.stat().st_size - offset,
        sop_class_uid=identity.sop_class_uid,
        sop_instance_uid=identity.sop_instance_uid,
        transfer_syntax_uid=transfer_syntax,
    )


def _facts(spool: Spool, part: Part, known: Mapping[str, Instance]) -> list[Instance]:
    files = _files(spool, part.id)
    there = set(files)
    return [known[name] for name in known if name in there] + [_facts_of(spool, n) for n in files if n not in known]


def _facts_of(spool: Spool, name: str) -> Instance:
    """Facts about a stored instance; one damaged on disk is named too, and held when it is to be sent.

    Raises:
        StorageError: the disk refuses to read it, and may not for long.
        OSError: likewise.
    """
    try:
        return read_instance(spool, name)
    except (DataSetError, StorageError, OSError) as error:
        if not isinstance(error, DataSetError) and not _is_old(spool, name):
            raise
        sha256 = name.rpartition("/")[2]
        return Instance(
            file=name,
            sha256=sha256,
            offset=0,
            size=0,
            sop_class_uid="",
            sop_instance_uid="",
            transfer_syntax_uid="",
        )


def _is_old(spool: Spool, name: str) -> bool:
    """Whether nothing has come into an instance's part for a long while."""
    changed = spool.store.path(name).parent.stat().st_mtime
    return spool.lapsed(datetime.fromtimestamp(changed, UTC), UNREADABLE_AFTER)


def _make_manifest(spool: Spool, part: Part, instances: list[Instance]) -> Manifest:
    """Bytes that an earlier part still brings to its destinations are one instance with it; later, a re-send."""
    there = {instance.sha256: instance for instance in _on_the_way(spool, part)}
    duplicates = {it.file for it in instances if it.sha256 in there and _stands(spool, there[it.sha256])}
    manifest = Manifest(
        instances=tuple(instance for instance in instances if instance.file not in duplicates),
        duplicates=tuple(instance.file for instance in instances if instance.file in duplicates),
    )
    return put_manifest(spool, part.id, manifest)


def _make_unit(spool: Spool, part: Part, manifest: Manifest, config: str) -> tuple[str, ...]:
    state = State(n=0, stage="route", status="waiting", at=spool.now(), config=config)
    if not manifest.instances:
        state = replace(state, status="final", outcome="duplicate" if manifest.duplicates else "empty")
    spool.parts.create(part.id, {"source": part.source}, state)
    return (part.id,) if manifest.instances else ()


def _on_the_way(spool: Spool, part: Part) -> Iterable[Instance]:
    """What other parts of the study still bring somewhere."""
    for other in active_parts(spool, part.study_key):
        manifest = read_manifest(spool, other) if other != part.id else None
        if manifest is not None and _is_on_the_way(spool, other):
            yield from manifest.instances


def _is_on_the_way(spool: Spool, part_id: str) -> bool:
    """Whether a part still brings all it was to bring: not decided, or under way and nobody's dead letter or given up.

    Optional deliveries are not asked.
    """
    state = spool.parts.newest(part_id)
    if state is None or state.status != "final":
        return True
    units = [spool.deliveries.outline(delivery) for delivery in decided_deliveries(spool, part_id) or ()]
    states = [None if it is None else it.state for it in units if it is None or not it.order.get("optional")]
    if any(it is not None and _is_missed(it) for it in states):
        return False
    return any(it is None or it.status != "final" for it in states)


def _is_missed(state: State) -> bool:
    """Whether a delivery brought less than it was to bring, and does not go on by itself."""
    return state.status == "held" or (state.status == "final" and state.outcome not in ("delivered", "dropped"))


def _stands(spool: Spool, instance: Instance) -> bool:
    """Whether a stored instance is whole still: a damaged one does not stand for a good one."""
    return bool(instance.sop_class_uid) and is_intact(spool.store.path(instance.file), instance)


def late_id(part_id: str, k: int) -> str:
    """The id of the k-th part made of what missed a part's closing, from 1."""
    return hashed_id("p", part_id, "late", k)


def late_manifests(spool: Spool, part_id: str) -> list[Manifest]:
    """What the late parts hold that were made of a part; their instances lie in its folder."""
    return [manifest for _, manifest in _late(spool, part_id)]


def _late(spool: Spool, part_id: str) -> Iterator[tuple[str, Manifest]]:
    """The late parts that were made of what missed a part's closing, in their order."""
    for k in count(1):
        manifest = read_manifest(spool, late_id(part_id, k))
        if manifest is None:
            return
        yield late_id(part_id, k), manifest


def _missed(spool: Spool, part_id: str, manifest: Manifest) -> list[str]:
    """Files in the part that no manifest names, its own or a late part's."""
    named: set[str] = set()
    for made in (manifest, *(made for _, made in _late(spool, part_id))):
        named |= {instance.file for instance in made.instances} | set(made.duplicates)
    return [name for name in _files(spool, part_id) if name not in named]


def _make_late(spool: Spool, part: Part, names: list[str]) -> None:
    k = 1 + sum(1 for _ in _late(spool, part.id))
    late = replace(part, id=late_id(part.id, k), late_of=part.id, opened_at=spool.now())
    open_part(spool, late)
    _make_manifest(spool, late, [_facts_of(spool, name) for name in names])


def _files(spool: Spool, part_id: str) -> list[str]:
    return [instance_name(part_id, name) for name in spool.store.list(f"parts/{part_id}/instances")]


def _hash_of(path: Path, offset: int) -> str:
    with path.open("rb") as file:
        file.seek(offset)
        return hashlib.file_digest(file, "sha256").hexdigest()
