"""The commands that only ask what would be: `explain`, `diff`."""

from datetime import datetime
from typing import Annotated

import typer

from dcmrelay.options import ConfigFile, Json, moment
from shared.config import find, load

_WHAT = "Files and folders; or one study: an id, Study Instance UID or accession number."


def explain(
    what: Annotated[list[str] | None, typer.Argument(metavar="FILE...|STUDY", help=_WHAT)] = None,
    at: Annotated[
        datetime | None, typer.Option(parser=moment, metavar="MOMENT", help="A moment on the relay's clock; else now.")
    ] = None,
    source: Annotated[str, typer.Option(help="The [[source]] that would send the files; else each in turn.")] = "",
    called: Annotated[str, typer.Option(metavar="AET", help="The AE title that it would call.")] = "",
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="The address that it would call from.")] = "",
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Where would this go, when, in which form, and why not elsewhere? Sends nothing, writes nothing."""
    from dcmrelay import explanations

    loaded = load(find(config))
    if not what:
        raise typer.BadParameter("name files, folders, or one study")
    raise typer.Exit(explanations.explain(loaded, what, at, source=source, called=called, host=host, json=as_json))
