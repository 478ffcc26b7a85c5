"""Days in the relay's time zone, and the report of one: text, JSON and HTML in data_dir/reports."""

import json
import os
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from shared.accounts import report
from shared.accounts.reading import Account, take_account
from shared.spool.spool import Spool
from shared.spool.store import sync_folder

AT = time(6, 0)
"""When the report of the day before is written, in relay.timezone."""


def is_on(day: date | None, zone: ZoneInfo) -> Callable[[datetime], bool]:
    """Whether a moment is on a day; on any, when None."""
    return lambda moment: day is None or moment.astimezone(zone).date() == day


def title(day: date | None, zone: ZoneInfo) -> str:
    """The headline of an account."""
    return f"What was received{f' on {day.isoformat()}' if day else ' so far'} ({zone.key}), and where it is"


def due(now: datetime, zone: ZoneInfo, folder: Path) -> date | None:
    """The day whose report is to be written now: yesterday, from AT on, when there is none."""
    local = now.astimezone(zone)
    day = local.date() - timedelta(days=1)
    return None if local.time() < AT or (folder / f"{day.isoformat()}.json").exists() else day


def write_report(spool: Spool, day: date, zone: ZoneInfo, folder: Path) -> Account:
    """Write the report of a day, the JSON last; what of it is there is replaced.

    Raises:
        OSError: the disk refused; not all are there.
    """
    account, headline = take_account(spool, is_on(day, zone)), title(day, zone)
    folder.mkdir(mode=0o700, exist_ok=True)
    for kind, text in (
        ("txt", report.as_text(account, headline)),
        ("html", report.as_html(account, headline)),
        ("json", json.dumps(report.facts(account, headline), indent=1) + "\n"),
    ):
        _replace(folder / f"{day.isoformat()}.{kind}", text)
    sync_folder(folder)
    return account


def _replace(path: Path, text: str) -> None:
    temporary = path.with_suffix(".new")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
