"""Hands a notice to a mail server, a webhook or a command; what goes wrong is a `NotifyError` without their text."""

import json
import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from http.client import HTTPException
from typing import Any

from shared.config import Notify
from shared.errors import NotifyError
from shared.notices import mailing, reaching, wording
from shared.notices.rules import Notice


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
        NotifyError: it was not, or that is not known; names the notifier.
    """
    try:
        {"smtp": _mail, "webhook": _post, "command": _run}[notify.kind](notify, message)
    except NotifyError as error:
        raise NotifyError(f"notifier {notify.name}: {error}") from None


def _mail(notify: Notify, message: Message) -> None:
    mail = EmailMessage()
    mail["Subject"], mail["From"], mail["To"] = message.subject, notify.sender or "", ", ".join(notify.to)
    mail["Date"] = format_datetime(datetime.fromisoformat(message.facts["at"]))
    mail["Message-ID"] = make_msgid(domain=(notify.sender or "@localhost").rpartition("@")[2])
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(message.text)
    mailing.hand_over(notify, mail)


def _post(notify: Notify, message: Message) -> None:
    url = notify.url or (reaching.secret("url_file", notify.url_file) if notify.url_file else "")
    if not url.startswith(("https://", "http://")):
        raise NotifyError("url_file holds no URL that begins with https://; write it in its first line")
    headers = {"Content-Type": "application/json", "User-Agent": "dcmrelay"}
    if notify.password_file is not None:
        headers["Authorization"] = f"Bearer {reaching.secret('password_file', notify.password_file)}"
    try:
        request = urllib.request.Request(url, json.dumps(message.facts).encode(), headers, method="POST")  # noqa: S310
        with _opener(notify).open(request, timeout=reaching.SECONDS) as answer:
            answer.read(1024)
    except urllib.error.HTTPError as error:
        error.close()
        raise NotifyError(f"the webhook answered {error.code}; check url and password_file") from None
    except urllib.error.URLError as error:
        cause = error.reason if isinstance(error.reason, OSError) else OSError()
        raise NotifyError(f"the webhook: {reaching.why(notify, cause)}") from None
    except (OSError, HTTPException, ValueError) as error:
        why = reaching.why(notify, error) if isinstance(error, OSError) else f"{type(error).__name__}; check url"
        raise NotifyError(f"the webhook: {why}") from None


class _NotFollowed(urllib.request.HTTPRedirectHandler):
    """A redirect would turn the POST into a GET, perhaps elsewhere: it is an error instead."""

    def redirect_request(self, *_: object, **__: object) -> None:
        """Follow none."""


def _opener(notify: Notify) -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_NotFollowed(), urllib.request.HTTPSHandler(context=reaching.trust(notify)))


def _run(notify: Notify, message: Message) -> None:
    plain = {key: value for key, value in message.facts.items() if isinstance(value, str | int) and value != ""}
    environment = {f"DCMRELAY_{key.upper()}": str(value) for key, value in plain.items()}
    program = notify.command[0]
    try:
        done = subprocess.run(
            notify.command, input=json.dumps(message.facts).encode(), env=_inherited() | environment,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=reaching.SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise NotifyError(f"{program} did not end within {reaching.SECONDS:.0f} s") from None
    except (OSError, ValueError) as error:
        why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else type(error).__name__
        raise NotifyError(f"{program} cannot be run: {why}; check command") from None
    if done.returncode:
        raise NotifyError(f"{program} ended with exit code {done.returncode}")


def _inherited() -> dict[str, str]:
    """The environment without the relay's own settings, some of which are secrets."""
    return {key: value for key, value in os.environ.items() if not key.startswith("DCMRELAY_")}
