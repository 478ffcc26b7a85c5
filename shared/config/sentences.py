"""What pydantic found, in our sentences: the table, the key, the value, what to write instead.

No I/O, no clock. No value of an unknown key is quoted: somebody may have put a password there.
"""

from collections.abc import Callable, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from shared.config.model import Config
from shared.config.problems import Problem
from shared.config.values import did_you_mean, shown

Location = tuple[int | str, ...]

LISTS = ("source", "destination", "check", "route", "notify")
NAMED = ("calendar", "profile", "edit")

_EXAMPLES = {
    "name": 'name = "archive"',
    "ae_title": 'ae_title = "ARCHIVE"',
    "host": 'host = "10.1.2.3"',
    "port": "port = 104",
    "open": 'open = ["mon-fri 08:00-20:00"]',
    "destination": 'destination = "archive"',
}


def problems_in(error: ValidationError, raw: Mapping[str, Any]) -> tuple[Problem, ...]:
    """Return every problem of a refused file, in the order of the sections."""
    problems: list[Problem] = []
    for details in error.errors(include_url=False):
        place = _place(details["loc"], raw)
        problems.extend(Problem(place, line) for line in _sentence(details).split("\n"))
    return tuple(problems)


def _place(loc: Location, raw: Mapping[str, Any]) -> str:
    section = str(loc[0])
    if len(loc) == 1:
        value, name = raw.get(section), _bare(section)
        return f"[{name}]" if isinstance(value, dict) else f"[[{name}]]" if _is_tables(value) else f"key {name}"
    if section in LISTS:
        table, keys = f"{section} {_title(raw, section, int(loc[1]))}", loc[2:]
    elif section in NAMED:
        table, keys = f"{section} {shown(loc[1])}", loc[2:]
    else:
        table, keys = f"[{section}]", loc[1:]
    key = _dotted(keys)
    return f"{table} key {key}" if key else table


def _is_tables(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def _title(raw: Mapping[str, Any], section: str, index: int) -> str:
    """Return how a line calls one table of a list: by its name, or by its number in the file."""
    table = raw[section][index]
    name = table.get("name") if isinstance(table, dict) else None
    return shown(name) if isinstance(name, str) else f"number {index + 1}"


def _dotted(keys: Location) -> str:
    """Return "match.Modality" or "one_of[2].during"; the index of a plain value is left out, the value is quoted."""
    steps = [key for key in keys if not (isinstance(key, str) and key.startswith("["))]
    while steps and isinstance(steps[-1], int):
        steps.pop()
    return "".join(f"[{step + 1}]" if isinstance(step, int) else f".{_bare(step)}" for step in steps).removeprefix(".")


def _bare(key: str) -> str:
    """Return a key as it stands, or quoted when it would break the line."""
    return key if key.isprintable() and 0 < len(key) <= 60 else shown(key)


def _sentence(details: ErrorDetails) -> str:
    kind = details["type"]
    if kind == "value_error":
        return str(details["ctx"]["error"])
    say = _SENTENCES.get(kind)
    return say(details) if say else f"{shown(details['input'])} cannot be used here; see the reference configuration"


def _unknown(details: ErrorDetails) -> str:
    key, known = str(details["loc"][-1]), _known_beside(details["loc"])
    return f"is not known here{did_you_mean(key, known) or '; known are ' + ', '.join(known)}"


def _known_beside(loc: Location) -> list[str]:
    """Return the keys that a table may have, given the location of a key in it."""
    model: type[BaseModel] = Config
    for step in loc[:-1]:
        model = _model_of(_fields(model).get(str(step))) or model
    return list(_fields(model))


def _fields(model: type[BaseModel]) -> dict[str, Any]:
    return {field.alias or name: field.annotation for name, field in model.model_fields.items()}


def _model_of(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for part in get_args(annotation) if (model := _model_of(part))), None)


def _missing(details: ErrorDetails) -> str:
    example = _EXAMPLES.get(str(details["loc"][-1]))
    return f"is missing; add it, for example {example}" if example else "is missing; add it"


def _whole_number(details: ErrorDetails) -> str:
    value = details["input"]
    quoted = isinstance(value, str) and value.isascii() and value.isdecimal()
    return f"{shown(value)} is not a whole number; write {int(value) if quoted else 'digits'} without quotes"


def _table(details: ErrorDetails) -> str:
    loc = details["loc"]
    if len(loc) > 1:
        return f"{shown(details['input'])} must be a table of keys and values"
    return f"must be written as tables [{loc[0]}.NAME]" if loc[0] in NAMED else f"must be one table, [{loc[0]}]"


def _one_of(details: ErrorDetails) -> str:
    value, known = details["input"], str(details["ctx"]["expected"]).split("'")[1::2]
    if len(known) == 1:
        return f"{shown(value)} can only be {known[0]!r} here"
    near = did_you_mean(value, known) if isinstance(value, str) else ""
    return f"{shown(value)} is not known here{near or '; known are ' + ', '.join(map(repr, known))}"


_SENTENCES: dict[str, Callable[[ErrorDetails], str]] = {
    "missing": _missing,
    "extra_forbidden": _unknown,
    "int_type": _whole_number,
    "bool_type": lambda d: f"{shown(d['input'])} must be true or false, without quotes",
    "float_type": lambda d: f"{shown(d['input'])} must be a number, without quotes",
    "finite_number": lambda d: f"{shown(d['input'])} must be a number that ends",
    "string_type": lambda d: f"{shown(d['input'])} must be text in quotes",
    "literal_error": _one_of,
    "dict_type": _table,
    "model_type": _table,
    "greater_than_equal": lambda d: f"{shown(d['input'])} must be at least {d['ctx']['ge']}",
    "less_than_equal": lambda d: f"{shown(d['input'])} must be at most {d['ctx']['le']}",
}
