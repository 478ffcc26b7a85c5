"""From a file to a `Config` that passed every check, or to every problem at once."""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from itertools import chain, count
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from shared.config.checking import errors_of
from shared.config.model import Config
from shared.config.notifying import Notify
from shared.config.problems import Problem
from shared.config.sentences import problems_in
from shared.errors import ConfigError

DEFAULT_NAME = "dcmrelay.toml"
VARIABLE = "DCMRELAY_CONFIG"

_POSITION = re.compile(r"(?P<what>.*) \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)")

# By the beginning of what tomllib says.
_REMEDIES = {
    "Invalid value": "text stands in double quotes, lists in square brackets",
    "Cannot overwrite": "the key stands twice: keep one of them",
    "Duplicate inline": "the key stands twice: keep one of them",
    "Cannot declare": "the heading stands twice: keep one; those of a list have two brackets on each side",
    "Cannot mutate": "a table or list in braces or brackets is whole: write all of it there",
    "Unterminated string": "text ends with the quote that it begins with, on the same line",
    "Illegal character": "text ends with the quote that it begins with, on the same line",
    "Unescaped": r"write \\ for a backslash in double quotes, or use single quotes",
    "Expected newline": "one key = value stands on a line",
    "Expected ']'": "a heading is [name] or [[name]] on a line of its own; was the file cut short?",
    "Unclosed array": "a list ends with ]; was the file cut short?",
    "Unclosed inline": "a table in braces ends with } on the same line; was the file cut short?",
    "Invalid initial character": "a key is letters, digits, - and _, or stands in quotes",
    "Invalid statement": "write key = value, or a heading [name]",
}


def find(option: Path | None) -> Path:
    """Return where the configuration is: `--config`, $DCMRELAY_CONFIG, or ./dcmrelay.toml; it need not exist."""
    return option or Path(os.environ.get(VARIABLE) or DEFAULT_NAME)


def load(path: Path) -> Config:
    """Return the checked configuration of a file; paths in it are made absolute, relative to its folder.

    Raises:
        ConfigError: every problem, each line beginning with the file.
    """
    return read(read_file(path), path)


def read(content: bytes, path: Path) -> Config:
    """Return the checked configuration of a file's content; the path says what relative paths are relative to.

    Raises:
        ConfigError: as `load`.
    """
    try:
        return parse(_decoded(content), path.absolute().parent)
    except ConfigError as error:
        raise ConfigError(tuple(f"{path}: {problem}" for problem in error.problems)) from None


def read_file(path: Path) -> bytes:
    """Return what stands in a file.

    Raises:
        ConfigError: it cannot be read; the line begins with the file.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        text = "does not exist; write one with `dcmrelay init`, or name another with --config"
    except IsADirectoryError:
        text = f"is a folder; name the file in it, such as --config {path / DEFAULT_NAME}"
    except OSError as error:
        text = f"cannot be read ({error.strerror}); change its mode, or name another with --config"
    raise ConfigError((f"{path}: {text}",))


def parse(text: str, folder: Path) -> Config:
    """Return the checked configuration of TOML text.

    Args:
        text: TOML.
        folder: absolute; what relative paths are relative to.

    Raises:
        ConfigError: every problem.
    """
    raw = _tables(text)
    config, problems = _validated(raw, folder)
    config = _resolved(config)
    problems += errors_of(config, raw)
    if problems:
        raise ConfigError(tuple(str(problem) for problem in problems))
    return config


def _decoded(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError((f"is not UTF-8 (line {line}); save it as UTF-8 text",)) from None


def _tables(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError((_syntax(str(error)),)) from None
    except (ValueError, RecursionError):
        raise ConfigError(("is not TOML that can be read: a number or a nesting is out of bounds",)) from None


def _syntax(message: str) -> str:
    found = _POSITION.fullmatch(message)
    what = (found["what"] if found else message).rstrip(".")
    where = f"line {found['line']}, column {found['column']}" if found and found["line"] else "at its end"
    remedy = next((text for begin, text in _REMEDIES.items() if what.startswith(begin)), "write key = value")
    return f"{where}: not TOML: {what[:1].lower()}{what[1:]}; {remedy}"


def _validated(raw: Mapping[str, Any], folder: Path) -> tuple[Config, tuple[Problem, ...]]:
    """Return the configuration, or as much of it as is sound, and what is wrong with the rest."""
    context = {"folder": folder}
    try:
        return Config.model_validate({"relay": {}, **raw}, context=context), ()
    except ValidationError as error:
        sound = _without(raw, [details["loc"] for details in error.errors()])
        return Config.model_validate({"relay": {}, **sound}, context=context), problems_in(error, raw)


def _without(raw: Mapping[str, Any], locations: list[tuple[int | str, ...]]) -> dict[str, Any]:
    """Return the tables that hold none of the locations; a named table or one of a list goes alone."""
    lost = {loc[:2] for loc in locations} | {loc[:1] for loc in locations if len(loc) == 1}
    sound: dict[str, Any] = {}
    for section, value in raw.items():
        if (section,) in lost:
            continue
        if isinstance(value, list):
            sound[section] = [item for index, item in enumerate(value) if (section, index) not in lost]
        elif Config.model_fields.get(section) is not None:
            if not any(section == loc[0] for loc in lost):
                sound[section] = value
        else:
            sound[section] = {name: table for name, table in value.items() if (section, name) not in lost}
    return sound


def _resolved(config: Config) -> Config:
    """Return it with the relay's own AE title where a source or a destination names none, and with named notifiers."""
    ours = config.relay.ae_title
    sources = (s if s.called else s.model_copy(update={"called": (ours,)}) for s in config.sources)
    destinations = (
        d if d.calling_ae_title else d.model_copy(update={"calling_ae_title": ours}) for d in config.destinations
    )
    named = {"sources": tuple(sources), "destinations": tuple(destinations), "notify": tuple(_named(config.notify))}
    return config.model_copy(update=named)


def _named(notifiers: tuple[Notify, ...]) -> Iterator[Notify]:
    """Give each notifier without a name one that no other has: its kind, `smtp-2`, ..."""
    taken = {notify.name for notify in notifiers}
    for notify in notifiers:
        if notify.name is None:
            names = chain((notify.kind,), (f"{notify.kind}-{n}" for n in count(2)))
            name = next(name for name in names if name not in taken)
            taken.add(name)
            yield notify.model_copy(update={"name": name})
        else:
            yield notify
