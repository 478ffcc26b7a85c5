"""The command `duty`: who is on duty on each route with candidates, for a week or at one moment."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from consumers.router.candidates import Candidates, Duty, candidates_of, on_duty
from dcmrelay.output import as_json, say, table
from shared.calendar import changes
from shared.config import Config
from shared.spool.diverts import divert_in_force
from shared.spool.spool import Spool

_WEEK = timedelta(days=7)
_COLUMNS = ("from", "until", "on_duty", "why")


def duty(config: Config, at: datetime | None, *, week: bool, json: bool) -> bool:
    """Print who is on duty and until when; returns whether somebody is at every minute shown.

    Args:
        config: the configuration.
        at: a moment; without a zone, on the relay's clock; None: now.
        week: the seven days from that moment's midnight, instead of the shift at that moment.
        json: print JSON.
    """
    zone = ZoneInfo(config.relay.timezone)
    moment = datetime.now(zone) if at is None else at.astimezone(zone) if at.tzinfo else at.replace(tzinfo=zone)
    begin = moment.replace(hour=0, minute=0, second=0, microsecond=0) if week else moment
    them = {route.name: candidates_of(config, route.one_of) for route in config.routes if route.one_of}
    # A week on the clock on the wall, also when that is put meanwhile.
    shifts = {name: list(shifts_of(one_of, begin, begin + _WEEK)) for name, one_of in them.items()}
    shifts = shifts if week else {name: found[:1] for name, found in shifts.items()}
    if at is None and not week:
        shifts |= {name: [diverted] for name in shifts if (diverted := _diverted(config, name, moment))}
    if json:
        as_json([{"route": name, **shift} for name, them in shifts.items() for shift in them])
    else:
        _print(shifts, config.relay.timezone)
    return all(shift["on_duty"] for them in shifts.values() for shift in them)


def _diverted(config: Config, route: str, now: datetime) -> dict[str, Any] | None:
    """Whom a person has put on duty, if that is so now."""
    divert = divert_in_force(Spool(config.relay.data_dir / "spool"), route)
    if divert is None:
        return None
    who = Duty(destination=divert.destination, why=divert.sentence)
    return _shift(now, divert.until.astimezone(now.tzinfo), who)


def shifts_of(candidates: Candidates, begin: datetime, end: datetime) -> Iterator[dict[str, Any]]:
    """Who is on duty between two moments: `from`, `until`, `on_duty` (a destination or None), `why`, in order."""
    zone = candidates.zone
    turns = changes(map(candidates.calendar, candidates.them), begin, end, zone)
    since, before = begin, on_duty(candidates, begin)
    for moment in (it for it in turns if it < end):
        if (now := on_duty(candidates, moment)) != before:
            yield _shift(since, moment.astimezone(zone), before)
            since, before = moment.astimezone(zone), now
    yield _shift(since, end, before)


def _shift(since: datetime, until: datetime, duty: Duty) -> dict[str, Any]:
    return {"from": since, "until": until, "on_duty": duty.destination or None, "why": duty.why}


def _print(shifts: dict[str, list[dict[str, Any]]], timezone: str) -> None:
    if not shifts:
        say("No route chooses between services: none has one_of.")
    for name, them in shifts.items():
        rows = [{**it, "from": _wall(it["from"]), "until": _wall(it["until"]), "on_duty": _who(it)} for it in them]
        table(_COLUMNS, rows, title=f"route {name} ({timezone})")


def _who(shift: dict[str, Any]) -> str:
    return shift["on_duty"] or "NOBODY, studies wait"


def _wall(moment: datetime) -> str:
    return f"{moment:%a %Y-%m-%d %H:%M}"
