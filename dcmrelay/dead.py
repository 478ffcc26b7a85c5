"""The commands `dead list`, `show`, `replay` and `discard`: what waits for a person, and what the person decides."""

import getpass
from typing import Annotated, Literal

import typer

from dcmrelay.options import ConfigFile, Json
from dcmrelay.output import as_json, check_known, one_line, say, table
from producers.replay.choose import DeadLetter, Wish, chosen
from shared.config import find, load
from shared.errors import StartError
from shared.spool.spool import Spool
from shared.spool.volume import attach

app = typer.Typer(help="Dead letters: what waits for a person.", no_args_is_help=True)

Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Ids or their beginnings, as listed.")]
Destination = Annotated[str, typer.Option(help="Only for this destination.")]
DeadLetterClasses = Literal["", "unreachable", "refused", "invalid", "policy", "bug"]
Class = Annotated[DeadLetterClasses, typer.Option("--class", help="Only of this class.")]
All = Annotated[bool, typer.Option("--all", help="All of them.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say which, change nothing.")]
Why = Annotated[str, typer.Option(help="Your words for the record; no patient data.")]

_COLUMNS = ("id", "class", "destination", "source", "age", "reason", "next")


@app.command("list")
def list_(
    destination: Destination = "", dead_letter_class: Class = "", config: ConfigFile = None, json: Json = False
) -> None:
    """List dead letters, the oldest first; exit 1 when there are some."""
    loaded = load(find(config))
    spool = attach(loaded)
    letters = _chosen(spool, Wish(destination=destination, dead_letter_class=dead_letter_class, all=True))
    if destination and not letters:
        check_known("destination", destination, (it.name for it in loaded.destinations))
    _print(spool, letters, json=json)
    raise typer.Exit(int(bool(letters)))


@app.command()
def show(id_: Annotated[str, typer.Argument(metavar="ID")], config: ConfigFile = None, json: Json = False) -> None:
    """The whole story of a dead letter's study."""
    from dcmrelay import looking

    loaded = load(find(config))
    letters = _chosen(attach(loaded), Wish(ids=(id_,)))
    looking.show(loaded, letters[0].part, json=json)
    if not json:
        for letter in letters:
            say(f"{letter.id}: when it is mended, `dcmrelay dead replay {letter.id[:10]}`; or `dcmrelay dead discard`")


@app.command()
def replay(
    ids: Ids = None,
    destination: Destination = "",
    dead_letter_class: Class = "",
    all_: All = False,
    dry_run: DryRun = False,
    why: Why = "replayed",
    config: ConfigFile = None,
    json: Json = False,
) -> None:
    """Let dead letters go on where they stopped, as if never tried; parts under the configuration in force now."""
    from producers.replay import ring
    from shared.service import find_broker

    loaded = load(find(config))
    spool = attach(loaded)
    letters = _meant(spool, _wish(ids, destination, dead_letter_class, all_=all_))
    if dry_run:
        _print(spool, letters, json=json)
        return
    spool.keep_config(loaded.snapshot(), loaded.hash)
    decided = [(it, ring.release(spool, it, by=getpass.getuser(), why=why, config=loaded.hash)) for it in letters]
    rings = [one for _, one in decided if one is not None]
    rung = ring.rung(find_broker(loaded), tuple(it.name for it in loaded.destinations), rings)
    released = [letter for letter, one in decided if one is not None]
    _report("replayed", released, len(letters), json=json, rung=rung)


@app.command()
def discard(
    ids: Ids = None,
    destination: Destination = "",
    dead_letter_class: Class = "",
    all_: All = False,
    dry_run: DryRun = False,
    why: Why = "discarded",
    config: ConfigFile = None,
    json: Json = False,
) -> None:
    """Give dead letters up for good: they are not sent; the record says who and why."""
    from producers.replay import ring

    spool = attach(load(find(config)))
    letters = _meant(spool, _wish(ids, destination, dead_letter_class, all_=all_))
    if dry_run:
        _print(spool, letters, json=json)
        return
    gone = [letter for letter in letters if ring.discard(spool, letter, by=getpass.getuser(), why=why)]
    _report("discarded", gone, len(letters), json=json)


def _wish(ids: list[str] | None, destination: str, dead_letter_class: str, *, all_: bool) -> Wish:
    return Wish(ids=tuple(ids or ()), destination=destination, dead_letter_class=dead_letter_class, all=all_)


def _meant(spool: Spool, wish: Wish) -> list[DeadLetter]:
    if wish.is_empty:
        raise StartError("say which: ids, --destination, --class or --all; `dcmrelay dead list` shows them")
    letters = _chosen(spool, wish)
    if not letters:
        raise StartError("no dead letter fits; `dcmrelay dead list` shows all there are")
    return letters


def _chosen(spool: Spool, wish: Wish) -> list[DeadLetter]:
    from producers.replay.show import dead_letters

    try:
        return chosen(dead_letters(spool), wish)
    except ValueError as error:
        raise StartError(f"{one_line(error)}; `dcmrelay dead list` shows them") from None


def _print(spool: Spool, letters: list[DeadLetter], *, json: bool) -> None:
    from dcmrelay import views

    if json:
        as_json([views.letter_facts(letter) for letter in letters])
    elif letters:
        table(_COLUMNS, [views.letter_row(letter, spool.now()) for letter in letters])
    else:
        say("No dead letters.")


def _report(done: str, letters: list[DeadLetter], wanted: int, *, json: bool, rung: bool = True) -> None:
    if json:
        as_json({done: [letter.id for letter in letters], "rung": rung})
        return
    say(f"{done}: {len(letters)}" + (f"; {wanted - len(letters)} were none any more" if wanted > len(letters) else ""))
    if not rung:
        say("RabbitMQ is away: the sweep rings for them within a minute of its return; see `dcmrelay status`")
