"""PDUs written down as people read them: hex, 'text' in quotes, `00*32` for repetition, a comment after a semicolon."""

import re
from pathlib import Path

_TOKEN = re.compile(r"'([^']*)'|([0-9A-Fa-f]{2})\*(\d+)|((?:[0-9A-Fa-f]{2})+)")
_CAPTURED = Path(__file__).parent / "captured"


def golden(text: str) -> bytes:
    """The bytes that a text stands for."""
    return b"".join(_token(token) for line in text.splitlines() for token in _tokens(line))


def captured(name: str) -> bytes:
    """A PDU that another application sent, from `captured/`; each file says which, and how it was made to."""
    return golden((_CAPTURED / f"{name}.txt").read_text(encoding="ascii"))


def _tokens(line: str) -> list[str]:
    """What is on a line before a semicolon (no quoted text here has one)."""
    return re.findall(r"'[^']*'|\S+", line.partition(";")[0])


def _token(token: str) -> bytes:
    found = _TOKEN.fullmatch(token)
    assert found, f"not golden: {token}"
    text, byte, times, digits = found.groups()
    if digits:
        return bytes.fromhex(digits)
    return text.encode("ascii") if text is not None else bytes.fromhex(byte) * int(times)
