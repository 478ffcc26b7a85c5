"""The commands about what would be: `explain`, `diff`, and `init`."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from dcmrelay.in_force import of_relay
from dcmrelay.options import ConfigFile, Json, moment
from shared.config import find, load

_WHAT = "Files and folders; or one study: an id, Study Instance UID or accession number."
At = Annotated[datetime | None, typer.Option(parser=moment, metavar="MOMENT", help="On the relay's clock; else now.")]


def explain(
    what: Annotated[list[str] | None, typer.Argument(metavar="FILE...|STUDY", help=_WHAT)] = None,
    at: At = None,
    source: Annotated[str, typer.Option(help="The [[source]] that would send the files; else each in turn.")] = "",
    called: Annotated[str, typer.Option(metavar="AET", help="The AE title that it would call.")] = "",
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="The address that it would call from.")] = "",
    simulate: Annotated[Path | None, typer.Option(metavar="DIR", help="Who would get these files in a --week?")] = None,
    values: Annotated[
        bool, typer.Option("--values", help="Show values that edits change; they may be a patient's.")
    ] = False,
    week: Annotated[str, typer.Option(metavar="WEEK", help="With --simulate: such as 2026-W52.")] = "",
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Where would this go, when, in which form, and why not elsewhere? Sends nothing, writes nothing."""
    loaded = of_relay(config)
    if (simulate is None) != (not week) or bool(what) == bool(simulate):
        raise typer.BadParameter("name files, folders, or one study; or a folder and a week: --simulate DIR --week W")
    if simulate is not None:
        from dcmrelay import simulating

        code = simulating.simulate(loaded, simulate, week, source=source, called=called, host=host, json=as_json)
    else:
        from dcmrelay import explanations

        code = explanations.explain(
            loaded, what or [], at, source=source, called=called, host=host, values=values, json=as_json
        )
    raise typer.Exit(code)


def diff(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="The configuration whose spool has the studies.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="The other one.")],
    studies: Annotated[
        str, typer.Option(metavar="recent|N", help="The 100 newest study parts, or so many.")
    ] = "recent",
    since: Annotated[datetime | None, typer.Option(parser=moment, metavar="MOMENT", help="Only those since.")] = None,
    as_json: Json = False,
) -> None:
    """Which recent studies would go elsewhere, in another form, or be held? Exit 1 when some would."""
    from dcmrelay import differing

    raise typer.Exit(differing.diff(load(old), load(new), studies, since=since, json=as_json))


def init(
    ae_title: Annotated[str | None, typer.Option(help="Of the relay.")] = None,
    listen: Annotated[str | None, typer.Option(metavar="ADDRESS:PORT", help="Where it listens for DICOM.")] = None,
    timezone: Annotated[str | None, typer.Option(metavar="ZONE", help="Such as Europe/Lisbon.")] = None,
    source: Annotated[
        list[str] | None, typer.Option(metavar="NAME=AE_TITLE[@ADDRESS]", help="Who may send; as often as needed.")
    ] = None,
    destination: Annotated[
        list[str] | None, typer.Option(metavar="NAME=AE_TITLE@HOST:PORT", help="Who gets it; as often as needed.")
    ] = None,
    config: ConfigFile = None,
) -> None:
    """Write a first configuration, with comments; asks for what is not given."""
    from dcmrelay.beginning import Wishes, begin

    sources, destinations = tuple(source or ()), tuple(destination or ())
    wishes = Wishes(ae_title=ae_title, listen=listen, timezone=timezone, sources=sources, destinations=destinations)
    begin(find(config), wishes)
