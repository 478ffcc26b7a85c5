"""Complete addresses of broker and ledger: the configuration's URL and a password from the environment or a file."""

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from shared.config.model import Config
from shared.config.problems import within
from shared.errors import ConfigError

URL_VARIABLE = "DCMRELAY_BROKER_URL"
PASSWORD_VARIABLE = "DCMRELAY_BROKER_PASSWORD"  # noqa: S105 (the variable's name)
LEDGER_URL_VARIABLE = "DCMRELAY_LEDGER_URL"
LEDGER_PASSWORD_VARIABLE = "DCMRELAY_LEDGER_PASSWORD"  # noqa: S105 (the variable's name)
_EXAMPLES = {
    URL_VARIABLE: "amqps://relay:password@host.example:5671/dcmrelay",
    LEDGER_URL_VARIABLE: "postgresql://relay:password@host.example/dcmrelay",
}


def broker_url(config: Config, environ: Mapping[str, str]) -> str | None:
    """Return the URL of RabbitMQ with its password, for the connection only; never print it.

    $DCMRELAY_BROKER_URL stands for all of it; else [broker] url with $DCMRELAY_BROKER_PASSWORD or password_file.

    Returns:
        None when no URL is given: `dcmrelay up` then runs a private node.

    Raises:
        ConfigError: the password file cannot be read, or the URL is none or names no user for the password.
    """
    complete = environ.get(URL_VARIABLE)
    if complete:
        return _checked(complete, URL_VARIABLE, "amqp", "amqps")
    if config.broker.url is None:
        return None
    password = environ.get(PASSWORD_VARIABLE) or _password_in("broker", config.broker.password_file)
    return _with_password("broker", config.broker.url, password) if password else config.broker.url


def find_broker(config: Config) -> str | None:
    """Return the AMQP URL: of the configuration or environment, else of the private node that `up` runs; None: neither.

    Raises:
        ConfigError: as `broker_url`.
    """
    given = broker_url(config, os.environ)
    if given is not None:
        return given
    try:
        return (config.relay.data_dir / "broker" / "url").read_text(encoding="utf-8").strip()
    except OSError:
        return None


def ledger_url(config: Config, environ: Mapping[str, str]) -> str | None:
    """Return the URL of the ledger's PostgreSQL with its password, for the connection only; never print it.

    $DCMRELAY_LEDGER_URL stands for all of it; else [ledger] url with $DCMRELAY_LEDGER_PASSWORD or password_file.

    Returns:
        None when no URL is given: the ledger is a file in data_dir then.

    Raises:
        ConfigError: as `broker_url`.
    """
    complete = environ.get(LEDGER_URL_VARIABLE)
    if complete:
        return _checked(complete, LEDGER_URL_VARIABLE, "postgresql")
    if config.ledger.url is None:
        return None
    password = environ.get(LEDGER_PASSWORD_VARIABLE) or _password_in("ledger", config.ledger.password_file)
    return _with_password("ledger", config.ledger.url, password) if password else config.ledger.url


def _checked(url: str, variable: str, *schemes: str) -> str:
    try:
        usable = urlsplit(url).scheme in schemes and bool(urlsplit(url).hostname)
    except ValueError:
        usable = False
    if not usable:
        raise ConfigError((f'${variable}: is not a URL like "{_EXAMPLES[variable]}"',))
    return url


def _password_in(section: str, path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        password = path.read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        text = f"{path} cannot be read ({error.strerror}); make it readable for the relay's user"
        raise _refusal(section, "password_file", text) from None
    except UnicodeDecodeError:
        text = f"{path} is not UTF-8; write the password as plain text"
        raise _refusal(section, "password_file", text) from None
    if not password:
        raise _refusal(section, "password_file", f"{path} is empty; write the password in its first line")
    return password


def _with_password(section: str, url: str, password: str) -> str:
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    if not at:
        raise _refusal(section, "url", f"names no user for the password; write {parts.scheme}://USER@host")
    return urlunsplit(parts._replace(netloc=f"{user}:{quote(password, safe='')}@{host}"))


def _refusal(section: str, key: str, text: str) -> ConfigError:
    return ConfigError((str(within(section, key, text)),))
