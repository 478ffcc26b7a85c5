"""Every key of every table: a value of a wrong kind is refused with the file, the key, the value and what to write."""

import json
import re
from collections.abc import Iterator
from typing import Any, get_args, get_origin

import pytest
from pydantic import BaseModel

from shared.config import read
from shared.config.model import Config
from shared.config.sentences import LISTS, NAMED
from shared.errors import ConfigError
from tests.shared.config.examples import FOLDER

FILE = FOLDER / "dcmrelay.toml"
WRONG = ("-7", "true", '"\\u2603 ?"', "[-7]", "{ strange = 1 }")
SAYS_WHAT_TO_WRITE = re.compile(
    r"write|must |did you mean|known are|without quotes|can only be|such as|example|add |use |take |leave|remove|name a"
)


def keys(model: type[BaseModel], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Paths of all keys that a table may have, those of the tables in it too; "[]" is an entry of a list."""
    for name, field in model.model_fields.items():
        path = (*above, field.alias or name)
        if len(path) > 1:
            yield path
        for between, inner in tables_in(field.annotation):
            if inner is not model:
                yield from keys(inner, path + between if above else path)


def tables_in(annotation: Any) -> Iterator[tuple[tuple[str, ...], type[BaseModel]]]:
    """The tables that a key may hold, each with the steps to it."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield (), annotation
    step = {tuple: ("[]",), dict: ("Modality",)}.get(get_origin(annotation), ())
    for part in get_args(annotation):
        yield from ((step + between, inner) for between, inner in tables_in(part))


def text_with(path: tuple[str, ...], value: str) -> str:
    """A file with a value at a path, and nothing else; what is in a list or under a name gets one."""
    section, key, *steps = path
    head = f"[[{section}]]" if section in LISTS else f"[{section}.n]" if section in NAMED else f"[{section}]"
    for step in reversed(steps):
        value = f"[{value}]" if step == "[]" else f"{{ {json.dumps(step)} = {value} }}"
    return f"{head}\n{key} = {value}\n"


def problems(text: str) -> tuple[str, ...]:
    """What is said of a file; nothing when it is right."""
    try:
        read(text.encode(), FILE)
    except ConfigError as error:
        return error.problems
    return ()


KEYS = sorted(set(keys(Config)))


@pytest.mark.parametrize("path", KEYS, ids=".".join)
def test_a_value_of_a_wrong_kind_is_refused_with_key_value_and_what_to_write(path: tuple[str, ...]) -> None:
    refused = 0
    for wrong in WRONG:
        lines = [
            line
            for line in problems(text_with(path, wrong))
            if re.search(rf"key {path[1]}\b", line) and "is missing" not in line
        ]
        refused += bool(lines)
        for line in lines:
            assert line.startswith(f"{FILE}: "), line
            assert path[-1] in line or wrong.startswith(("{", "[")), line
            assert wrong not in ("-7", "true") or wrong in line, line
            assert SAYS_WHAT_TO_WRITE.search(line), line
            assert "cannot be used here" not in line, line
    assert refused >= len(WRONG) - 2
