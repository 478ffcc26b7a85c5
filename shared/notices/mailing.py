"""Hands a mail to a server (RFC 5321, STARTTLS: RFC 3207, TLS at once: RFC 8314); no error has the server's words."""

import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.message import EmailMessage

from shared.config import Notify
from shared.errors import NotifyError
from shared.notices import reaching

_PORTS = {"starttls": 587, "tls": 465, "none": 25}


def hand_over(notify: Notify, mail: EmailMessage) -> None:
    """Give a mail to the server of a notifier of kind smtp; returns when it was taken for all addresses.

    Raises:
        NotifyError: it was not, or that is not known.
    """
    password = None if notify.password_file is None else reaching.secret("password_file", notify.password_file)
    where = f"the mail server {notify.host}:{_port(notify)}"
    try:
        with _connected(notify) as server:
            if notify.security == "starttls":
                _secure(notify, server)
            if notify.user is not None and password is not None:
                _log_in(server, notify.user, password)
            refused = server.send_message(mail)
    except NotifyError as error:
        raise NotifyError(f"{where}: {error}") from None
    except ssl.SSLError as error:  # some of them are a ValueError, too
        raise NotifyError(f"{where}: {reaching.why(notify, error)}") from None
    except smtplib.SMTPServerDisconnected:
        raise NotifyError(f"{where}: was silent or hung up; check security, host and port") from None
    except smtplib.SMTPResponseException as error:
        raise NotifyError(f"{where}: answered {error.smtp_code}; check from, to, user and password_file") from None
    except (smtplib.SMTPException, ValueError) as error:
        raise NotifyError(f"{where}: did not take it: {type(error).__name__}; check from, to and user") from None
    except OSError as error:
        raise NotifyError(f"{where}: {reaching.why(notify, error)}") from None
    if refused:
        raise NotifyError(f"{where}: refused {len(refused)} of {len(notify.to)} addresses; check to")


@contextmanager
def _connected(notify: Notify) -> Iterator[smtplib.SMTP]:
    """A session; what is said to its end changes nothing: a mail that was taken stays taken."""
    host, port, seconds = notify.host or "", _port(notify), reaching.SECONDS
    if notify.security == "tls":
        server: smtplib.SMTP = smtplib.SMTP_SSL(host, port, timeout=seconds, context=reaching.trust(notify))
    else:
        server = smtplib.SMTP(host, port, timeout=seconds)
    try:
        yield server
    finally:
        with suppress(smtplib.SMTPException, OSError):
            server.quit()
        server.close()


def _secure(notify: Notify, server: smtplib.SMTP) -> None:
    """Nothing but greetings is said before; a server that cannot is left (RFC 3207, 4)."""
    context = reaching.trust(notify)
    try:
        server.starttls(context=context)
    except (smtplib.SMTPNotSupportedError, smtplib.SMTPResponseException):
        raise NotifyError(
            'offers no STARTTLS now, so nothing was sent; have it switched on there, or write security = "tls" with '
            "a port that has TLS from the first byte"
        ) from None


def _log_in(server: smtplib.SMTP, user: str, password: str) -> None:
    try:
        server.login(user, password)
    except smtplib.SMTPAuthenticationError as error:
        raise NotifyError(f"answered {error.smtp_code} to the login; check user and password_file") from None
    except UnicodeEncodeError:
        raise NotifyError("takes ASCII letters only to log in; change user, or what password_file holds") from None
    except smtplib.SMTPServerDisconnected:
        raise
    except smtplib.SMTPException:
        raise NotifyError(
            "offers no login that is known here (PLAIN, LOGIN, CRAM-MD5); check security and port, or remove user and "
            "password_file"
        ) from None


def _port(notify: Notify) -> int:
    return notify.port or _PORTS[notify.security]
