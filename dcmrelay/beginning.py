"""The command `init`: asks what a first configuration needs, and writes it with comments."""

import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import typer

from dcmrelay.output import say
from shared.config import parse
from shared.errors import ConfigError, StartError

_SOURCE = re.compile(r"(?P<name>[^=]+)=(?P<ae_title>[^@]+)(@(?P<host>.+))?")
_DESTINATION = re.compile(r"(?P<name>[^=]+)=(?P<ae_title>[^@]+)@\[?(?P<host>[^\]]+)\]?:(?P<port>\d+)")
SOURCE_FORM, DESTINATION_FORM = "NAME=AE_TITLE[@ADDRESS]", "NAME=AE_TITLE@HOST:PORT"


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What a first configuration needs; None, or nothing in a list: a person is asked.

    Args:
        ae_title: of the relay.
        listen: address and port.
        timezone: IANA name.
        sources: as `SOURCE_FORM`.
        destinations: as `DESTINATION_FORM`.
    """

    ae_title: str | None = None
    listen: str | None = None
    timezone: str | None = None
    sources: tuple[str, ...] = ()
    destinations: tuple[str, ...] = ()


def begin(path: Path, wishes: Wishes) -> None:
    """Write a configuration that `check` accepts; ask for what is not given where there is a terminal to ask at.

    Raises:
        StartError: the file is there, or something is missing and nobody can be asked.
        ConfigError: what was given is refused; nothing is written.
    """
    if path.exists():
        raise StartError(f"{path} is there: it is left as it is; name another file with --config")
    text = text_of(_complete(wishes))
    try:
        parse(text, path.absolute().parent)
    except ConfigError as error:
        raise ConfigError(tuple(f"not written: {it}" for it in error.problems)) from None
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise StartError(f"{path} cannot be written: {error.strerror}") from error
    if _PLAIN in text:
        say('warning: it listens without TLS, off loopback; `plain = "vpn"` in it says that you trust the network')
    say(f"{path} is written; look at it, then `dcmrelay check --config {path}` and `dcmrelay up --config {path}`")


def text_of(wishes: Wishes) -> str:
    """A configuration with comments, of wishes that lack nothing.

    Raises:
        StartError: a source or a destination is not written as it must be.
    """
    sources = [_source(_parsed(_SOURCE, it, "--source", SOURCE_FORM)) for it in wishes.sources]
    found = [_parsed(_DESTINATION, it, "--destination", DESTINATION_FORM) for it in wishes.destinations]
    names = ", ".join(json.dumps(it["name"]) for it in found)
    listen = wishes.listen or ""
    plain = "" if _is_loopback(listen) else _PLAIN
    head = _HEAD.format(
        ae_title=_quoted(wishes.ae_title), timezone=_quoted(wishes.timezone), listen=_quoted(listen), plain=plain
    )
    return "\n".join([head, *sources, *map(_destination, found), _ROUTE.format(names=names)])


def zone_here() -> str:
    """This machine's time zone by its IANA name, UTC when that cannot be told."""
    linked = str(Path("/etc/localtime").resolve())
    return linked.partition("/zoneinfo/")[2] or "UTC"


def _complete(wishes: Wishes) -> Wishes:
    """The wishes with the answers of a person."""
    if not (sys.stdin.isatty() or (wishes.sources and wishes.destinations)):
        raise StartError(f"give --source {SOURCE_FORM} and --destination {DESTINATION_FORM}, or run it at a terminal")
    ask: Callable[[str, str], str] = _ask if sys.stdin.isatty() else lambda _, usual: usual
    return Wishes(
        ae_title=wishes.ae_title or ask("AE title of the relay", "DCMRELAY"),
        listen=wishes.listen or ask("Address and port to listen at for DICOM", "127.0.0.1:11112"),
        timezone=wishes.timezone or ask("Time zone, as calendars and reports go", zone_here()),
        sources=wishes.sources or _ask_all("Who sends? A source as", SOURCE_FORM),
        destinations=wishes.destinations or _ask_all("Who gets it? A destination as", DESTINATION_FORM),
    )


def _ask(what: str, usual: str) -> str:
    return str(typer.prompt(what, default=usual))


def _ask_all(what: str, form: str) -> tuple[str, ...]:
    given: list[str] = []
    while answer := str(typer.prompt(f"{what} {form}" + (", or nothing" if given else ""), default="")):
        given.append(answer)
    return tuple(given)


def _parsed(form: re.Pattern[str], text: str, option: str, written: str) -> dict[str, str]:
    found = form.fullmatch(text)
    if found is None:
        raise StartError(f"{option} {text!r} must be written {written}")
    return {key: (value or "").strip() for key, value in found.groupdict().items()}


def _source(it: dict[str, str]) -> str:
    hosts = f"hosts = [{_quoted(it['host'])}]" if it["host"] else '# hosts = ["10.1.2.3"]'
    return _SOURCE_TABLE.format(name=_quoted(it["name"]), ae_title=_quoted(it["ae_title"]), hosts=hosts)


def _destination(it: dict[str, str]) -> str:
    words = {key: _quoted(value) for key, value in it.items()}
    return _DESTINATION_TABLE.format(**{**words, "port": int(it["port"])})


def _quoted(text: str | None) -> str:
    return json.dumps(text or "", ensure_ascii=False)


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address.rpartition(":")[0].strip("[]")).is_loopback
    except ValueError:
        return False


_HEAD = """# Configuration of dcmrelay. `dcmrelay check` says what is wrong in it; a change comes into force by itself.

[relay]
ae_title = {ae_title}  # how the relay calls itself
timezone = {timezone}  # of calendars and reports
data_dir = "var"               # studies on their way; relative to this file
follow = "7d"                  # later parts of a study follow the choice made for the first, this long

[ingress]
listen = [{listen}]{plain}
quiet = "30s"                  # a study part is complete when nothing came for this long ...
quiet_after_release = "10s"    # ... or for this long after the sender released its association
min_free = "10GB"              # less free disk: nothing is accepted, all else goes on

[spool]
retention = "7d"               # originals are kept this long after everybody has them

# A person is told of dead letters and of destinations that are down:
# [[notify]]
# kind = "command"
# command = ["/usr/local/bin/page-us"]
# on = ["dead_letter", "destination_down", "disk_low"]
"""
_PLAIN = """
plain = "vpn"                  # off loopback and without TLS: only in a network that you trust; else [ingress.tls]"""
_SOURCE_TABLE = """# Who may send; nobody else is accepted. `dcmrelay knocked` lists who tried, with a table to paste.
[[source]]
name = {name}
ae_title = {ae_title}
{hosts}  # from where it may call; without it from anywhere
"""
_DESTINATION_TABLE = """# Who gets studies. `dcmrelay test NAME` tries the whole way.
[[destination]]
name = {name}
ae_title = {ae_title}
host = {host}
port = {port}
"""
_ROUTE = """# Which studies go where: every route that matches delivers. `dcmrelay explain FILE` says what would happen.
[[route]]
name = "all"
# match = {{ Modality = ["CT", "MR"] }}
to = [{names}]
"""
