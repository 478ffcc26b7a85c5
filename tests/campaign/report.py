"""The table of a campaign's results. No I/O, no clock, no globals."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

Row = dict[str, Any]
CONTROL = "power-control"
_COUNTS = ("acknowledged", "arrived", "lost", "corrupt", "wrong_form", "wrong_place", "duplicated", "manual")
_HEAD = (
    "| kind | trials | faults | acknowledged | arrived | lost | corrupt | wrong form | wrong place | duplicated "
    "| by hand | recovery, s: median, most | not ended | minutes |"
)
# What issue and operators ask for, and the counts of faults that make it up.
_SUMS = {
    "kills": ("kills", "kills_at_a_system_call", "kills_of_up", "broker_kills"),
    "power-cut images": ("images", "power_cuts"),
    "broker erasures": ("broker_erasures",),
    "disk-full runs": ("disk_full_blocks", "disk_full_inodes"),
    "network cuts": ("network_cuts",),
}


def table(rows: Iterable[Row]) -> str:
    """Markdown: a line per kind, the sum, what is bounded by it, and each trial that did not end.

    The control of the power cut has a line of its own and is not in the sum: it must lose.
    """
    found = list(rows)
    counted = [row for row in found if row["kind"] != CONTROL]
    ended = [row for row in counted if "failed" not in row]
    lines = [_HEAD, "|---" * 14 + "|"]
    lines += [_line(kind, [r for r in found if r["kind"] == kind]) for kind in sorted({row["kind"] for row in found})]
    lines += [
        _line("**all but the control**", counted, faults=""),
        "",
        f"Faults: {_sums(ended)}.",
        "",
        _bound(ended),
    ]
    commits = Counter(row["commit"] for row in found)
    days = sorted({row["at"][:10] for row in found})
    said = ", ".join(f"{commit} ({number} trials)" for commit, number in commits.items())
    nobody = sum(row.get("unexplained", 0) for row in ended)
    lines += ["", f"Copies of which the delivery was not begun as often as they came: {nobody}."]
    lines += ["", f"Commits: {said}. Days: {', '.join(days)}."]
    lines += [f"\n`{r['kind']}` with seed {r['seed']} did not end: {r['failed']}" for r in found if "failed" in r]
    return "\n".join(lines)


def _line(name: str, rows: Sequence[Row], faults: str | None = None) -> str:
    ended = [row for row in rows if "failed" not in row]
    sums = " | ".join(str(sum(row[it] for row in ended)) for it in _COUNTS)
    waits = sorted(row["recovery_seconds"] for row in ended)
    waited = f"{waits[len(waits) // 2]}, {waits[-1]}" if waits else ""
    said = ", ".join(f"{number} {what.replace('_', ' ')}" for what, number in _faults(ended).items())
    minutes = round(sum(row["seconds"] for row in rows) / 60, 1)
    shown = said if faults is None else faults
    return f"| {name} | {len(ended)} | {shown} | {sums} | {waited} | {len(rows) - len(ended)} | {minutes} |"


def _faults(rows: Iterable[Row]) -> Counter[str]:
    faults: Counter[str] = Counter()
    for row in rows:
        faults.update(row.get("faults", {}))
    return faults


def _sums(rows: Iterable[Row]) -> str:
    faults = _faults(rows)
    return ", ".join(f"{sum(faults[it] for it in parts)} {what}" for what, parts in _SUMS.items())


def _bound(rows: Iterable[Row]) -> str:
    found = list(rows)
    acknowledged, lost = sum(row["acknowledged"] for row in found), sum(row["lost"] for row in found)
    if lost or not acknowledged:
        return f"{lost} lost among {acknowledged} acknowledged."
    return f"No loss among {acknowledged}: fewer than {3 / acknowledged:.1e} of what is acknowledged, at 95 % (3/N)."
