"""The command line: finds the configuration, calls what does the work, turns errors into a line and an exit code."""

import gc
import sys
import traceback
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Annotated

import typer

from dcmrelay import asking, dead, diverting, ledger, reconciling, studies
from dcmrelay.child import end_with_parent
from dcmrelay.in_force import of_relay
from dcmrelay.options import ConfigFile, Json, moment, offer_no_phi
from dcmrelay.output import complain, hide, say
from shared import logs
from shared.config import Config, find, load, unbuilt_in, warnings_of
from shared.errors import ConfigError, DcmrelayError

EXIT_NEEDED, EXIT_CONFIG = 1, 2
# How often a process that stays looks for rubbish, as CPython does; a command does seldom, see `__main__`.
_USUAL = (700, 10, 10)

app = typer.Typer(
    name="dcmrelay",
    help="A DICOM relay: receives studies, keeps them safe, routes, de-identifies and sends them on.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(dead.app, name="dead")
app.add_typer(ledger.app, name="ledger")
app.command()(studies.studies)
app.command()(diverting.divert)
app.command()(reconciling.reconcile)
app.command()(asking.explain)
app.command()(asking.diff)
app.command()(asking.init)


def main() -> None:
    """The program: what is wrong is said in one line each, without traceback; exit 2 for the configuration, else 1."""
    end_with_parent()
    sys.excepthook = _unforeseen
    logs.set_up("dcmrelay", level="WARNING")
    try:
        hide(None)
        command = typer.main.get_command(app)
        offer_no_phi(command)
        command(prog_name="dcmrelay")
    except ConfigError as error:
        for problem in error.problems:
            complain(problem)
        sys.exit(EXIT_CONFIG)
    except DcmrelayError as error:
        complain(f"dcmrelay: {error}")
        sys.exit(EXIT_NEEDED)


def _unforeseen(kind: type[BaseException], _error: BaseException, trace: TracebackType | None) -> None:
    """Where something broke that nobody foresaw; never its text, which may quote a data set."""
    if issubclass(kind, KeyboardInterrupt):
        return
    frames = " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in reversed(traceback.extract_tb(trace)[-4:]))
    complain(f"dcmrelay: a bug: {kind.__name__} at {frames}; please report this line")


@app.command()
def up(config: ConfigFile = None) -> None:
    """Run everything on this machine until SIGTERM: a private RabbitMQ, every worker. Prints READY when it accepts."""
    from dcmrelay import local
    from shared.spool.volume import prepare

    path = find(config)
    loaded = load(path)
    if unbuilt := unbuilt_in(loaded):
        raise ConfigError(tuple(f"{path}: {problem}" for problem in unbuilt))
    logs.set_up("up")
    gc.set_threshold(*_USUAL)
    prepare(loaded)
    raise typer.Exit(local.up(loaded, path, say))


@app.command()
def check(
    file: Annotated[Path | None, typer.Argument(help="The file; else as for every command.")] = None,
    config: ConfigFile = None,
) -> None:
    """Check a configuration: exit 0 and warnings, or 2 with every problem."""
    path = find(file or config)
    loaded = load(path)
    for warning in (*unbuilt_in(loaded), *warnings_of(loaded)):
        say(f"warning: {path}: {warning}")
    say(_summary(path, loaded))


@app.command()
def ingress(config: ConfigFile = None) -> None:
    """Run the worker that receives: C-STORE into the spool."""
    _work("ingress", config)


@app.command()
def router(config: ConfigFile = None) -> None:
    """Run a worker that decides where each study goes."""
    _work("router", config)


@app.command()
def anonymizer(config: ConfigFile = None) -> None:
    """Run a worker that de-identifies; as many as the machine can take."""
    _work("anonymizer", config)


@app.command()
def janitor(config: ConfigFile = None) -> None:
    """Run the worker that sweeps: rings again for unfinished work, deletes what is finished and old."""
    _work("janitor", config)


@app.command()
def sender(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Destinations; all when none.")] = None,
    config: ConfigFile = None,
) -> None:
    """Run a worker that sends to destinations; the first one to come owns each, others stand by."""
    _work("sender", config, tuple(names or ()))


@app.command()
def send(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files and folders.")],
    source: Annotated[str, typer.Option(help="Name of the [[source]] to send as.")],
    certificate: Annotated[Path | None, typer.Option(help="To come by TLS: the certificate to show, PEM.")] = None,
    key: Annotated[Path | None, typer.Option(help="Its key, PEM.")] = None,
    config: ConfigFile = None,
) -> None:
    """Hand files to the running relay as a source; exit 1 when one was not sent."""
    from dcmrelay import handing

    if (certificate is None) != (key is None):
        raise typer.BadParameter("--certificate and --key belong together; give both or neither")
    shown = (certificate, key) if certificate and key else None
    raise typer.Exit(handing.hand_over(of_relay(config), source, paths, shown))


@app.command()
def echo(destination: str, config: ConfigFile = None) -> None:
    """Ask a destination for C-ECHO with our AE titles; exit 1 when it does not answer."""
    from dcmrelay import echoing

    raise typer.Exit(echoing.echo(of_relay(config), destination))


@app.command("test")
def try_out(
    destination: Annotated[str, typer.Argument(metavar="[DESTINATION]", help="Its name.")] = "",
    source: Annotated[str, typer.Option(metavar="NAME", help="Send an image through the relay as this source.")] = "",
    notify: Annotated[str, typer.Option(metavar="NAME", help="Send a test message through this [[notify]].")] = "",
    no_store: Annotated[bool, typer.Option("--no-store", help="Ask C-ECHO, send no image.")] = False,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Try the whole way to a destination: TCP, TLS, association, contexts, C-ECHO, an image of nobody; or the relay."""
    from dcmrelay import testing, trial_way

    if sum(map(bool, (destination, source, notify))) != 1:
        raise typer.BadParameter("name a destination, or a source with --source, or a notifier with --notify")
    loaded = of_relay(config)
    if source:
        raise typer.Exit(testing.report("source", source, trial_way.way(loaded, source), json=as_json))
    if notify:
        raise typer.Exit(testing.try_notifier(loaded, notify, json=as_json))
    raise typer.Exit(testing.try_destination(loaded, destination, store=not no_store, json=as_json))


@app.command()
def status(config: ConfigFile = None, as_json: Json = False) -> None:
    """What needs a person, first; then each destination; exit 1 when somebody is needed."""
    from dcmrelay import looking
    from dcmrelay.in_force import load_or_in_force

    loaded, refused = load_or_in_force(find(config))
    raise typer.Exit(looking.status(loaded, refused, json=as_json))


@app.command()
def show(
    what: Annotated[str, typer.Argument(help="Id of a part or delivery or its beginning, or a Study Instance UID.")],
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """One study's whole story, from the records."""
    from dcmrelay import looking

    looking.show(of_relay(config), what, json=as_json)


@app.command()
def pause(
    destination: str,
    until: Annotated[datetime | None, typer.Option(help="Ends by itself then; as the times printed are.")] = None,
    for_: Annotated[str, typer.Option("--for", metavar="2h", help="Ends by itself after so long.")] = "",
    why: Annotated[str, typer.Option(help="Your words for the record; no patient data.")] = "",
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Hold back everything for a destination; nothing counts as a try meanwhile."""
    from dcmrelay import pausing

    pausing.pause(of_relay(config), destination, until=until, for_=for_, why=why, json=as_json)


@app.command()
def resume(destination: str, config: ConfigFile = None, as_json: Json = False) -> None:
    """End a destination's pause: what waits for it goes on at once."""
    from dcmrelay import pausing

    pausing.resume(of_relay(config), destination, json=as_json)


@app.command()
def resend(
    study: Annotated[str, typer.Argument(help="Id of a part or delivery, Study Instance UID or accession number.")],
    to: Annotated[str, typer.Option(help="Only to this destination.")] = "",
    profile_now: dead.ProfileNow = False,
    dry_run: dead.DryRun = False,
    why: Annotated[str, typer.Option(help="Your words for the record; no patient data.")] = "",
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Send a whole study once more to where it went, or where a route of its source would send it."""
    from dcmrelay import pushing

    loaded = of_relay(config)
    code = pushing.resend(loaded, study, to=to, profile_now=profile_now, dry_run=dry_run, why=why, json=as_json)
    raise typer.Exit(code)


@app.command()
def urgent(
    study: Annotated[str, typer.Argument(help="Id of a part or delivery, Study Instance UID or accession number.")],
    why: Annotated[str, typer.Option(help="Your words for the record; no patient data.")] = "",
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Let a study's waiting deliveries overtake routine work, at once."""
    from dcmrelay import pushing

    raise typer.Exit(pushing.urgent(of_relay(config), study, why=why, json=as_json))


@app.command()
def knocked(config: ConfigFile = None, as_json: Json = False) -> None:
    """List callers that were refused, each with a source table to paste that lets it in."""
    from dcmrelay import knocking

    knocking.knocked(of_relay(config), json=as_json)


@app.command()
def duty(
    week: Annotated[bool, typer.Option("--week", help="The seven days from midnight, not the moment.")] = False,
    at: Annotated[
        datetime | None,
        typer.Option(parser=moment, metavar="MOMENT", help="A day or moment on the relay's clock; else now."),
    ] = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Who is on duty on each route that chooses between services; exit 1 when there is a minute with nobody."""
    from dcmrelay import duty as duties

    raise typer.Exit(0 if duties.duty(of_relay(config), at, week=week, json=as_json) else EXIT_NEEDED)


def _work(kind: str, config: Path | None, *names: tuple[str, ...]) -> None:
    from dcmrelay import workers

    gc.set_threshold(*_USUAL)
    raise typer.Exit(workers.work(kind, find(config), *names))


def _summary(path: Path, config: Config) -> str:
    counted = [(config.sources, "source"), (config.destinations, "destination"), (config.routes, "route")]
    counts = ", ".join(f"{len(things)} {word}{'' if len(things) == 1 else 's'}" for things, word in counted)
    with_tls = config.ingress.tls.listen if config.ingress.tls else ()
    addresses = ", ".join([*map(str, config.ingress.listen), *(f"{address} (TLS)" for address in with_tls)])
    return f"{path}: OK: {config.relay.ae_title} on {addresses}, {counts}, data in {config.relay.data_dir}"
