"""What mail and webhook have in common: whom to trust, secrets in files, and why a server was not reached."""

import os
import ssl
from pathlib import Path

from shared.config import Notify
from shared.errors import NotifyError

SECONDS = 20.0
"""How long a server may take for one step, and a command for all."""
# OpenSSL: x509_vfy.h. Not yet valid, expired; another name, another address.
_OUT_OF_TIME, _ANOTHER = (9, 10), (62, 64)


def trust(notify: Notify) -> ssl.SSLContext:
    """Whose certificates are taken: those of `ca`, else of whom the system trusts.

    Raises:
        NotifyError: `ca` is no PEM file that can be read.
    """
    try:
        return ssl.create_default_context(cafile=None if notify.ca is None else str(notify.ca))
    except OSError:
        raise NotifyError(f"ca {notify.ca} cannot be used; it must be a PEM file that can be read") from None


def secret(key: str, path: Path) -> str:
    """The first line of a file.

    Raises:
        NotifyError: there is none.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise NotifyError(f"{key} {path} cannot be read; make it readable for the relay's user") from None
    if not lines or not lines[0].strip():
        raise NotifyError(f"{key} {path} is empty; write it in its first line")
    return lines[0].strip()


def why(notify: Notify, error: OSError) -> str:
    """Why there is no connection, with the remedy and without the error's own text."""
    keys = "host and port" if notify.kind == "smtp" else "url"
    if isinstance(error, ssl.SSLCertVerificationError):
        return _mistrusted(notify, error.verify_code)
    if isinstance(error, ssl.SSLError):
        return f"no TLS with it; check {'security, ' if notify.kind == 'smtp' else ''}{keys}"
    if isinstance(error, TimeoutError):
        return f"no answer in time; check {keys}"
    return f"{os.strerror(error.errno) if error.errno and error.errno > 0 else 'cannot be reached'}; check {keys}"


def _mistrusted(notify: Notify, code: int) -> str:
    if code in _ANOTHER:
        key = "host" if notify.kind == "smtp" else "url"
        return f"its certificate is for another name; write in {key} a name that the certificate has"
    if code in _OUT_OF_TIME:
        return "its certificate has expired or is not valid yet; have it renewed there, and check this machine's clock"
    if notify.ca is None:
        return "its certificate is not trusted; name in ca a PEM file with the certificate of who issued it"
    return f"its certificate is not trusted; put the certificate of who issued it into ca {notify.ca}"
