"""The tables, as this version writes them; `schema` brings an older database up to them.

`entries` is what happened, appended and never changed, a row for each record of the spool; all else can be made of it.
Times are text in UTC to the microsecond, so that SQLite and PostgreSQL sort them alike.
"""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, MetaData, Table, Text, UniqueConstraint
from sqlalchemy.dialects.postgresql import TEXT as PG_TEXT

metadata = MetaData()
# By code point in PostgreSQL too, whatever its locale: ranges of text mean the same everywhere.
_TEXT = Text().with_variant(PG_TEXT(collation="C"), "postgresql")


def _text(name: str, *, primary_key: bool = False) -> Column[str]:
    return Column(name, _TEXT, nullable=False, primary_key=primary_key)


def _number(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False)


schema = Table("schema_version", metadata, Column("version", Integer, primary_key=True, autoincrement=False))

entries = Table(
    "entries",
    metadata,
    _text("day", primary_key=True),
    Column("place", Integer, primary_key=True, autoincrement=False),
    _text("kind"),
    _text("unit"),
    _number("n"),
    _text("at"),
    _text("content"),
    _text("hash"),
    UniqueConstraint("unit", "n", name="entries_once"),
    Index("entries_by_kind", "kind", "at"),
)

days = Table(
    "days",
    metadata,
    _text("day", primary_key=True),
    Column("entries", Integer, nullable=False),
    _text("begins"),
    _text("hash"),
    Column("expired", Boolean, nullable=False),
)

parts = Table(
    "parts",
    metadata,
    _text("id", primary_key=True),
    _number("n"),
    _text("source"),
    _text("calling"),
    _text("called"),
    _text("study"),
    _text("study_key"),
    _text("opened"),
    _text("closed"),
    _text("late_of"),
    _number("instances"),
    _number("duplicates"),
    _number("bytes"),
    _text("status"),
    _text("outcome"),
    _text("dead_letter_class"),
    _text("reason"),
    _text("config"),
    _text("routes"),
    _text("at"),
    Index("parts_by_time", "opened"),
    Index("parts_by_study", "study_key", "opened"),
    Index("parts_unfinished", "status"),
)

deliveries = Table(
    "deliveries",
    metadata,
    _text("id", primary_key=True),
    _number("n"),
    _text("part"),
    _text("destination"),
    _text("route"),
    _text("form"),
    _text("profile"),
    Column("optional", Boolean, nullable=False),
    Column("urgent", Boolean, nullable=False),
    _text("ordered"),
    _text("stage"),
    _text("status"),
    _text("outcome"),
    _text("dead_letter_class"),
    _text("reason"),
    _number("tries"),
    _number("attempts"),
    _number("delivered"),
    _number("refused"),
    _number("held"),
    _number("dropped"),
    _number("elsewhere"),
    _text("at"),
    Index("deliveries_by_part", "part"),
    Index("deliveries_by_destination", "destination", "part"),
    Index("deliveries_unfinished", "status"),
)

patients = Table(
    "patients",
    metadata,
    _text("part", primary_key=True),
    _text("patient_id"),
    _text("patient_name"),
    _text("name_key"),
    _text("accession_number"),
    _text("study_date"),
    _text("study_description"),
    _text("salt"),
    Index("patients_by_id", "patient_id"),
    Index("patients_by_name", "name_key"),
    Index("patients_by_accession", "accession_number"),
)
