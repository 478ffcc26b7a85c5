"""Questions that the ledger answers: which studies, who did what."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, func, or_, select

from consumers.ledger.folding import Row, went
from consumers.ledger.patients import name_key
from consumers.ledger.tables import deliveries, entries, parts, patients

_IDENTIFYING = ("patient_id", "accession_number", "study_date")
_SOME = 500


@dataclass(frozen=True, kw_only=True)
class Question:
    """Which parts are wanted; all that is given must fit.

    Args:
        accession: Accession Number, as it is in the data set.
        patient: Patient ID as it is, or the beginning of a name.
        source: name of a source.
        to: name of a destination that a delivery goes to.
        since: received then or later; UTC as the ledger writes it.
        until: received before.
    """

    accession: str = ""
    patient: str = ""
    source: str = ""
    to: str = ""
    since: str = ""
    until: str = ""

    @property
    def personal(self) -> dict[str, str]:
        """The criteria that are patient data, by their names."""
        return {key: value for key in ("accession", "patient") if (value := getattr(self, key))}


def studies(connection: Connection, question: Question, *, limit: int | None = None) -> list[Row]:
    """Parts, the newest first, each with its `deliveries`; they say how much `went` and if it is an `addendum`."""
    query = select(parts).where(*_conditions(question)).order_by(parts.c.opened.desc(), parts.c.id).limit(limit)
    found = [dict(row) for row in connection.execute(query).mappings()]
    for some in _portions(found):
        _with_deliveries(connection, some)
    return found


def identities(connection: Connection, found: Sequence[Row]) -> None:
    """Add to parts who they are about: `patient_id`, `accession_number`, `study_date`; empty where nobody knows."""
    for some in _portions(found):
        query = select(patients).where(patients.c.part.in_([part["id"] for part in some]))
        known = {row["part"]: row for row in connection.execute(query).mappings()}
        for part in some:
            part.update({key: known[part["id"]][key] if part["id"] in known else "" for key in _IDENTIFYING})


def log_of(
    connection: Connection, kinds: Iterable[str], *, unit: str = "", since: str = "", until: str = ""
) -> list[Row]:
    """Entries, oldest first.

    Args:
        connection: reading.
        kinds: only these; all when empty.
        unit: only of units whose ids begin so.
        since: happened then or later.
        until: happened before.
    """
    wanted = _between(entries.c.at, since, until)
    if kinds := tuple(kinds):
        wanted.append(entries.c.kind.in_(kinds))
    if unit:
        wanted.append(_begins(entries.c.unit, unit))
    query = select(entries).where(*wanted).order_by(entries.c.at, entries.c.unit, entries.c.n)
    return [dict(row) for row in connection.execute(query).mappings()]


def _conditions(question: Question) -> list[ColumnElement[bool]]:
    wanted = _between(parts.c.opened, question.since, question.until)
    if question.source:
        wanted.append(parts.c.source == question.source)
    if question.to:
        wanted.append(_among(select(deliveries.c.part).where(deliveries.c.destination == question.to)))
    if question.accession:
        wanted.append(_among(select(patients.c.part).where(patients.c.accession_number == question.accession)))
    if question.patient:
        named = patients.c.patient_id == question.patient
        if key := name_key(question.patient):
            named = or_(named, _begins(patients.c.name_key, key))
        wanted.append(_among(select(patients.c.part).where(named)))
    return wanted


def _among(ids: Select[Any]) -> ColumnElement[bool]:
    return parts.c.id.in_(ids)


def _between(column: ColumnElement[str], since: str, until: str) -> list[ColumnElement[bool]]:
    return [*([column >= since] if since else ()), *([column < until] if until else ())]


def _begins(column: ColumnElement[str], beginning: str) -> ColumnElement[bool]:
    """A range, which an index answers, where `like` would read all."""
    return and_(column >= beginning, column < beginning + "\U0010ffff")


def _with_deliveries(connection: Connection, found: Sequence[Row]) -> None:
    query = select(deliveries).where(deliveries.c.part.in_([part["id"] for part in found]))
    by_part: dict[str, list[Row]] = defaultdict(list)
    for row in connection.execute(query.order_by(deliveries.c.ordered, deliveries.c.id)).mappings():
        by_part[row["part"]].append(dict(row))
    first = _first_parts(connection, {part["study_key"] for part in found})
    for part in found:
        part["deliveries"] = by_part[part["id"]]
        for delivery in part["deliveries"]:
            delivery["went"] = went(delivery, part["instances"])
            delivery["addendum"] = part["opened"] > first.get(
                (part["study_key"], delivery["destination"]), part["opened"]
            )


def _first_parts(connection: Connection, study_keys: Iterable[str]) -> dict[tuple[str, str], str]:
    """When the first part of a study that goes to a destination was opened, by study key and destination."""
    joined = select(parts.c.study_key, deliveries.c.destination, func.min(parts.c.opened)).join_from(
        parts, deliveries, deliveries.c.part == parts.c.id
    )
    query = joined.where(parts.c.study_key.in_(study_keys)).group_by(parts.c.study_key, deliveries.c.destination)
    return {(key, destination): opened for key, destination, opened in connection.execute(query)}


def _portions(found: Sequence[Row]) -> Iterator[Sequence[Row]]:
    return (found[k : k + _SOME] for k in range(0, len(found), _SOME))
