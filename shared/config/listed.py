"""Value lists of checks: written in the file, or the column of a CSV file that is named after the element.

Reads one file when the configuration is loaded; its values stand in the configuration's snapshot, so that a file that
changes later changes nothing that was decided.
"""

import csv
from collections.abc import Iterable
from pathlib import Path

from shared.config.values import did_you_mean, shown

SUFFIX = ".csv"
_LARGEST_BYTES, _MOST_VALUES = 1 << 20, 20_000


def read_column(path: Path, column: str) -> tuple[str, ...]:
    """Return the values of a column, without spaces around them, each once, in the order of the file.

    Args:
        path: a CSV file in UTF-8 whose first line names its columns; commas, semicolons or tabs stand between them.
        column: its name.

    Raises:
        ValueError: it cannot be read, or has no such column; says what to do.
    """
    lines = _lines(path)
    header = next(iter(lines), "")
    separator = max(",;\t", key=header.count)
    try:
        rows = list(csv.reader(lines, delimiter=separator, strict=True))
    except csv.Error:
        raise ValueError(f"{shown(path.name)} is not CSV; close its quotes, or export the table again") from None
    names = [name.strip() for name in rows[0]] if rows else []
    if column not in names:
        near = did_you_mean(column, names) or f"; its first line names {_written(names)}"
        raise ValueError(f"{shown(path.name)} has no column {column}{near}")
    index = names.index(column)
    values = dict.fromkeys(row[index].strip() for row in rows[1:] if len(row) > index)
    found = tuple(value for value in values if value)
    if not found:
        raise ValueError(f"{shown(path.name)} lists nothing under {column}; write its values there")
    if len(found) > _MOST_VALUES:
        raise ValueError(f"{shown(path.name)} lists more than {_MOST_VALUES} values; write a pattern instead")
    return found


def _lines(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_BYTES + 1)
    except OSError as error:
        raise ValueError(f"{shown(str(path))} cannot be read ({error.strerror}); name a file that is there") from None
    if len(content) > _LARGEST_BYTES:
        raise ValueError(f"{shown(path.name)} is longer than 1 MB; write a pattern instead")
    try:
        return content.decode("utf-8-sig").splitlines(keepends=True)
    except UnicodeDecodeError:
        raise ValueError(f"{shown(path.name)} is not UTF-8; save it as CSV in UTF-8") from None


def _written(names: Iterable[str]) -> str:
    return ", ".join(map(shown, names)) or "nothing"
