"""The table of a campaign's results. No I/O, no clock, no globals."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

_COUNTS = ("acknowledged", "arrived", "lost", "corrupt", "wrong_form", "wrong_place", "duplicated", "manual")
_HEAD = (
    "| kind | trials | faults | acknowledged | arrived | lost | corrupt | wrong form | wrong place | duplicated "
    "| by hand | recovery, s: median, most | not ended |"
)


def table(rows: Iterable[dict[str, Any]]) -> str:
    """Markdown: a line per kind, the sum, and what is bounded by it.

    The control of the power cut has a line of its own and is not in the sum: it must lose.
    """
    found = list(rows)
    whole = [row for row in found if "failed" not in row]
    kinds = sorted({row["kind"] for row in found})
    lines = [
        _HEAD,
        "|---" * 13 + "|",
    ]
    for kind in kinds:
        these = [row for row in whole if row["kind"] == kind]
        lines.append(_line(kind, these, sum(row["kind"] == kind for row in found) - len(these)))
    counted = [row for row in whole if row["kind"] != "power-control"]
    lines.append(
        _line(
            "**all but the control**", counted, len([r for r in found if r["kind"] != "power-control"]) - len(counted)
        )
    )
    acknowledged, lost = sum(row["acknowledged"] for row in counted), sum(row["lost"] for row in counted)
    if acknowledged and not lost:
        lines += [
            "",
            f"No loss among {acknowledged}: fewer than {3 / acknowledged:.1e} of what is acknowledged, at 95 % (3/N).",
        ]
    commits = ", ".join(sorted({row["commit"] for row in found}))
    days = sorted({row["at"][:10] for row in found})
    lines += ["", f"Commits: {commits}. Days: {', '.join(days)}."]
    return "\n".join(lines)


def _line(name: str, rows: list[dict[str, Any]], failed: int) -> str:
    faults: Counter[str] = Counter()
    for row in rows:
        faults.update(row["faults"])
    sums = " | ".join(str(sum(row[it] for row in rows)) for it in _COUNTS)
    waits = sorted(row["recovery_seconds"] for row in rows)
    waited = f"{waits[len(waits) // 2]}, {waits[-1]}" if waits else ""
    said = ", ".join(f"{number} {what.replace('_', ' ')}" for what, number in faults.items())
    return f"| {name} | {len(rows)} | {said} | {sums} | {waited} | {failed} |"
