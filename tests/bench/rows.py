"""Rows of the table: what was measured, round by round, and how it compares. No I/O, no clock, no globals."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Literal

Better = Literal["higher", "lower"]


@dataclass(frozen=True, kw_only=True)
class Goal:
    """Bounds of a ratio; one of them at least.

    Args:
        name: what is to be reached, in words; rows with the same name are met together.
        at_least: the ratio must not be below.
        at_most: nor above.
    """

    name: str
    at_least: float | None = None
    at_most: float | None = None

    def is_met(self, ratio: float) -> bool:
        """Whether a ratio is within the bounds."""
        return (self.at_least is None or ratio >= self.at_least) and (self.at_most is None or ratio <= self.at_most)

    @property
    def text(self) -> str:
        """The bounds for people."""
        low = "" if self.at_least is None else f"≥ {self.at_least:g}"
        high = "" if self.at_most is None else f"≤ {self.at_most:g}"
        return ", ".join(bound for bound in (low, high) if bound)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One comparison.

    Args:
        section: what it belongs to: `ingest`, `send`, ...
        what: what was done with which instances.
        unit: of both series.
        ours: one value a round.
        name: who or what `theirs` is.
        theirs: likewise, of the same rounds.
        better: whether higher or lower values are better; the ratio says how many times better ours are. None: the
            ratio is ours over theirs, a growth.
        goal: bounds of the ratio; None when the row only stands beside others.
    """

    section: str
    what: str
    unit: str
    ours: Sequence[float]
    name: str
    theirs: Sequence[float]
    better: Better | None = None
    goal: Goal | None = None

    @property
    def ratios(self) -> list[float]:
        """One for each round, so that what slows both down at the time cancels out."""
        pairs = zip(self.ours, self.theirs, strict=True)
        return [theirs / ours if self.better == "lower" else ours / theirs for ours, theirs in pairs]

    @property
    def verdict(self) -> str:
        """`passed`, `missed`, or nothing without a goal; the median of the rounds decides."""
        if self.goal is None:
            return ""
        return "passed" if self.goal.is_met(median(self.ratios)) else "missed"


def spread(values: Sequence[float], unit: str = "") -> str:
    """Median and range of some values: `5.2 (4.9–5.3)`."""
    middle, low, high = (_short(value) for value in (median(values), min(values), max(values)))
    return f"{middle} ({low}–{high}) {unit}".strip()


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table whose columns are aligned, so that it reads well on a terminal too."""
    head = ("section", "what", "ours", "against", "theirs", "ratio", "goal", "")
    return grid([head, *(_cells(row) for row in rows)])


def goals(rows: Sequence[Row]) -> str:
    """What was to be reached and what was, a line for each goal: the least and the greatest ratio of its rows."""
    by_name: dict[str, list[Row]] = {}
    for row in rows:
        if row.goal is not None:
            by_name.setdefault(row.goal.name, []).append(row)
    return grid([("goal", "ratio", "reached", ""), *(_reached(name, those) for name, those in by_name.items())])


def grid(lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table of lines of cells, the first its head."""
    widths = [max(len(line[k]) for line in lines) for k in range(len(lines[0]))]
    text = [_line(line, widths) for line in lines]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([text[0], rule, *text[1:]])


def row_to_json(row: Row) -> dict[str, Any]:
    """A row with what follows from it."""
    goal = row.goal.text if row.goal else None
    return {**asdict(row), "ratios": row.ratios, "ratio": median(row.ratios), "goal": goal, "verdict": row.verdict}


def _cells(row: Row) -> tuple[str, ...]:
    goal = row.goal.text if row.goal else ""
    ours, theirs = spread(row.ours, row.unit), spread(row.theirs, row.unit)
    return (row.section, row.what, ours, row.name, theirs, spread(row.ratios), goal, row.verdict)


def _reached(name: str, rows: Sequence[Row]) -> tuple[str, ...]:
    medians = [median(row.ratios) for row in rows]
    bounds = " and ".join(dict.fromkeys(row.goal.text for row in rows if row.goal))
    missed = sum(row.verdict == "missed" for row in rows)
    verdict = f"missed in {missed} of {len(rows)} rows" if missed else "passed"
    reached = dict.fromkeys(map(_short, (min(medians), max(medians))))
    return (name, bounds, " to ".join(reached), verdict)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"


def _short(value: float) -> str:
    """Three digits that count."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
