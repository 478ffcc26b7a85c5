"""What the accounts of a unit make of its row, one after another. No I/O, no clock, no globals.

The rows are for questions; they can be made again from the entries at any time, and `ledger verify` does.
"""

from collections.abc import Mapping
from typing import Any

from shared.spool.accounts import Account

Row = dict[str, Any]
_ANSWERS = ("delivered", "refused", "held", "dropped", "elsewhere")
_TOLD = frozenset({"answers", "taken_back", "counts", "facts"})
_MOVED = ("moved", "handed_over", "redirected", "replaced", "corrected")


def kind_of(account: Account) -> str:
    """What happened, in a word or two, by what a record says."""
    status, by, outcome = account["status"], account.get("by"), account.get("outcome", "")
    if account["n"] == 0 and status == "waiting":
        return "ordered" if "destination" in account else "received"
    if status == "final":
        return str(outcome)
    if by:
        return _deed(account)
    if status == "held":
        return "dead letter"
    if status == "working":
        return "answers" if _TOLD & account.keys() else "attempt"
    if account.get("tries"):
        return "failed"
    return "watched" if outcome else "waits"


def _deed(account: Account) -> str:
    """What a person did with a unit that goes on."""
    if account.get("counts", {}).get("ordered"):
        return "ordered again"
    if account.get("facts", {}).get("replayed"):
        return "corrected" if account["facts"].get("corrected") else "replayed"
    return "made urgent" if account.get("urgent") and not account.get("facts", {}).get("resumed") else "resumed"


def part_row(before: Row | None, unit: str, account: Account) -> Row:
    """A part's row after one more account."""
    row = {**before} if before else _new_part(unit, account)
    row.update(_standing(account))
    if "routes" in account:
        row["routes"] = ", ".join(account["routes"])
    row["config"] = account.get("config", "") or row["config"]
    return row


def delivery_row(before: Row | None, unit: str, account: Account) -> Row:
    """A delivery's row after one more account."""
    row = {**before} if before else _new_delivery(unit, account)
    row.update(_standing(account), stage=account.get("stage", ""), tries=account.get("tries", 0))
    row["attempts"] += kind_of(account) == "attempt"
    if account.get("facts", {}).get("replayed"):
        row.update(refused=0, held=0)
    for word, reasons in account.get("answers", {}).items():
        row[word] += sum(reasons.values())
    for word, count in account.get("taken_back", {}).items():
        row[word] -= count
    return row


def _standing(account: Account) -> Row:
    words = ("status", "outcome", "dead_letter_class", "reason")
    return {"n": account["n"], "at": account["at"], **{word: account.get(word) or "" for word in words}}


def _new_part(unit: str, account: Account) -> Row:
    said = ("source", "calling", "called", "study", "study_key", "opened", "late_of")
    numbers = ("instances", "duplicates", "bytes")
    texts = {key: account.get(key, "") for key in said}
    counts = {key: account.get(key, 0) for key in numbers}
    return {"id": unit, "closed": account["at"], "routes": "", "config": "", **texts, **counts}


def _new_delivery(unit: str, account: Account) -> Row:
    said = {key: account.get(key, "") for key in ("part", "destination", "route", "form", "profile")}
    flags = {key: bool(account.get(key)) for key in ("optional", "urgent")}
    return {"id": unit, "ordered": account["at"], "attempts": 0, **said, **flags, **dict.fromkeys(_ANSWERS, 0)}


def went(delivery: Mapping[str, Any], instances: int) -> str:
    """How much of a part a destination has: `complete`, `partial`, `moved`, `waiting`, `dead letter`, or nothing of it.

    What the profile drops by rule is not missing, nor what another delivery brought. A delivery that moved to another
    destination says so first.
    """
    if delivery["outcome"] in _MOVED:
        return "moved"
    there = sum(delivery[word] for word in ("delivered", "elsewhere", "dropped"))
    if delivery["delivered"] and there >= instances:
        return "complete"
    if delivery["delivered"]:
        return "partial"
    if delivery["status"] == "held":
        return "dead letter"
    return str(delivery["outcome"]) if delivery["status"] == "final" else "waiting"
