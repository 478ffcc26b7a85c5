"""What a C-STORE status means for the instance. No I/O, no clock, no globals.

Source: PS3.4 Table B.2-1 and PS3.7 Annex C; which of them are worth another try is ours: those about the peer's state,
not about the instance.
"""

from typing import Literal

Meaning = Literal["delivered", "transient", "refused", "unknown"]

_DELIVERED = {
    0x0000: "success",
    0x0001: "success, optional attributes not supported",
    0x0107: "warning: attribute list error",
    0x0111: "the peer has it already",
    0x0116: "warning: attribute value out of range",
    0xB000: "warning: coercion of data elements",
    0xB006: "warning: elements discarded",
    0xB007: "warning: data set does not match SOP class",
}
_TRANSIENT = {
    0x0110: "processing failure",
    0x0210: "duplicate invocation",
    0x0213: "resource limitation",
}
_REFUSED = {
    0x0105: "no such attribute",
    0x0106: "invalid attribute value",
    0x0112: "no such SOP instance",
    0x0115: "invalid argument value",
    0x0117: "invalid SOP instance",
    0x0118: "no such SOP class",
    0x0119: "class-instance conflict",
    0x0120: "missing attribute",
    0x0121: "missing attribute value",
    0x0122: "SOP class not supported",
    0x0124: "not authorized",
    0x0211: "unrecognized operation",
    0x0212: "mistyped argument",
}
# Status ranges: value, mask, meaning, words.
_RANGES: tuple[tuple[int, int, Meaning, str], ...] = (
    (0xA700, 0xFF00, "transient", "out of resources"),
    (0xA900, 0xFF00, "refused", "data set does not match SOP class"),
    (0xC000, 0xF000, "refused", "cannot understand"),
)


def meaning(status: int) -> Meaning:
    """Whether the peer has the instance, may take it later, will not take it, or said what no table knows."""
    return _row(status)[0]


def text(status: int) -> str:
    """The status for a person: hexadecimal, and what it means."""
    return f"{status:04X} {_row(status)[1]}"


def _row(status: int) -> tuple[Meaning, str]:
    tables: tuple[tuple[Meaning, dict[int, str]], ...] = (
        ("delivered", _DELIVERED),
        ("transient", _TRANSIENT),
        ("refused", _REFUSED),
    )
    for word, table in tables:
        if status in table:
            return word, table[status]
    for value, mask, word, words in _RANGES:
        if status & mask == value:
            return word, words
    return "unknown", "unknown status"
