"""What is wrong with a configuration, as one line that names the key, the value and what to write instead."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One problem, warning or refusal.

    Args:
        place: the table and the key, "route 'mr-archive' key to".
        text: what is wrong there and what to do.
    """

    place: str
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


def at(section: str, name: str, key: str, text: str) -> Problem:
    """Return a problem of a key in a named table, such as [[route]] or [profile.NAME]."""
    return Problem(f"{section} {name!r} key {key}", text)


def within(section: str, key: str, text: str) -> Problem:
    """Return a problem of a key in a table there is one of, such as [relay]."""
    return Problem(f"[{section}] key {key}", text)
