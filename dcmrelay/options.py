"""Options that several commands have."""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from dcmrelay.hiding import Hider, words_of
from dcmrelay.in_force import load_or_in_force
from dcmrelay.output import hide
from shared.config import find, load
from shared.errors import ConfigError

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", metavar="F", help="Configuration file; else $DCMRELAY_CONFIG, else ./dcmrelay.toml."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_ID = re.compile(r"[cdp][0-9a-f-]*")
_HELP = "For screenshots: no patient, UID, AE title, address, nor what persons wrote; also $DCMRELAY_NO_PHI."


def offer_no_phi(command: Any) -> None:
    """Give `--no-phi` to a command and all below it, if it can print JSON: if it lists something.

    Args:
        command: as Typer made it.
    """
    if isinstance(command, TyperGroup):
        for below in command.commands.values():
            offer_no_phi(below)
    elif any("--json" in it.opts for it in command.params):
        command.params.append(_option())
        command.invoke = partial(_invoke, command.invoke)


def _option() -> Any:
    """The option, as Typer makes it of a command that has it."""
    template = typer.Typer(add_completion=False)

    @template.command()
    def _(no_phi: Annotated[bool, typer.Option("--no-phi", envvar="DCMRELAY_NO_PHI", help=_HELP)] = False) -> None:
        """Have the option."""

    return typer.main.get_command(template).params[0]


def _invoke(original: Any, ctx: typer.Context) -> Any:
    if ctx.params.pop("no_phi"):
        hide(Hider({*_configured(ctx.params.get("config") or ctx.obj), *_typed(ctx.params)}))
    return original(ctx)


def _configured(path: Path | None) -> set[str]:
    """Names and addresses of what is in force and of the file; the command itself tells what is wrong with that."""
    words: set[str] = set()
    with suppress(ConfigError):
        words |= words_of(load_or_in_force(find(path))[0])
        words |= words_of(load(find(path)))
    return words


def _typed(params: Mapping[str, Any]) -> Iterator[str]:
    """What a person asked for, which an answer may quote; ids tell nothing."""
    for key in ("what", "study", "accession", "patient", "searched"):
        value = params.get(key)
        given = value if isinstance(value, list) else [value]
        yield from (it for it in given if isinstance(it, str) and not _ID.fullmatch(it))
    yield from (it.partition("=")[2] for it in params.get("set_") or ())


def moment(text: str) -> datetime:
    """A moment as a person writes it, ISO 8601; without a zone when there is none."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no moment such as 2026-12-25T02:00 or 2026-12-25") from None
