"""The command `studies`: what happened, from the spool; what has gone from it, and patients, from the ledger."""

import os
from datetime import datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from dcmrelay.in_force import of_relay
from dcmrelay.options import ConfigFile, Json
from dcmrelay.output import as_json, check_known, complain, say, table
from shared.config import Config, ledger_url
from shared.errors import DcmrelayError, StartError

_MOST_ROWS = 200
_COLUMNS = ("part", "source", "opened", "instances", "state", "deliveries")
Row = dict[str, Any]
Period = tuple[datetime | None, datetime | None]

Accession = Annotated[str, typer.Option(help="Only of this Accession Number; from the ledger.")]
Patient = Annotated[str, typer.Option(help="Only of this Patient ID, or name that begins so; from the ledger.")]
Source = Annotated[str, typer.Option(help="Only from this source.")]
To = Annotated[str, typer.Option(help="Only with a delivery to this destination.")]
Since = Annotated[datetime | None, typer.Option(help="Only received since, in the relay's time zone; also long ago.")]
Until = Annotated[datetime | None, typer.Option(help="Only received before, in the relay's time zone.")]
Csv = Annotated[bool, typer.Option("--csv", help="Print CSV, a line per delivery, from the ledger.")]
WithPatient = Annotated[bool, typer.Option("--with-patient", help="Add Patient ID, Accession Number, Study Date.")]


def studies(
    accession: Accession = "",
    patient: Patient = "",
    source: Source = "",
    to: To = "",
    since: Since = None,
    until: Until = None,
    csv: Csv = False,
    with_patient: WithPatient = False,
    config: ConfigFile = None,
    json: Json = False,
) -> None:
    """Study parts, newest first, with their deliveries. Who asks about patients is recorded."""
    loaded = of_relay(config)
    zone = ZoneInfo(loaded.relay.timezone)
    period = _in_zone(since, zone), _in_zone(until, zone)
    personal = _personal(accession=accession, patient=patient)
    if csv or personal or with_patient:
        from dcmrelay import remembered

        wanted: dict[str, Any] = {"source": source, "to": to, "period": period}
        found = remembered.studies(loaded, **wanted, personal=personal, with_patient=with_patient)
    else:
        found = _of_spool_and_ledger(loaded, source, to, period)
    if csv:
        from dcmrelay import remembered

        remembered.print_csv(loaded, found, to)
    elif json:
        as_json(found)
    elif not found:
        check_known("source", source, (it.name for it in loaded.sources))
        check_known("destination", to, (it.name for it in loaded.destinations))
        say("No study fits; `dcmrelay studies` shows all there are.")
    else:
        _print(found)


def _personal(**criteria: str) -> dict[str, str]:
    given = {key: value.strip() for key, value in criteria.items() if value}
    for key, value in given.items():
        if len(value) < 2:
            raise StartError(f"--{key} needs two characters or more")
    return given


def _in_zone(moment: datetime | None, zone: ZoneInfo) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=zone)


def _of_spool_and_ledger(config: Config, source: str, to: str, period: Period) -> list[Row]:
    """What the spool has; asked for a time, also what it has no more."""
    found = _of_spool(config, source, to, period)
    if period[0] is not None:
        there = {part["part"] for part in found}
        found += [part for part in _of_ledger(config, source, to, period) if part["part"] not in there]
    return sorted(found, key=lambda part: part["opened"], reverse=True)


def _of_spool(config: Config, source: str, to: str, period: Period) -> list[Row]:
    from dcmrelay import reading, views
    from shared.spool.volume import attach

    spool, (since, until) = attach(config), period
    parts = (part for part in reading.parts(spool, since=since) if until is None or part.opened_at < until)
    journeys = (reading.journey(spool, part) for part in parts if source in ("", part.source))
    found = [views.study_facts(journey) for journey in journeys]
    return [part for part in found if not to or to in {delivery["destination"] for delivery in part["deliveries"]}]


def _of_ledger(config: Config, source: str, to: str, period: Period) -> list[Row]:
    """What the ledger has; nothing when there is none, and a line when it does not answer."""
    from consumers.ledger.database import FILE
    from dcmrelay import remembered

    if ledger_url(config, os.environ) is None and not (config.relay.data_dir / FILE).exists():
        return []
    try:
        return remembered.studies(config, source=source, to=to, period=period, personal={})
    except DcmrelayError as error:
        complain(f"dcmrelay: only what the spool still has: {error}")
        return []


def _print(found: list[Row]) -> None:
    from dcmrelay import views

    shown = [key for key in views.IDENTIFYING if key in found[0]]
    table((*_COLUMNS, *shown), [views.study_row(part) for part in found[:_MOST_ROWS]])
    if len(found) > _MOST_ROWS:
        say(f"... and {len(found) - _MOST_ROWS} more; narrow it with --since, --until, --source or --to")
