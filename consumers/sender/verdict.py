"""What became of a delivery once every instance has its answer. No I/O, no clock, no globals."""

from collections.abc import Mapping
from typing import Any

from shared.outcomes import Done, Held

Reasons = Mapping[str, str]


def verdict(facts: Mapping[str, Any], count: int) -> Done | Held:
    """Final when all went or were dropped by rule; otherwise a dead letter for the few, while the others are there.

    Args:
        facts: `delivered`, `refused`, `held`, `dropped`: by index, a status or a reason.
        count: instances of the part.
    """
    delivered, refused = facts.get("delivered", {}), facts.get("refused", {})
    held, dropped = facts.get("held", {}), facts.get("dropped", {})
    if refused:
        return Held(_sentence(len(delivered), "refused", refused, count), "refused")
    if held:
        return Held(_sentence(len(delivered), "held", held, count), "policy")
    outcome = "delivered" if delivered or not dropped else "dropped"
    return Done(outcome=outcome, facts={"count": len(delivered)})


def _sentence(delivered: int, word: str, reasons: Reasons, count: int) -> str:
    """Such as `2 of 612 instances refused (0122 SOP class not supported); 610 delivered`."""
    several = sorted(set(reasons.values()))
    more = f" and {len(several) - 1} other reasons" if len(several) > 1 else ""
    return f"{len(reasons)} of {count} instances {word} ({several[0]}{more}); {delivered} delivered"
