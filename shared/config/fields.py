"""Field types of the configuration: how a TOML value becomes a checked one, and how a snapshot writes it back.

No I/O but time zones and calendar files. Every refusal is a ValueError whose sentence says what to write instead.
"""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationInfo

from shared.config import holidays, keywords, listed, matching, regex, values, windows
from shared.config.values import shown

T = TypeVar("T")
_LONGEST_WORD = 4096


class Table(BaseModel):
    """A table of the file: frozen, strict, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def text(parse: Callable[[str], T], example: str) -> BeforeValidator:
    """Return a validator that takes text only, and gives it to `parse`."""

    def validate(value: object) -> T:
        if not isinstance(value, str):
            raise ValueError(f"{shown(value)} must be text in quotes, such as {example}")
        return parse(value)

    return BeforeValidator(validate)


def already(kind: type[T], otherwise: BeforeValidator) -> BeforeValidator:
    """Return a validator that leaves a value of its own kind as it is; code, not TOML, passes these."""
    parse: Any = otherwise.func

    def validate(value: object) -> object:
        return value if type(value) is kind else parse(value)

    return BeforeValidator(validate)


def _listed(value: object) -> object:
    if isinstance(value, list):
        return tuple(value)
    if not isinstance(value, tuple):
        raise ValueError(f"{shown(value)} must be a list in square brackets{_as_list(value)}")
    return value


def _command(value: object) -> object:
    if isinstance(value, str):
        raise ValueError(
            f"{shown(value)} must be a list of the program and each of its arguments, "
            'such as ["/usr/local/bin/page", "pacs"]'
        )
    return value


def _tables(value: object) -> object:
    if not isinstance(value, list | tuple):
        raise ValueError("is a list of tables; write its heading with two brackets on each side")
    return tuple(value)


def _filled(value: object, info: ValidationInfo) -> object:
    if value in ((), []) and info.context:  # a file; in a snapshot it is a default written out
        raise ValueError("an empty list allows nothing; name what you mean, or leave the key out")
    return value


def _as_list(value: object) -> str:
    return f', such as ["{value}"]' if isinstance(value, str) and value.isprintable() and len(value) <= 60 else ""


def _constant(value: str) -> str:
    if not value or not value.isprintable() or len(value) > 64:
        raise ValueError(f"{shown(value)} must be 1 to 64 characters without control characters")
    return value


def _word(value: str) -> str:
    if not value.isprintable() or len(value) > _LONGEST_WORD:
        raise ValueError(f"{shown(value)} must be at most {_LONGEST_WORD} characters without control characters")
    return value


def _called(value: str) -> str:
    return value if value == "*" else values.parse_ae_title(value)


def _named_sender(value: str) -> str:
    if value == "*":
        raise ValueError("'*' is not accepted here, every sender is named; write one [[source]] per AE title")
    return values.parse_ae_title(value)


def _calling(value: str) -> str:
    return value if value in ("{source}", "") else values.parse_ae_title(value)


def _timezone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ValueError, KeyError, OSError):
        near = values.did_you_mean(value, available_timezones())
        raise ValueError(f'{shown(value)} is not an IANA time zone, such as "Europe/Lisbon"{near}') from None
    return value


def _pattern(value: str) -> str:
    if not value:
        raise ValueError('an empty text matches nothing; write "*" for any value, or remove the key')
    return value


def _texts(example: str) -> BeforeValidator:
    """Return a validator that takes one text or a list of texts."""

    def validate(value: object) -> object:
        one = (value,) if isinstance(value, str) else value
        if not isinstance(one, list | tuple):
            raise ValueError(f"{shown(value)} must be text or a list of texts, such as {example}")
        return tuple(one)

    return BeforeValidator(validate)


def _key_file(value: str) -> str:
    path = PurePosixPath(value)
    if not value or path.is_absolute() or ".." in path.parts or path == PurePosixPath() or not value.isprintable():
        raise ValueError(f'{shown(value)} must be a plain name inside data_dir, such as "pseudonym.key"')
    return str(path)


def _path(value: object, info: ValidationInfo) -> Path:
    if isinstance(value, Path):
        path = value
    elif isinstance(value, str) and value and "\0" not in value:
        path = Path(value)
    else:
        raise ValueError(f'{shown(value)} must be a path in quotes, such as "var"')
    folder = (info.context or {}).get("folder")
    return path if folder is None else Path(folder) / path


def _date(value: object) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return values.parse_date(value.isoformat())
    if not isinstance(value, str):
        raise ValueError(f'{shown(value)} is not a date; write year-month-day, such as "2026-12-25"')
    return values.parse_date(value)


def _with_calendar_files(value: object, info: ValidationInfo) -> object:
    """Put the dates of the iCalendar files of a list in their places."""
    folder = Path((info.context or {}).get("folder", "."))
    days: list[object] = []
    for entry in value if isinstance(value, tuple) else ():
        is_file = isinstance(entry, str) and entry.endswith(holidays.SUFFIX) and "\0" not in entry
        days.extend(holidays.read_days(folder / str(entry)) if is_file else (entry,))
    return tuple(days)


def _with_columns(value: object, info: ValidationInfo) -> object:
    """Put the columns of the CSV files that a table names into it, each under the keyword it is named after."""
    folder = Path((info.context or {}).get("folder", "."))
    if not isinstance(value, dict):
        return value
    is_file = {key: isinstance(it, str) and it.endswith(listed.SUFFIX) and "\0" not in it for key, it in value.items()}
    return {key: listed.read_column(folder / it, key) if is_file[key] else it for key, it in value.items()}


def _value_list(value: object) -> object:
    if not isinstance(value, list | tuple):
        raise ValueError(f'{shown(value)} must be a list of texts, such as ["CT-1"], or a file, such as "stations.csv"')
    return tuple(value)


def by_keyword(check: Callable[[str, str], str]) -> AfterValidator:
    """Return a validator that gives every keyword and text of a table to `check`, and names all that it refuses."""

    def validate(table: dict[str, str]) -> dict[str, str]:
        refused = []
        for keyword, value in table.items():
            try:
                check(keyword, value)
            except ValueError as error:
                refused.append(f"{keyword}: {error}")
        if refused:
            raise ValueError("\n".join(refused))
        return table

    return AfterValidator(validate)


def _address(value: str) -> str:
    """A mail address as one plain word: local part and domain."""
    user, _, domain = _constant(value).rpartition("@")
    if not user or not domain or not value.isascii() or any(letter in ' <>(),;:"\\' for letter in value):
        raise ValueError(f'{shown(value)} is not a mail address; write it like "pacs@hospital.example"')
    return value


def _url(*schemes: str) -> BeforeValidator:
    """Return a validator for a URL of one of the schemes, with a host and without a password; never quotes the URL."""
    example = f"{schemes[0]}://relay@host.example/name"

    def validate(value: str) -> str:
        try:
            parts = urlsplit(value)
            _ = parts.port
        except ValueError:
            raise ValueError(f'is not a URL; write it like "{example}"') from None
        if parts.scheme not in schemes:
            raise ValueError(f'must begin with {" or ".join(f"{s}://" for s in schemes)}, like "{example}"')
        if not parts.hostname:
            raise ValueError(f'names no host; write it like "{example}"')
        if parts.password is not None:
            raise ValueError("holds a password; take it out of this file and name a file with it in password_file")
        return value

    return text(validate, f'"{example}"')


Listed = Annotated[tuple[T, ...], BeforeValidator(_listed)]
Several = Annotated[tuple[T, ...], BeforeValidator(_filled), BeforeValidator(_listed)]
Tables = Annotated[tuple[T, ...], BeforeValidator(_tables)]

Duration = Annotated[
    timedelta,
    already(timedelta, text(values.parse_duration, '"30s"')),
    PlainSerializer(values.write_duration, when_used="json"),
]
Pause = Annotated[
    timedelta,
    already(timedelta, text(values.parse_pause, '"30s"')),
    PlainSerializer(values.write_duration, when_used="json"),
]
Size = Annotated[int, text(values.parse_size, '"10GB"'), PlainSerializer(values.write_size, when_used="json")]
Rate = Annotated[float, text(values.parse_rate, '"160Mbit/s"'), PlainSerializer(values.write_rate, when_used="json")]
Percentage = Annotated[
    float, text(values.parse_percentage, '"20%"'), PlainSerializer(values.write_percentage, when_used="json")
]
Port = Annotated[int, Field(ge=1, le=65535)]
Count = Annotated[int, Field(ge=1, le=10_000)]
Name = Annotated[str, text(values.parse_name, '"archive"')]
AeTitle = Annotated[str, text(values.parse_ae_title, '"ARCHIVE"')]
SendingAeTitle = Annotated[str, text(_named_sender, '"CT1"')]
CalledAeTitle = Annotated[str, text(_called, '"DCMRELAY"')]
CallingAeTitle = Annotated[str, text(_calling, '"DCMRELAY"')]
Constant = Annotated[str, text(_constant, '"HX"')]
Word = Annotated[str, text(_word, '"--urgent"')]
Command = Annotated[tuple[Word, ...], BeforeValidator(_listed), BeforeValidator(_command)]
Host = Annotated[str, text(values.parse_host, '"10.1.2.3"')]
PeerName = Annotated[str, text(values.parse_peer, '"pacs.example"')]
CertificateName = Annotated[str, text(values.parse_certificate, '"ct-1.example"')]
Timezone = Annotated[str, text(_timezone, '"Europe/Lisbon"')]
BrokerUrl = Annotated[str, _url("amqp", "amqps")]
NoticeUrl = Annotated[str, _url("https", "http")]
MailAddress = Annotated[str, text(_address, '"pacs@hospital.example"')]
LedgerUrl = Annotated[str, _url("postgresql")]
RegularExpression = Annotated[str, text(regex.parse_regex, '"^[0-9]+$"')]
KeyFile = Annotated[str, text(_key_file, '"pseudonym.key"')]
FilePath = Annotated[Path, BeforeValidator(_path), PlainSerializer(str, when_used="json")]
Day = Annotated[date, BeforeValidator(_date)]
Days = Annotated[tuple[Day, ...], BeforeValidator(_with_calendar_files), BeforeValidator(_listed)]
Keyword = Annotated[str, text(keywords.check_keyword, '"PatientID"')]
ValueKeyword = Annotated[str, text(keywords.check_value_keyword, '"PatientID"')]
Pseudonyms = Annotated[dict[str, str], by_keyword(keywords.check_pseudonym)]
Constants = Annotated[dict[str, str], by_keyword(keywords.check_constant)]
PresentKeyword = Annotated[str, text(keywords.check_present_keyword, '"PatientID"')]
DateKeyword = Annotated[str, text(keywords.check_date_keyword, '"StudyDate"')]
ValueList = Annotated[tuple[str, ...], BeforeValidator(_filled), BeforeValidator(_value_list)]
Certificates = Annotated[tuple[CertificateName, ...], BeforeValidator(_filled), _texts('"ct-1.example"')]
ValueLists = Annotated[dict[ValueKeyword, ValueList], BeforeValidator(_with_columns)]
MatchKey = Annotated[str, text(matching.parse_match_key, '"Modality"')]
Patterns = Annotated[
    tuple[Annotated[str, text(_pattern, '"CT*"')], ...], BeforeValidator(_filled), _texts('"CT*" or ["CT", "MR"]')
]
Number = Annotated[float, Field(allow_inf_nan=False)]
Text = Annotated[str, text(_pattern, '"20261225"')]
Network = Annotated[values.Network, text(values.parse_network, '"10.1.0.0/16"'), PlainSerializer(str, when_used="json")]
ListenAddress = Annotated[
    values.Address,
    already(values.Address, text(values.parse_address, '"127.0.0.1:11112"')),
    PlainSerializer(str, when_used="json"),
]
OpenWindow = Annotated[
    windows.Window,
    already(windows.Window, text(windows.parse_window, '"mon-fri 08:00-20:00"')),
    PlainSerializer(str, when_used="json"),
]
