"""What the ledger remembers of studies, as facts for people; who asks for patients is entered before they are shown."""

import csv
import getpass
import sys
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from consumers.ledger import queries
from consumers.ledger.book import relay_day
from consumers.ledger.database import existing
from consumers.ledger.searches import note_search
from dcmrelay.output import is_hiding, one_line, shown
from dcmrelay.views import IDENTIFYING, Row
from shared.config import Config
from shared.spool.accounts import utc

Period = tuple[datetime | None, datetime | None]
_COLUMNS = (
    "received", "part", "study_instance_uid", "source", "called", "instances", "destination", "route", "form",
    "profile", "went", "addendum", "delivered", "refused", "held", "dropped", "state", "outcome", "class", "reason",
    "ordered", "at",
)  # fmt: skip


def studies(
    config: Config, *, source: str, to: str, period: Period, personal: dict[str, str], with_patient: bool = False
) -> list[Row]:
    """Parts with their deliveries, the newest first.

    Args:
        config: the configuration.
        source: name; empty for any.
        to: name of a destination; empty for any.
        period: received since, and before.
        personal: `accession`, `patient`: what to look for.
        with_patient: add who each part is about.

    Raises:
        LedgerError: the ledger does not answer, or the search could not be entered: nothing is shown then.
        StartError: there is no ledger yet.
    """
    since, until = (utc(moment) if moment else "" for moment in period)
    question = queries.Question(**personal, source=source, to=to, since=since, until=until)
    database = existing(config)
    with database.reading() as connection:
        found = queries.studies(connection, question)
        if with_patient:
            queries.identities(connection, found)
    if personal or with_patient:
        now, shown = datetime.now(UTC), [part["id"] for part in found]
        today = relay_day(now, ZoneInfo(config.relay.timezone))
        with database.appending() as connection:
            by = getpass.getuser()
            note_search(connection, by, personal, shown, identified=with_patient, now=now, today=today)
    database.close()
    return [_facts(part) for part in found]


def print_csv(config: Config, found: list[Row], to: str) -> None:
    """Print a line per delivery, to one destination or to all, or for a part without any; times in the relay's zone."""
    zone = ZoneInfo(config.relay.timezone)
    columns = (*_COLUMNS, *(IDENTIFYING if found and IDENTIFYING[0] in found[0] else ()))
    out = csv.writer(sys.stdout)
    out.writerow(columns)
    for part in found:
        for delivery in part["deliveries"] or ([] if to else [{"state": part["state"]}]):
            if to in ("", delivery.get("destination", "")):
                row = shown({**part, "received": part["opened"], **delivery})
                out.writerow(_cell(row.get(column), zone) for column in columns)


def _facts(part: Row) -> Row:
    """A part as `views.study_facts` has it, and what only the ledger says."""
    state = {"final": part["outcome"], "held": "dead letter"}.get(
        part["status"], part["outcome"] or "waits for the router"
    )
    identifying = {key: part[key] for key in IDENTIFYING if key in part}
    return {
        "part": part["id"],
        "source": part["source"],
        "called": part["called"],
        "opened": datetime.fromisoformat(part["opened"]),
        "instances": part["instances"],
        "state": state,
        "deliveries": [_delivery(delivery) for delivery in part["deliveries"]],
        "study_instance_uid": part["study"],
        **identifying,
    }


def _delivery(delivery: Row) -> Row:
    same = ("id", "destination", "route", "form", "profile", "optional", "stage", "outcome", "tries")
    counts = ("attempts", "delivered", "refused", "held", "dropped")
    return {
        **{key: delivery[key] for key in same + counts},
        # Only of a dead letter it is certain that no person wrote it.
        "reason": "" if is_hiding() and delivery["status"] != "held" else delivery["reason"],
        "state": delivery["status"],
        "class": delivery["dead_letter_class"] or None,
        "ordered": datetime.fromisoformat(delivery["ordered"]),
        "at": datetime.fromisoformat(delivery["at"]),
        "went": delivery["went"],
        "addendum": delivery["addendum"],
    }


def _cell(value: object, zone: ZoneInfo) -> str:
    """A value for a spreadsheet: what a peer or person wrote is on one line, and no formula."""
    if isinstance(value, datetime):
        return value.astimezone(zone).isoformat(timespec="seconds")
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = one_line(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text
