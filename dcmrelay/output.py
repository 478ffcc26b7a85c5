"""What a person sees: lines, tables, JSON. What came from a peer is shown on one line, without control characters."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timedelta
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dcmrelay.hiding import Hider
from shared.errors import StartError

_hider: ContextVar[Hider | None] = ContextVar("hider", default=None)
_WIDTH_WITHOUT_TERMINAL = 240


def hide(hider: Hider | None) -> None:
    """Hide from all that is printed from now on what `--no-phi` hides; None: nothing."""
    _hider.set(hider)


def is_hiding() -> bool:
    """Whether a person asked for `--no-phi`."""
    return _hider.get() is not None


def shown(content: Any) -> Any:
    """A line, row or JSON content as it may be printed; for what does not go through the functions below."""
    hider = _hider.get()
    return content if hider is None else hider.value(content)


def say(line: str) -> None:
    """Print a line, at once also into a pipe."""
    typer.echo(shown(line))


def complain(line: str) -> None:
    """Print a line for a person on stderr."""
    typer.echo(shown(line), err=True)


def as_json(content: Any) -> None:
    """Print JSON; times become ISO 8601 text."""
    typer.echo(json.dumps(shown(content), indent=2, default=_plain))


def console() -> Console:
    """Where tables go; lines are not wrapped unless a terminal is that narrow."""
    return Console(width=None if sys.stdout.isatty() else _WIDTH_WITHOUT_TERMINAL, highlight=False)


def table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]], *, title: str = "") -> None:
    """Print rows as a table.

    Args:
        columns: keys of the rows, in order; they are the headings too, `_` shown as a space.
        rows: one mapping per row.
        title: above the table.
    """
    grid = Table(title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        grid.add_column(column.replace("_", " "), overflow="fold")
    for row in map(shown, rows):
        grid.add_row(*(Text(one_line(row.get(column, ""))) for column in columns))
    console().print(grid)


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, nothing elsewhere; gives a function that moves it on by so many."""
    if not (sys.stdout.isatty() and total):
        yield lambda _: None
        return
    from rich.progress import Progress  # listings have no need of it

    with Progress(transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda count: bar.advance(task, count)


def one_line(value: object) -> str:
    """A value as text on one line, whatever somebody put into it."""
    return "".join(character if character.isprintable() else "?" for character in _text(value))


def age(span: timedelta) -> str:
    """How long, as a person says it: `12 s`, `5 min`, `3 h`, `2 d`."""
    seconds = max(0, int(span.total_seconds()))
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def clock(moment: datetime) -> str:
    """A moment in the relay's time zone, else in this machine's, to the second."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return clock(value)
    if isinstance(value, timedelta):
        return age(value)
    return "" if value is None else str(value)


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    raise TypeError(f"{type(value).__name__} is not for JSON")


def check_known(what: str, name: str, known: Iterable[str]) -> None:
    """Nothing was found by a name: refuse one that the configuration does not have, for it may be mistyped.

    Raises:
        StartError: it is none of the known names; says which there are.
    """
    names = tuple(known)
    if name and name not in names:
        raise StartError(f"no {what} {one_line(name)!r} is configured; known: {', '.join(names)}")
