"""What a destination answered to the question whether instances of a delivery are committed there.

deliveries/<id>/committed-<k>.json    the answer to the k-th question

The Transaction UID of a question names delivery and number, so that an answer finds its place without an index.
Source: ADR 0019; PS3.4 J.3.3.
"""

import re
from typing import Any

from shared.dimse import CommitmentReport
from shared.spool.spool import Spool

_TRANSACTION = re.compile(r"2\.25\.(\d{1,39})\.(\d{1,6})")


def transaction_uid(delivery: str, k: int) -> str:
    """The Transaction UID of the k-th question about a delivery, from 1."""
    return f"2.25.{int(delivery[1:], 16)}.{k}"


def put_report(spool: Spool, destination: str, report: CommitmentReport) -> bool:
    """Keep an answer unless there is one; False when this destination was not asked so.

    Raises:
        StorageError: the disk refused.
    """
    match = _TRANSACTION.fullmatch(report.transaction_uid)
    number = int(match[1]) if match else 1 << 128
    if match is None or number >= 1 << 128:
        return False
    delivery, k = f"d{number:032x}", int(match[2])
    unit = spool.deliveries.load(delivery)
    if unit is None or unit.order["destination"] != destination or str(k) not in unit.facts.get("asked", {}):
        return False
    facts = {
        "committed": [it.sop_instance_uid for it in report.committed],
        "failed": {it.sop_instance_uid: reason for it, reason in report.failed.items()},
    }
    spool.put_json(_name(delivery, k), facts)
    return True


def read_report(spool: Spool, delivery: str, k: int) -> dict[str, Any] | None:
    """An answer: SOP Instance UIDs that are `committed`, and `failed` ones with their reasons; None: there is none."""
    return spool.read_json(_name(delivery, k))


def _name(delivery: str, k: int) -> str:
    return f"deliveries/{delivery}/committed-{k:06}.json"
