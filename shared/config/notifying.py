"""[[notify]]: who tells a person, of what, by which way; what must agree within it. No I/O, no clock, no globals."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field

from shared.config.fields import (
    Command,
    Constant,
    Duration,
    FilePath,
    Host,
    Listed,
    MailAddress,
    Name,
    NoticeUrl,
    Port,
    Several,
    Table,
)
from shared.config.problems import Problem, at

Occasion = Literal[
    "dead_letter",
    "destination_down",
    "handed_over",
    "disk_low",
    "late",
    "addendum",
    "stuck",
    "commitment",
    "configuration",
]
_KEYS = {
    "smtp": ("host", "port", "security", "sender", "to", "user", "password_file", "ca"),
    "webhook": ("url", "url_file", "password_file", "ca"),
    "command": ("command",),
}
_IN_THE_FILE = {"sender": "from"}
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Notify(Table):
    """[[notify]]: who tells a person, and when. `url_file` and `password_file` hold what must not stand in the file.

    Args:
        name: of the notifier; a metric label. Empty before loading means its kind.
        kind: by which way.
        on: of what it tells.
        every: it says the same of the same destination or route at most so often.
        to: mail addresses.
        sender: mail address that the messages come from; `from` in the file.
        host: of the mail server.
        port: of the mail server; None: 587, 465 or 25 by `security`.
        security: "starttls", "tls" from the first byte, or "none" on a trusted line.
        user: to log in at the mail server with the password in `password_file`.
        ca: who may have issued the server's certificate; None: whom the system trusts.
        url: of a webhook; its password goes as `Authorization: Bearer`.
        command: a program and its arguments; no shell.
    """

    name: Name | None = None
    kind: Literal["smtp", "webhook", "command"]
    on: Several[Occasion]
    every: Duration = timedelta(minutes=15)
    to: Listed[MailAddress] = ()
    sender: MailAddress | None = Field(default=None, alias="from")
    host: Host | None = None
    port: Port | None = None
    security: Literal["starttls", "tls", "none"] = "starttls"
    user: Constant | None = None
    command: Command = ()
    url: NoticeUrl | None = None
    url_file: FilePath | None = None
    password_file: FilePath | None = None
    ca: FilePath | None = None


def faults_of_notify(notify: Notify) -> Iterator[Problem]:
    """Yield what keeps a notifier from telling anybody."""
    for kind, keys in _KEYS.items():
        for key in keys:
            if key in notify.model_fields_set and key not in _KEYS[notify.kind]:
                text = f'belongs to kind = "{kind}", and this one is "{notify.kind}"; remove it'
                yield _at(notify, _IN_THE_FILE.get(key, key), text)
    yield from {"smtp": _smtp, "webhook": _webhook, "command": _command}[notify.kind](notify)


def _smtp(notify: Notify) -> Iterator[Problem]:
    missing = (
        ("host", notify.host, 'host = "mail.example"'),
        ("from", notify.sender, 'from = "relay@hospital.example"'),
        ("to", notify.to, 'to = ["pacs@hospital.example"]'),
    )
    for key, value, example in missing:
        if not value:
            yield _at(notify, key, f"is missing; add it, for example {example}")
    if (notify.user is None) != (notify.password_file is None):
        key, other = ("password_file", "user") if notify.password_file is None else ("user", "password_file")
        yield _at(notify, key, f"is missing; add it, or remove {other}")
    if notify.user and notify.security == "none" and notify.host not in _LOOPBACK:
        text = 'is "none", so the password would go in the clear; write "starttls" or "tls", or remove user'
        yield _at(notify, "security", text)


def _webhook(notify: Notify) -> Iterator[Problem]:
    if notify.url is None and notify.url_file is None:
        yield _at(notify, "url", 'is missing; add it, or name a file with it in url_file, such as "/run/secrets/hook"')
    if notify.url is not None and notify.url_file is not None:
        yield _at(notify, "url", "is given, and url_file too; keep one of them")
    if notify.url is not None and notify.url.startswith("http:") and urlsplit(notify.url).hostname not in _LOOPBACK:
        yield _at(notify, "url", "goes in the clear to another machine; write https://")


def _command(notify: Notify) -> Iterator[Problem]:
    if not notify.command or not notify.command[0]:
        yield _at(notify, "command", 'is missing; add it, for example command = ["/usr/local/bin/page", "pacs"]')


def _at(notify: Notify, key: str, text: str) -> Problem:
    return at("notify", notify.name or notify.kind, key, text)
