"""What became of a delivery once every instance has its answer, or its time is used up.

No I/O, no clock, no globals.
"""

from collections.abc import Collection, Mapping
from typing import Any

from shared.errors import DeadLetterClass
from shared.outcomes import Done, Held

Reasons = Mapping[str, str]


def verdict(facts: Mapping[str, Any], count: int, invalid: Collection[str] = ()) -> Done | Held:
    """Final when all went or were dropped by rule; otherwise a dead letter for the few, while the others are there.

    Args:
        facts: `delivered`, `refused`, `held`, `dropped`: by index, a status or a reason.
        count: instances of the part.
        invalid: instances that when held are so for their own bytes.
    """
    delivered, refused = facts.get("delivered", {}), facts.get("refused", {})
    held, dropped = facts.get("held", {}), facts.get("dropped", {})
    if refused:
        return Held(_sentence(len(delivered), "refused", refused, count), "refused")
    if held:
        word: DeadLetterClass = "invalid" if held.keys() <= set(invalid) else "policy"
        return Held(_sentence(len(delivered), "held", held, count), word)
    outcome = "delivered" if delivered or not dropped else "dropped"
    return Done(outcome=outcome, facts={"count": len(delivered)})


def given_up(why: str, facts: Mapping[str, Any], left: Collection[str], count: int) -> Held:
    """The dead letter of a delivery whose time is used up while some instances are left.

    When others went and the destination has failed at each one that is left, it is these that it does not take, and
    not the destination that is away.

    Args:
        why: of the last try.
        facts: as for `verdict`, and `failed`: by index, the tries at which the destination failed at an instance.
        left: indices of the instances that are left.
        count: instances of the part.
    """
    delivered = len(facts.get("delivered", {}))
    takes_others = delivered > 0 and set(left) <= facts.get("failed", {}).keys()
    reason = f"{why}; {len(left)} of {count} instances not delivered, {delivered} delivered"
    return Held(reason, "refused" if takes_others else "unreachable")


def _sentence(delivered: int, word: str, reasons: Reasons, count: int) -> str:
    """Such as `2 of 612 instances refused (0122 SOP class not supported); 610 delivered`."""
    several = sorted(set(reasons.values()))
    more = f" and {len(several) - 1} other reasons" if len(several) > 1 else ""
    return f"{len(reasons)} of {count} instances {word} ({several[0]}{more}); {delivered} delivered"
