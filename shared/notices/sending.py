"""Hands a notice to a mail server, a webhook or a command; what goes wrong is a `NotifyError` without their text."""

import json
import os
import smtplib
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from http.client import HTTPException
from pathlib import Path
from typing import Any

from shared.config import Notify
from shared.errors import NotifyError
from shared.notices import wording
from shared.notices.rules import Notice

SECONDS = 20.0
"""How long a server may take for one step, and a command for all."""
_PORTS = {"starttls": 587, "tls": 465, "none": 25}


@dataclass(frozen=True, kw_only=True)
class Message:
    """What is sent: a line, a text, and facts for machines."""

    subject: str
    text: str
    facts: Mapping[str, Any]


def message_of(relay: str, notice: Notice, now: datetime) -> Message:
    """A notice as it is sent.

    Args:
        relay: AE title of the relay.
        notice: what is to be said.
        now: the time.
    """
    return Message(
        subject=wording.subject(relay, notice),
        text=wording.letter(relay, notice, now),
        facts=wording.facts(relay, notice, now),
    )


def trial_message(relay: str, name: str, now: datetime) -> Message:
    """What `dcmrelay test --notify` sends."""
    subject = f"dcmrelay {relay}: a test of the notifier {name}"
    facts = {"text": subject, "relay": relay, "at": now.isoformat(timespec="seconds"), "occasion": "test"}
    return Message(subject=subject, text=f"{subject}. Nothing is wrong.\n", facts=facts)


def send(notify: Notify, message: Message) -> None:
    """Give a message to a notifier; returns when it was taken.

    Raises:
        NotifyError: it was not, or that is not known.
    """
    {"smtp": _mail, "webhook": _post, "command": _run}[notify.kind](notify, message)


def _mail(notify: Notify, message: Message) -> None:
    mail = EmailMessage()
    mail["Subject"], mail["From"], mail["To"] = message.subject, notify.sender or "", ", ".join(notify.to)
    mail["Date"] = format_datetime(datetime.fromisoformat(message.facts["at"]))
    mail["Message-ID"] = make_msgid(domain=(notify.sender or "@localhost").rpartition("@")[2])
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(message.text)
    where = f"the mail server {notify.host}:{_port(notify)}"
    try:
        with _server(notify) as server:
            if notify.security == "starttls":
                server.starttls(context=_trust(notify))
            if notify.user is not None and notify.password_file is not None:
                server.login(notify.user, _secret("password_file", notify.password_file))
            refused = server.send_message(mail)
    except smtplib.SMTPResponseException as error:
        raise NotifyError(f"{where} answered {error.smtp_code}; check from, to, user and password_file") from None
    except (smtplib.SMTPException, ValueError) as error:
        raise NotifyError(f"{where} did not take it: {type(error).__name__}; check security, user and to") from None
    except OSError as error:
        raise NotifyError(f"{where}: {_why(error)}") from None
    if refused:
        raise NotifyError(f"{where} refused {len(refused)} of {len(notify.to)} addresses; check to")


def _server(notify: Notify) -> smtplib.SMTP:
    host, port = notify.host or "", _port(notify)
    if notify.security == "tls":
        return smtplib.SMTP_SSL(host, port, timeout=SECONDS, context=_trust(notify))
    return smtplib.SMTP(host, port, timeout=SECONDS)


def _port(notify: Notify) -> int:
    return notify.port or _PORTS[notify.security]


def _post(notify: Notify, message: Message) -> None:
    url = notify.url or (_secret("url_file", notify.url_file) if notify.url_file else "")
    if not url.startswith(("https://", "http://")):
        raise NotifyError("url_file holds no URL that begins with https://; write it in its first line")
    headers = {"Content-Type": "application/json", "User-Agent": "dcmrelay"}
    if notify.password_file is not None:
        headers["Authorization"] = f"Bearer {_secret('password_file', notify.password_file)}"
    try:
        request = urllib.request.Request(url, json.dumps(message.facts).encode(), headers, method="POST")  # noqa: S310
        with _opener(notify).open(request, timeout=SECONDS) as answer:
            answer.read(1024)
    except urllib.error.HTTPError as error:
        error.close()
        raise NotifyError(f"the webhook answered {error.code}; check url and password_file") from None
    except urllib.error.URLError as error:
        cause = error.reason if isinstance(error.reason, OSError) else OSError()
        raise NotifyError(f"the webhook: {_why(cause)}") from None
    except (OSError, HTTPException, ValueError) as error:
        why = _why(error) if isinstance(error, OSError) else f"{type(error).__name__}; check url"
        raise NotifyError(f"the webhook: {why}") from None


class _NotFollowed(urllib.request.HTTPRedirectHandler):
    """A redirect would turn the POST into a GET, perhaps elsewhere: it is an error instead."""

    def redirect_request(self, *_: object, **__: object) -> None:
        """Follow none."""


def _opener(notify: Notify) -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_NotFollowed(), urllib.request.HTTPSHandler(context=_trust(notify)))


def _run(notify: Notify, message: Message) -> None:
    plain = {key: value for key, value in message.facts.items() if isinstance(value, str | int) and value != ""}
    environment = {f"DCMRELAY_{key.upper()}": str(value) for key, value in plain.items()}
    program = notify.command[0]
    try:
        done = subprocess.run(
            notify.command, input=json.dumps(message.facts).encode(), env=_inherited() | environment,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise NotifyError(f"{program} did not end within {SECONDS:.0f} s") from None
    except (OSError, ValueError) as error:
        why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else type(error).__name__
        raise NotifyError(f"{program} cannot be run: {why}; check command") from None
    if done.returncode:
        raise NotifyError(f"{program} ended with exit code {done.returncode}")


def _inherited() -> dict[str, str]:
    """The environment without the relay's own settings, some of which are secrets."""
    return {key: value for key, value in os.environ.items() if not key.startswith("DCMRELAY_")}


def _trust(notify: Notify) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=None if notify.ca is None else str(notify.ca))
    except OSError:
        raise NotifyError(f"ca {notify.ca} cannot be used; it must be a PEM file that can be read") from None


def _secret(key: str, path: Path) -> str:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise NotifyError(f"{key} {path} cannot be read; make it readable for the relay's user") from None
    if not lines or not lines[0].strip():
        raise NotifyError(f"{key} {path} is empty; write it in its first line")
    return lines[0].strip()


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return "its certificate is not trusted, or is for another name; check host or url, and ca"
    if isinstance(error, ssl.SSLError):
        return "no TLS with it; check security, host and port"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return f"{os.strerror(error.errno) if error.errno and error.errno > 0 else 'cannot be reached'}; check host or url"
