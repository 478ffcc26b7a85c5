"""What `status` says of routes that choose between services: who is on duty, what waits until when, partial copies."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from consumers.router.candidates import candidates_of
from dcmrelay.duty import shifts_of
from dcmrelay.output import clock, one_line
from dcmrelay.views import SHORT, Row, counted
from shared.config import Config, Route
from shared.spool.copies import PartialCopy, copies
from shared.spool.diverts import divert_in_force
from shared.spool.spool import Spool
from shared.spool.units import Unit

_WEEK = timedelta(days=7)
_MOST = 5


@dataclass(frozen=True, kw_only=True)
class Services:
    """How the routes with `one_of` stand.

    Args:
        duty: by route, `on_duty` (a destination or None), `until`, `why`.
        waits: by destination, how many deliveries nobody may take now, and `until` when the first waits.
        copies: what services have of studies that others got, the newest first.
    """

    duty: tuple[Row, ...]
    waits: tuple[Row, ...]
    copies: tuple[PartialCopy, ...]


def services(config: Config, spool: Spool, deliveries: Iterable[Unit]) -> Services:
    """Look at the routes with `one_of`; costs next to nothing when there are none.

    Args:
        config: in force.
        spool: the spool.
        deliveries: unfinished ones.
    """
    now = spool.now()
    routes = [route for route in config.routes if route.one_of]
    return Services(
        duty=tuple({"route": it.name, **_shift(config, spool, it)} for it in routes),
        waits=tuple(_waits(deliveries, now)),
        copies=tuple(sorted(copies(spool), key=lambda it: it.at, reverse=True)),
    )


def lines(found: Services) -> Iterator[str]:
    """The same for people."""
    for it in found.duty:
        who = f"{it['on_duty']} is on duty" if it["on_duty"] else "NOBODY is on duty, studies wait"
        until = f" until {it['until']:%a %Y-%m-%d %H:%M}" if it["until"] else ""
        yield one_line(f"{it['route']}: {who}{until} ({it['why']})")
    for it in found.waits:
        yield one_line(
            f"{it['destination']}: {counted(it['waiting'], 'delivery', 'deliveries')} that nobody may take now "
            f"{'waits' if it['waiting'] == 1 else 'wait'} until {clock(it['until'])}"
        )
    for copy in found.copies[:_MOST]:
        yield one_line(f"{copy.sentence}; tell it to discard them: `dcmrelay show {copy.part[:SHORT]}`")
    if len(found.copies) > _MOST:
        yield f"... and {len(found.copies) - _MOST} more copies in part, which --json lists too"


def facts(found: Services) -> Row:
    """The same for machines."""
    return {"duty": found.duty, "waits_until": found.waits, "partial_copies": [vars(copy) for copy in found.copies]}


def _shift(config: Config, spool: Spool, route: Route) -> Row:
    """Who is on duty now; `until` is None when nothing changes within a week."""
    zone = ZoneInfo(config.relay.timezone)
    if divert := divert_in_force(spool, route.name):
        why = f"{divert.sentence}; `dcmrelay divert {route.name} --end` ends it"
        return {"on_duty": divert.destination, "until": divert.until.astimezone(zone), "why": why}
    candidates = candidates_of(config, route.one_of)
    begin = spool.now().astimezone(zone)
    shift = next(shifts_of(candidates, begin, begin + _WEEK))
    until = shift["until"] if shift["until"] < begin + _WEEK else None
    return {"on_duty": shift["on_duty"], "until": until, "why": shift["why"]}


def _waits(deliveries: Iterable[Unit], now: datetime) -> Iterator[Row]:
    until: dict[str, list[datetime]] = defaultdict(list)
    for it in deliveries:
        due = it.state.due
        is_put_off = it.state.n == 0 or it.state.facts.get("put_off")
        if it.order.get("one_of") and it.state.status == "waiting" and is_put_off and due is not None and due > now:
            until[str(it.order["destination"])].append(due)
    for destination, moments in until.items():
        yield {"destination": destination, "waiting": len(moments), "until": min(moments)}
