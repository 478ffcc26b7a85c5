"""The command `divert`."""

from datetime import datetime
from typing import Annotated

import typer

from dcmrelay.in_force import of_relay
from dcmrelay.options import ConfigFile, Json
from shared.config import Config, Route
from shared.errors import StartError


def divert(
    route: Annotated[str, typer.Argument(help="A route with one_of.")],
    destination: Annotated[str, typer.Argument(help="Which of its candidates gets new studies; none with --end.")] = "",
    until: Annotated[datetime | None, typer.Option(help="Ends by itself then; as the times printed are.")] = None,
    for_: Annotated[str, typer.Option("--for", metavar="2h", help="Ends by itself after so long.")] = "",
    end: Annotated[bool, typer.Option("--end", help="The calendars decide again, now.")] = False,
    why: Annotated[str, typer.Option(help="Your words for the record; no patient data.")] = "",
    config: ConfigFile = None,
    json: Json = False,
) -> None:
    """Give a route's new studies to one candidate for a while, whoever is on duty."""
    loaded = of_relay(config)
    chosen = _route(loaded, route)
    if end:
        if destination or until or for_:
            raise StartError("--end stands alone: `dcmrelay divert ROUTE --end`")
        _end(loaded, chosen, why, json=json)
        return
    if destination not in (them := [it.destination for it in chosen.one_of]):
        raise StartError(f"route {route!r} chooses between {', '.join(them)}; name one of them, or --end")
    _begin(loaded, chosen, destination, until, for_, why, json=json)


def _route(config: Config, name: str) -> Route:
    from dcmrelay.output import check_known

    check_known("route", name, (it.name for it in config.routes))
    found = config.route(name)
    if found is None or not found.one_of:
        raise StartError(f"route {name!r} does not choose, it has no one_of; `dcmrelay pause` holds a destination back")
    return found


def _begin(
    config: Config, route: Route, destination: str, until: datetime | None, for_: str, why: str, *, json: bool
) -> None:
    from dcmrelay import acting
    from dcmrelay.choosing import end_of
    from dcmrelay.output import as_json, clock, say
    from shared.spool.diverts import Divert, put_divert

    desk = acting.desk(config, why=why, json=json)
    now = desk.spool.now()
    ends = end_of(now, until, for_)
    if ends is None:
        raise StartError("say until when: --until 2026-03-04T06:00, or --for 2h")
    order = Divert(route=route.name, destination=destination, at=now, until=ends, by=desk.by, why=why)
    put_divert(desk.spool, order)
    if json:
        as_json(vars(order))
        return
    say(
        f"new studies of {route.name} go to {destination} until {clock(ends)}; `dcmrelay divert {route.name} --end` "
        "ends it. What was chosen before stays where it is"
    )


def _end(config: Config, route: Route, why: str, *, json: bool) -> None:
    from dcmrelay import acting
    from dcmrelay.output import as_json, say
    from shared.spool.diverts import Divert, divert_in_force, put_divert

    desk = acting.desk(config, why=why, json=json)
    before, now = divert_in_force(desk.spool, route.name), desk.spool.now()
    if before is not None:
        put_divert(desk.spool, Divert(route=route.name, destination="", at=now, until=now, by=desk.by, why=why))
    if json:
        as_json({"route": route.name, "destination": "", "was": before and before.destination})
        return
    say(f"{route.name}: the calendars decide again" if before else f"{route.name} was not diverted")
