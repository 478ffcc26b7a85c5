"""What a match table asks of one key: patterns, or a table of conditions; and whether values satisfy it.

No I/O, no clock, no globals.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from ipaddress import ip_address, ip_network
from typing import Annotated, Any

from pydantic import BeforeValidator, Discriminator, Field, Tag

from shared.config.fields import MatchKey, Number, Patterns, RegularExpression, Table, Text
from shared.config.matching import fits
from shared.config.regex import found
from shared.config.values import shown
from shared.config.windows import parse_days, parse_times

Values = Sequence[str]


class Condition(Table):
    """Conditions on one key; what is given must all hold, the last six for one and the same value.

    Args:
        not_: no value fits any of these patterns; holds too when there is no value.
        present: whether there is a value that is not empty, or an item of a sequence.
        regex: found in the value, case counts; (?i) at its beginning changes that.
        at_least: the value is a number not smaller; `at_most`, `above`, `below` likewise.
        from_: the value, as text, is not before this: dates and times; `to`: not after it.
    """

    not_: Patterns | None = Field(default=None, alias="not")
    present: bool | None = None
    regex: RegularExpression | None = None
    at_least: Number | None = None
    at_most: Number | None = None
    above: Number | None = None
    below: Number | None = None
    from_: Text | None = Field(default=None, alias="from")
    to: Text | None = None


def _kind(value: object) -> str:
    return "[table]" if isinstance(value, dict | Condition) else "[texts]"


def flat(value: object) -> object:
    """A path may be written with dots out of quotes, which TOML reads as tables in tables; returns it flat."""
    return dict(_paths(value)) if isinstance(value, dict) else value


def _paths(table: Mapping[Any, Any]) -> Iterable[tuple[Any, Any]]:
    for key, value in table.items():
        if isinstance(value, dict) and any(isinstance(inner, str) and inner[:1].isupper() for inner in value):
            yield from ((f"{key}.{inner}", deeper) for inner, deeper in _paths(value))
        else:
            yield key, value


Asked = Annotated[
    Annotated[Patterns, Tag("[texts]")] | Annotated[Condition, Tag("[table]")],
    Discriminator(_kind),
]
Match = Annotated[dict[MatchKey, Asked], BeforeValidator(flat)]


def _one_or_more(value: object) -> object:
    if not isinstance(value, list | tuple | dict):
        raise ValueError(f'{shown(value)} must be a table or a list of them, such as [{{ Modality = "US" }}]')
    return (value,) if isinstance(value, dict) else tuple(value)


Matches = Annotated[tuple[Match, ...], BeforeValidator(_one_or_more)]


def satisfied(key: str, asked: tuple[str, ...] | Condition, values: Values) -> bool:
    """Whether the values of a key are what a match table asks for.

    Args:
        key: of the relay, or a DICOM keyword or path.
        asked: patterns of which one must fit, or a table of conditions.
        values: of the element or fact; empty when there is none.
    """
    if not isinstance(asked, Condition):
        return _any_fits(key, asked, values)
    if asked.not_ is not None and _any_fits(key, asked.not_, values):
        return False
    if asked.present is not None and any(value.strip() for value in values) is not asked.present:
        return False
    tests = list(_tests(asked))
    return not tests or any(all(test(value) for test in tests) for value in values)


def _any_fits(key: str, patterns: Iterable[str], values: Values) -> bool:
    fit = _FITS.get(key, fits)
    return any(fit(pattern, value) for pattern in patterns for value in values)


def _is_within(network: str, address: str) -> bool:
    try:
        return ip_address(address) in ip_network(network)
    except ValueError:
        return False


_FITS: dict[str, Callable[[str, str], bool]] = {
    "host": _is_within,
    "weekday": lambda days, day: day in parse_days(days),
    "time": lambda times, minute: parse_times(times).covers(int(minute)),
}


def _tests(asked: Condition) -> Iterable[Callable[[str], bool]]:
    if (regex := asked.regex) is not None:
        yield lambda value: found(regex, value)
    if (first := asked.from_) is not None:
        yield lambda value: value >= first
    if (last := asked.to) is not None:
        yield lambda value: value[: len(last)] <= last
    bounds = (asked.at_least, asked.at_most, asked.above, asked.below)
    if any(bound is not None for bound in bounds):
        yield lambda value: _is_between(value, *bounds)


def _is_between(
    value: str, at_least: float | None, at_most: float | None, above: float | None, below: float | None
) -> bool:
    try:
        number = Decimal(value.strip())
    except InvalidOperation:
        return False
    return (
        number.is_finite()
        and (at_least is None or number >= Decimal(str(at_least)))
        and (at_most is None or number <= Decimal(str(at_most)))
        and (above is None or number > Decimal(str(above)))
        and (below is None or number < Decimal(str(below)))
    )
