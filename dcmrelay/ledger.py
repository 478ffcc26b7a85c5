"""The commands below `ledger`: the worker itself, is the ledger what was entered, what is in it."""

import json as json_
from datetime import datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from dcmrelay.in_force import of_relay
from dcmrelay.options import ConfigFile, Json
from dcmrelay.output import as_json, complain, say, shown, table
from shared.config import Config, find

app = typer.Typer(help="The ledger: run its worker, verify it, list what is in it.", invoke_without_command=True)

_BY_PERSONS = (
    "replayed",
    "corrected",
    "discarded",
    "redirected",
    "replaced",
    "made urgent",
    "resumed",
    "ordered again",
)
_ACTS = (*_BY_PERSONS, "searched", "moved", "handed_over", "configuration", "caller refused")
_HIDDEN = ("salt", "fields", "parts", "study_key", "n", "at")

Day = Annotated[str, typer.Option(help="Only this day of the ledger, such as 2026-11-30.")]
Kind = Annotated[list[str] | None, typer.Option(help="Only of this kind, such as 'dead letter'; may be repeated.")]
Unit = Annotated[str, typer.Option(help="Only of this part or delivery, or id that begins so; of every kind.")]
Since = Annotated[datetime | None, typer.Option(help="Only since, in the relay's time zone.")]
Until = Annotated[datetime | None, typer.Option(help="Only before, in the relay's time zone.")]
Searched = Annotated[str, typer.Option(help="Only searches for this Patient ID, name or Accession Number.")]


@app.callback()
def ledger(ctx: typer.Context, config: ConfigFile = None) -> None:
    """Run the worker that keeps the ledger, or one of the commands below."""
    ctx.obj = config
    if ctx.invoked_subcommand is None:
        from dcmrelay import workers

        raise typer.Exit(workers.work("ledger", find(config)))


@app.command()
def verify(ctx: typer.Context, day: Day = "", config: ConfigFile = None, json: Json = False) -> None:
    """Is the ledger what was entered? Exit 1 and the first broken entry of each day when it is not."""
    from consumers.ledger.database import existing
    from consumers.ledger.verifying import verify as verdict_of
    from shared.spool.volume import attach

    loaded = of_relay(config or ctx.obj)
    with existing(loaded).reading() as connection:
        verdict = verdict_of(connection, attach(loaded), day)
    if json:
        as_json(vars(verdict))
    else:
        for problem in verdict.problems:
            complain(f"! {problem}")
        if not verdict.problems:
            counts = f"{verdict.entries} entries of {verdict.days} days"
            say(f"{counts} are as they were entered; the ledger ends with {verdict.newest}")
    raise typer.Exit(int(bool(verdict.problems)))


@app.command()
def log(
    ctx: typer.Context,
    kind: Kind = None,
    unit: Unit = "",
    since: Since = None,
    until: Until = None,
    searched: Searched = "",
    config: ConfigFile = None,
    json: Json = False,
) -> None:
    """What people did, and which configurations came into force; or what happened to one part or delivery."""
    loaded = of_relay(config or ctx.obj)
    kinds = tuple(kind) if kind else () if unit else _ACTS
    found = _entries(loaded, ("searched",) if searched else kinds, unit, (since, until), searched)
    if json:
        as_json(found)
    elif found:
        table(("at", "kind", "unit", "by", "detail"), [_row(entry) for entry in found])
    else:
        say("Nothing of that kind; `dcmrelay ledger log --help` says what may be asked.")


def _entries(
    config: Config, kinds: tuple[str, ...], unit: str, period: tuple[datetime | None, datetime | None], searched: str
) -> list[dict[str, Any]]:
    from consumers.ledger import queries
    from consumers.ledger.database import existing
    from consumers.ledger.searches import is_about
    from shared.spool.accounts import utc

    zone = ZoneInfo(config.relay.timezone)
    since, until = (utc(moment.replace(tzinfo=zone)) if moment else "" for moment in period)
    with existing(config).reading() as connection:
        found = queries.log_of(connection, kinds, unit=unit, since=since, until=until)
    kept = [entry for entry in found if not searched or is_about(entry, searched)]
    return [
        {**entry, "at": datetime.fromisoformat(entry["at"]), "content": json_.loads(entry["content"])} for entry in kept
    ]


def _row(entry: dict[str, Any]) -> dict[str, Any]:
    content = {
        key: value for key, value in shown(entry["content"]).items() if key not in _HIDDEN and value not in ("", 0, [])
    }
    by, reason = content.pop("by", ""), content.pop("reason", "")
    told = [f"{key} {value}" for key, value in content.items() if not isinstance(value, dict | list)]
    fields = [f"by {', '.join(entry['content']['fields'])}"] if entry["content"].get("fields") else []
    return {**entry, "unit": entry["unit"][:10], "by": by, "detail": "; ".join(filter(None, [reason, *fields, *told]))}
