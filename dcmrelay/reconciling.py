"""The command `reconcile`: is every instance that was received where the records say it is?"""

from datetime import date, datetime
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from dcmrelay.in_force import of_relay
from dcmrelay.options import ConfigFile, Json
from dcmrelay.output import as_json, one_line, say, table

Day = Annotated[
    datetime | None,
    typer.Option(formats=["%Y-%m-%d"], help="Only what began to come on this day, in relay.timezone."),
]


def reconcile(day: Day = None, config: ConfigFile = None, json: Json = False) -> None:
    """Received = delivered + waiting + held + refused + dropped, per source and destination; exit 1 when it is not."""
    from shared.accounts import report
    from shared.accounts.daily import is_on, title
    from shared.accounts.reading import take_account
    from shared.spool.volume import attach

    loaded = of_relay(config)
    wanted: date | None = day.date() if day else None
    zone = ZoneInfo(loaded.relay.timezone)
    account = take_account(attach(loaded), is_on(wanted, zone))
    if json:
        as_json(report.facts(account, title(wanted, zone)))
    else:
        say(title(wanted, zone))
        table(report.OF_SOURCES, report.source_rows(account))
        table(report.OF_DESTINATIONS, report.destination_rows(account))
        for doubt in account.doubts:
            say(f"! {one_line(report.sentence(doubt))}")
        if report.is_explained(account):
            say("Everything is explained.")
    raise typer.Exit(int(not report.is_explained(account)))
