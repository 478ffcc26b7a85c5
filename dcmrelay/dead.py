"""The commands `dead list`, `show`, `replay`, `redirect`, `discard`: what waits for a person, and what they decide."""

from datetime import datetime
from typing import Annotated, Literal

import typer

from dcmrelay.in_force import of_relay
from dcmrelay.options import ConfigFile, Json
from shared.errors import StartError
from shared.spool.commitments import COMMIT
from shared.spool.volume import attach

app = typer.Typer(help="Dead letters: what waits for a person.", no_args_is_help=True)

Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Ids or their beginnings, as listed.")]
Destination = Annotated[str, typer.Option(help="Only for this destination.")]
DeadLetterClasses = Literal["unreachable", "refused", "invalid", "policy", "bug"]
Class = Annotated[DeadLetterClasses | None, typer.Option("--class", help="Only of this class.")]
Source = Annotated[str, typer.Option(help="Only from this source.")]
Study = Annotated[str, typer.Option(help="Only of this study: Study Instance UID or accession number.")]
OlderThan = Annotated[str, typer.Option(metavar="2h", help="Only those that stopped longer ago.")]
Since = Annotated[datetime | None, typer.Option(help="Only those that stopped since; as the times printed are.")]
All = Annotated[bool, typer.Option("--all", help="All of them.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would happen, change nothing.")]
Why = Annotated[str, typer.Option(help="Your words for the record; no patient data.")]
Rate = Annotated[str, typer.Option(metavar="10/min", help="So many per s, min or h, each at a due time of its own.")]
_SET = "Correct an element first, of one study; may be repeated. Who, why and which elements is recorded."
ProfileNow = Annotated[bool, typer.Option("--profile-now", help="Make it anew, by profile and edit as they are now.")]


@app.command("list")
def list_(
    destination: Destination = "",
    dead_letter_class: Class = None,
    source: Source = "",
    study: Study = "",
    older_than: OlderThan = "",
    since: Since = None,
    config: ConfigFile = None,
    json: Json = False,
) -> None:
    """List dead letters, the oldest first; exit 1 when there are some."""
    from dcmrelay import choosing, letters

    loaded = of_relay(config)
    spool = attach(loaded)
    wish = choosing.wish_of(
        spool, destination=destination, dead_letter_class=dead_letter_class or "", source=source, study=study,
        older_than=older_than, since=since, all_=True,
    )  # fmt: skip
    found = choosing.found(spool, wish)
    if not found:
        choosing.check_names(loaded, wish)
    letters.print_list(spool, found, json=json)
    raise typer.Exit(int(bool(found)))


@app.command()
def show(id_: Annotated[str, typer.Argument(metavar="ID")], config: ConfigFile = None, json: Json = False) -> None:
    """One dead letter: instances, attempts with the peer's answers, what you can do; then its study's story."""
    from dcmrelay import choosing, letters, looking

    loaded = of_relay(config)
    spool = attach(loaded)
    found = choosing.found(spool, choosing.wish_of(spool, ids=(id_,)))
    letters.print_letters(spool, found, json=json)
    if not json and found[0].stage != COMMIT:
        looking.show(loaded, found[0].part, json=False)


@app.command()
def replay(
    ids: Ids = None,
    destination: Destination = "",
    dead_letter_class: Class = None,
    source: Source = "",
    study: Study = "",
    older_than: OlderThan = "",
    since: Since = None,
    all_: All = False,
    profile_now: ProfileNow = False,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEYWORD=VALUE", help=_SET)] = None,
    rate: Rate = "",
    dry_run: DryRun = False,
    why: Why = "",
    config: ConfigFile = None,
    json: Json = False,
) -> None:
    """Let dead letters go on: a part is decided anew under the configuration now, a delivery sends what is missing."""
    from dcmrelay import acting, choosing, correcting, redirecting
    from producers.replay.correct import said
    from producers.replay.redirect import Way

    correction = (
        correcting.correction(set_, why=why, others=bool(profile_now or rate), dry_run=dry_run) if set_ else None
    )
    if correction is not None:
        why = said(correction, why)
    desk = acting.desk(of_relay(config), why=why or "replayed", json=json, dry_run=dry_run)
    wish = choosing.wish_of(
        desk.spool, ids=ids or (), destination=destination, dead_letter_class=dead_letter_class or "", source=source,
        study=study, older_than=older_than, since=since, all_=all_,
    )  # fmt: skip
    meant = choosing.meant(desk.spool, desk.config, wish)
    if correction is not None:
        correcting.check_one_study(desk.spool, meant)
    if profile_now or correction is not None:
        way = Way(profile_now=profile_now, correction=correction)
        raise typer.Exit(redirecting.redirect(desk, meant, way, rate))
    raise typer.Exit(acting.replay(desk, meant, rate))


@app.command()
def redirect(
    to: Annotated[str, typer.Option(help="Another destination that a route of the source names.")],
    ids: Ids = None,
    destination: Destination = "",
    dead_letter_class: Class = None,
    source: Source = "",
    study: Study = "",
    older_than: OlderThan = "",
    since: Since = None,
    all_: All = False,
    whole_study: Annotated[bool, typer.Option(help="All parts and instances, not only what is missing.")] = False,
    profile_now: ProfileNow = False,
    rate: Rate = "",
    dry_run: DryRun = False,
    why: Why = "",
    config: ConfigFile = None,
    json: Json = False,
) -> None:
    """Send what is missing to another destination, in the same form."""
    from dcmrelay import acting, choosing, redirecting
    from producers.replay.redirect import Way

    desk = acting.desk(of_relay(config), why=why or f"redirected to {to}", json=json, dry_run=dry_run)
    wish = choosing.wish_of(
        desk.spool, ids=ids or (), destination=destination, dead_letter_class=dead_letter_class or "", source=source,
        study=study, older_than=older_than, since=since, all_=all_,
    )  # fmt: skip
    meant = choosing.meant(desk.spool, desk.config, wish)
    way = Way(to=to, profile_now=profile_now, whole=whole_study)
    raise typer.Exit(redirecting.redirect(desk, meant, way, rate))


@app.command()
def discard(
    ids: Ids = None,
    destination: Destination = "",
    dead_letter_class: Class = None,
    source: Source = "",
    study: Study = "",
    older_than: OlderThan = "",
    since: Since = None,
    all_: All = False,
    dry_run: DryRun = False,
    why: Why = "",
    config: ConfigFile = None,
    json: Json = False,
) -> None:
    """Give dead letters up for good: what is missing is not sent; the record says who and, with --why, why."""
    from dcmrelay import acting, choosing

    if not (why or dry_run):
        raise StartError('say why, for the record and without patient data: --why "..."')
    desk = acting.desk(of_relay(config), why=why, json=json, dry_run=dry_run)
    wish = choosing.wish_of(
        desk.spool, ids=ids or (), destination=destination, dead_letter_class=dead_letter_class or "", source=source,
        study=study, older_than=older_than, since=since, all_=all_,
    )  # fmt: skip
    raise typer.Exit(acting.discard(desk, choosing.meant(desk.spool, desk.config, wish)))
