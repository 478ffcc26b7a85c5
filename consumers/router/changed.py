"""Instances whose SOP Instance UID came before with other content, and with another patient, study or accession number.

Both are kept whatever is found here; it only tells whether a person should look before the later one goes on.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache

from consumers.router.checks import Failure, patient_of
from consumers.router.facts import texts_at
from consumers.router.rules import Header
from shared.errors import DataSetError
from shared.headers import read_header
from shared.spool.known import note_series, parts_of_series
from shared.spool.parts import Instance, Manifest, Part, read_manifest, read_part
from shared.spool.spool import Spool

SERIES = "SeriesInstanceUID"
KEYWORDS = ("PatientID", "PatientName", "StudyInstanceUID", "AccessionNumber")
# By element to name: what of an instance must be the same under one SOP Instance UID.
_SAME: Mapping[str, Callable[[Header], object]] = {
    "PatientID": patient_of,
    "StudyInstanceUID": lambda header: header.get("StudyInstanceUID", ()),
    "AccessionNumber": lambda header: tuple(filter(None, header.get("AccessionNumber", ()))),
}


def changed_instances(spool: Spool, part: Part, manifest: Manifest, headers: Sequence[Header]) -> list[Failure]:
    """What of a part's instances is not what it was under the same SOP Instance UID.

    Compared with the instances of the same series that the spool still has, of this part and of others that were
    routed or are about to be, whoever sent them.

    Args:
        spool: the spool; the part's series are noted in it.
        part: the part.
        manifest: its instances.
        headers: of each; with `KEYWORDS` and `SERIES`.
    """
    series = {uid for header in headers for uid in header.get(SERIES, ()) if uid}
    for uid in sorted(series):
        note_series(spool, uid, part.id)
    earlier = _Earlier(spool, part, series)
    counted = Counter[str]()
    for index, (instance, header) in enumerate(zip(manifest.instances, headers, strict=True)):
        own = zip(manifest.instances[:index], headers[:index], strict=True)
        before = (it for it in own if _is_other_content(it[0], instance))
        twins = [*(found for _, found in before), *earlier.twins_of(instance)]
        counted.update({element for element, of in _SAME.items() if any(of(it) != of(header) for it in twins)})
    what = "is not what came before under the same SOP Instance UID"
    return [
        Failure(check="on_changed", element=element, what=what, instances=counted[element], holds=True)
        for element in _SAME
        if counted[element]
    ]


class _Earlier:
    """The instances that other parts hold of some series, by SOP Instance UID."""

    def __init__(self, spool: Spool, part: Part, series: Iterable[str]) -> None:
        self._spool = spool
        self._instances: dict[str, list[Instance]] = {}
        self._header = cache(self._read)
        decided = _decided_at(spool, part.id)
        ids = {it for uid in series for it in parts_of_series(spool, uid)} - {part.id}
        for other in sorted(ids):
            manifest = read_manifest(spool, other) if _counts(spool, other, part, decided) else None
            for instance in manifest.instances if manifest else ():
                self._instances.setdefault(instance.sop_instance_uid, []).append(instance)

    def twins_of(self, instance: Instance) -> Iterator[Header]:
        """Headers of other content under the same UID, without what cannot be read any more."""
        for it in self._instances.get(instance.sop_instance_uid, ()):
            if _is_other_content(it, instance) and (header := self._header(it)) is not None:
                yield header

    def _read(self, instance: Instance) -> Header | None:
        try:
            ds = read_header(self._spool.store.path(instance.file), KEYWORDS)
        except DataSetError:
            return None
        return {keyword: texts_at(ds, keyword) for keyword in KEYWORDS}


def _decided_at(spool: Spool, part_id: str) -> str:
    """When a part was decided; empty: it was not."""
    return str((spool.read_json(f"parts/{part_id}/decision.json") or {}).get("at", ""))


def _is_other_content(one: Instance, other: Instance) -> bool:
    return one.sop_instance_uid == other.sop_instance_uid and one.sha256 != other.sha256


def _counts(spool: Spool, other: str, part: Part, decided: str) -> bool:
    """Whether a part came before this one: it was routed, or it was opened earlier and nobody stopped it.

    Args:
        spool: the spool.
        other: id of that part.
        part: this one.
        decided: when it was decided, if it was: what was routed later did not come before it.
    """
    if routed := _decided_at(spool, other):
        return not decided or datetime.fromisoformat(routed) < datetime.fromisoformat(decided)
    state, facts = spool.parts.newest(other), read_part(spool, other)
    is_under_way = state is not None and state.status in ("waiting", "working")
    return is_under_way and facts is not None and (facts.opened_at, facts.id) < (part.opened_at, part.id)
