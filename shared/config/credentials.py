"""The broker's complete address: the configuration's URL and a password from the environment or a file."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from shared.config.model import Config
from shared.config.problems import within
from shared.errors import ConfigError

URL_VARIABLE = "DCMRELAY_BROKER_URL"
PASSWORD_VARIABLE = "DCMRELAY_BROKER_PASSWORD"  # noqa: S105 (the variable's name)


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
        return _checked(complete)
    if config.broker.url is None:
        return None
    password = environ.get(PASSWORD_VARIABLE) or _password_in(config.broker.password_file)
    return _with_password(config.broker.url, password) if password else config.broker.url


def _checked(url: str) -> str:
    try:
        usable = urlsplit(url).scheme in ("amqp", "amqps") and bool(urlsplit(url).hostname)
    except ValueError:
        usable = False
    if not usable:
        raise ConfigError((f'${URL_VARIABLE}: is not a URL like "amqps://relay:password@host.example:5671/dcmrelay"',))
    return url


def _password_in(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        password = path.read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise _refusal(f"{path} cannot be read ({error.strerror}); make it readable for the relay's user") from None
    except UnicodeDecodeError:
        raise _refusal(f"{path} is not UTF-8; write the password as plain text") from None
    if not password:
        raise _refusal(f"{path} is empty; write the password in its first line")
    return password


def _with_password(url: str, password: str) -> str:
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    if not at:
        raise ConfigError((str(within("broker", "url", "names no user for the password; write amqps://USER@host")),))
    return urlunsplit(parts._replace(netloc=f"{user}:{quote(password, safe='')}@{host}"))


def _refusal(text: str) -> ConfigError:
    return ConfigError((str(within("broker", "password_file", text)),))
