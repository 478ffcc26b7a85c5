"""What is known of instances that a source asks commitment for. No I/O, no clock, no globals.

Source: PS3.3 C.14 (failure reasons), ADR 0019.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from shared.dimse import CLASS_INSTANCE_CONFLICT, NO_SUCH_INSTANCE, PROCESSING_FAILURE


@dataclass(frozen=True)
class Standing:
    """How an instance stands.

    Args:
        sop_class_uid: of what was received under its UID; empty when nothing was.
        is_there: whether the destination has it.
    """

    sop_class_uid: str = ""
    is_there: bool = False


UNKNOWN = Standing()


def brought(facts: Mapping[str, Any], *, is_verified: bool) -> frozenset[str]:
    """Indices of the instances that a delivery brought for certain.

    Args:
        facts: of its records.
        is_verified: whether the destination is asked whether it has what it answered with success for.
    """
    return frozenset(facts.get("verified" if is_verified or "verified" in facts else "delivered", {}))


def failures(references: Iterable[tuple[str, str]], standings: Mapping[str, Standing]) -> dict[str, int]:
    """Failure reasons by SOP Instance UID, of those that are not committed.

    Args:
        references: SOP Class UID and SOP Instance UID of each.
        standings: by SOP Instance UID; those that were never received may be left out.
    """
    found: dict[str, int] = {}
    for sop_class_uid, sop_instance_uid in references:
        standing = standings.get(sop_instance_uid, UNKNOWN)
        if not standing.sop_class_uid:
            found[sop_instance_uid] = NO_SUCH_INSTANCE
        elif standing.sop_class_uid != sop_class_uid:
            found[sop_instance_uid] = CLASS_INSTANCE_CONFLICT
        elif not standing.is_there:
            found[sop_instance_uid] = PROCESSING_FAILURE
    return found


def may_change(failed: Mapping[str, int]) -> bool:
    """Whether waiting may mend one of the failures: what comes, or is delivered, later counts too."""
    return any(reason != CLASS_INSTANCE_CONFLICT for reason in failed.values())
