"""The command `send`: files to the running relay, with progress and a summary."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from dcmrelay.output import complain, one_line, progress, say
from dcmrelay.running import listening
from dcmrelay.sending import NotSent, Ready, Sent, Target, examine, files_in, meaning, send
from shared.config import Config, Source
from shared.dimse import TlsPeer
from shared.errors import StartError
from shared.tls import of_this_relay

Outcome = Sent | NotSent
Shown = tuple[Path, Path] | None


def hand_over(config: Config, source: str, paths: list[Path], shown: Shown = None) -> int:
    """Send files and what lies in folders as a source.

    Args:
        config: the configuration.
        source: its name.
        paths: files and folders.
        shown: the certificate and key to come with by TLS; None to come without.

    Returns:
        1 when a file that should have been sent was not, else 0.

    Raises:
        StartError: there is no such source, or it cannot come so.
    """
    target = target_of(config, source, shown)
    looked_at = [examine(path, named=named) for path, named in files_in(paths)]
    passed_over = [found for found in looked_at if isinstance(found, NotSent)]
    for found in passed_over:
        complain(f"{'not sent' if found.failed else 'skipped'}: {_line(found)}")
    outcomes: list[Outcome] = list(passed_over)
    ready = [found for found in looked_at if isinstance(found, Ready)]
    with progress("sending", len(ready)) as advance:
        send(target, ready, _told(outcomes, advance))
    say(_summary(outcomes, source, target))
    return int(not outcomes or any(isinstance(outcome, NotSent) and outcome.failed for outcome in outcomes))


def target_of(config: Config, name: str, shown: Shown = None) -> Target:
    """Whom a source calls, and as whom: where the ingress listens now, else where it is configured to.

    Raises:
        StartError: there is no such source, or it cannot come so.
    """
    source = config.source(name)
    if source is None:
        known = ", ".join(known.name for known in config.sources) or "none"
        raise StartError(f"there is no source {one_line(name)!r} in the configuration; it has: {known}")
    tls = _tls(config, source, shown)
    configured = config.ingress.tls.listen if config.ingress.tls and tls else config.ingress.listen
    host, port = next(iter(listening(config, tls=tls is not None)), (configured[0].host, configured[0].port))
    called = next((title for title in source.called if title != "*"), config.relay.ae_title)
    here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  (anywhere means here too)
    return Target(host=here, port=port, calling_ae_title=source.ae_title, called_ae_title=called, tls=tls)


def _tls(config: Config, source: Source, shown: Shown) -> TlsPeer | None:
    """How a source comes by TLS, when it has to or wants to."""
    if shown is None and config.ingress.listen and not source.certificate:
        return None
    if config.ingress.tls is None:
        raise StartError("the relay has no listener with TLS; leave out --certificate and --key, or add [ingress.tls]")
    if shown is None:
        raise StartError(
            f"source {source.name!r} can come by TLS only; give --certificate and --key of a certificate it may show"
        )
    return of_this_relay(config.ingress.tls, *shown)


def _told(outcomes: list[Outcome], advance: Callable[[int], None]) -> Callable[[Outcome], None]:
    def tell(outcome: Outcome) -> None:
        outcomes.append(outcome)
        if isinstance(outcome, NotSent):
            complain(f"not sent: {_line(outcome)}")
        advance(1)

    return tell


def _line(outcome: NotSent) -> str:
    return f"{one_line(outcome.path)}: {outcome.why}"


def _summary(outcomes: list[Outcome], source: str, target: Target) -> str:
    statuses = Counter(meaning(outcome.status) for outcome in outcomes if isinstance(outcome, Sent))
    sent = ", ".join(f"{count} {word}" for word, count in statuses.items())
    failed = sum(isinstance(outcome, NotSent) and outcome.failed for outcome in outcomes)
    skipped = len(outcomes) - failed - statuses.total()
    counts = f"{statuses.total()} sent" + (f" ({sent})" if sent else "")
    counts += f", {failed} not sent" if failed else ""
    counts += f", {skipped} skipped" if skipped else ""
    where = f"{target.called_ae_title} at {target.host}:{target.port}"
    return f"{counts or 'nothing to send'}, as {source} ({target.calling_ae_title}) to {where}; see `dcmrelay studies`"
