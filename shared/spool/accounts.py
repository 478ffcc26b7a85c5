"""Accounts: what a record says, without instances' names and without patient data; what ledger and tombstone keep.

An account is a JSON object. It never holds more than the words listed here: a fact that another version of the relay
puts into its records is counted, not quoted.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from shared.spool.parts import Manifest, Part, decided_deliveries, read_manifest, read_part
from shared.spool.spool import Spool
from shared.spool.states import State

Account = dict[str, Any]
_ANSWERS = ("delivered", "refused", "held", "dropped", "elsewhere")
_NAMES = frozenset({"destination", "moved_to", "moved_from", "redirected_to"})
_PLAIN = (
    "stage", "status", "tries", "faults", "owner", "reason", "dead_letter_class", "config", "outcome", "by", "urgent",
)  # fmt: skip


def accounts_of_part(spool: Spool, part_id: str, since: int = 0) -> list[Account]:
    """Accounts of a part's records from number `since` on; the first one says what the part is.

    Raises:
        ValueError: a record, or what the first one needs, cannot be read.
        StorageError: the disk refused.
    """
    states = spool.parts.history(part_id, since)
    accounts = [_account(state) for state in states]
    if states and states[0].n == 0:
        part, manifest = read_part(spool, part_id), read_manifest(spool, part_id)
        if part is None or manifest is None:
            raise ValueError(f"what part {part_id} is cannot be read")
        accounts[0].update(_of_part(part, manifest))
    for account in accounts:
        if account["status"] == "final" or account.get("outcome"):
            decision = spool.read_json(f"parts/{part_id}/decision.json") or {}
            account.update({"routes": list(decision.get("routes", ())), "deliveries": _decided(spool, part_id)})
    return accounts


def accounts_of_delivery(spool: Spool, delivery: str, since: int = 0) -> list[Account]:
    """Accounts of a delivery's records from number `since` on; the first one says what is to be delivered.

    Raises:
        ValueError: a record cannot be read.
        StorageError: the disk refused.
    """
    states = spool.deliveries.history(delivery, since)
    accounts = [_account(state) for state in states]
    if states and states[0].n == 0:
        accounts[0].update(_of_order(spool.deliveries.order(delivery) or {}))
    return accounts


def accounts_of_all(spool: Spool, part_id: str) -> dict[str, list[Account]]:
    """Accounts of a part and of its deliveries, by their ids: what a tombstone keeps. Raises as the others do."""
    deliveries = {delivery: accounts_of_delivery(spool, delivery) for delivery in _decided(spool, part_id)}
    return {part_id: accounts_of_part(spool, part_id), **deliveries}


def utc(moment: datetime) -> str:
    """A moment as accounts write it: UTC, to the microsecond, always of one length, so that text sorts as time does."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _account(state: State) -> Account:
    said = {key: getattr(state, key) for key in _PLAIN if getattr(state, key)}
    return {"n": state.n, "at": utc(state.at), **said, **_of_facts(state.facts)}


def _of_facts(facts: Mapping[str, Any]) -> Account:
    """Answers by their words and how often; of other facts numbers, names from the configuration, and how many.

    An answer that a record takes back, by None, is counted apart.
    """
    told: Account = {}
    for key, value in facts.items():
        if key in _ANSWERS and isinstance(value, Mapping):
            given = [str(answer) for answer in value.values() if answer is not None]
            if given:
                told.setdefault("answers", {})[key] = dict(Counter(given))
            if len(given) < len(value):
                told.setdefault("taken_back", {})[key] = len(value) - len(given)
        elif isinstance(value, Mapping | list):
            told.setdefault("counts", {})[key] = len(value)
        elif isinstance(value, bool | int) or key in _NAMES:
            told.setdefault("facts", {})[key] = value
    return told


def _of_part(part: Part, manifest: Manifest) -> Account:
    return {
        "source": part.source,
        "calling": part.calling_ae_title,
        "called": part.called_ae_title,
        "study": part.study_instance_uid,
        "study_key": part.study_key,
        "opened": utc(part.opened_at),
        "late_of": part.late_of,
        "instances": len(manifest.instances),
        "duplicates": len(manifest.duplicates),
        "bytes": sum(instance.size for instance in manifest.instances),
    }


def _of_order(order: Mapping[str, Any]) -> Account:
    form = order.get("form", {})
    return {
        "part": order["part"],
        "destination": order["destination"],
        "route": order.get("route", ""),
        "form": form.get("kind", ""),
        "profile": form.get("profile", ""),
        "optional": bool(order.get("optional")),
        "urgent": bool(order.get("urgent")),
    }


def _decided(spool: Spool, part_id: str) -> list[str]:
    return list(decided_deliveries(spool, part_id) or ())
