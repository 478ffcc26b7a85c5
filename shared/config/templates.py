"""Values that quote others in braces: "HX{AccessionNumber}". No I/O, no clock, no globals but a cache."""

import re
from functools import lru_cache

from shared.config.addresses import Address, parse_address
from shared.config.values import shown

# What the relay knows of a part, beside the elements.
FACTS = ("source", "called")
_QUOTED = re.compile(r"\{([^{}]*)\}")


def parse_template(template: str) -> str:
    """Return a value that can be made.

    Raises:
        ValueError: says what to write instead.
    """
    pieces_of(template)
    literal = _QUOTED.sub("", template)
    if "{" in literal or "}" in literal:
        raise ValueError(f"{shown(template)} has a brace that belongs to nothing; remove it")
    if not template:
        raise ValueError("is empty; name the element in remove instead")
    return template


@lru_cache(maxsize=4096)
def pieces_of(template: str) -> tuple[str | Address, ...]:
    """Literal text and quoted elements or facts in turn; literal text is at even places, a fact is its name."""
    pieces: list[str | Address] = []
    for number, piece in enumerate(_QUOTED.split(template)):
        pieces.append(piece if number % 2 == 0 or piece in FACTS else parse_address(piece))
    return tuple(pieces)
