"""What the spool says and the ledger may not have: parts, deliveries, tombstones, configurations, refused callers."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any

from consumers.ledger.book import News
from consumers.ledger.patients import digest_of, patient_of
from shared.spool.accounts import accounts_of_delivery, accounts_of_part, utc
from shared.spool.knocks import knocks
from shared.spool.parts import decided_deliveries
from shared.spool.spool import Spool

Known = Mapping[str, int]


def news_of_part(spool: Spool, part_id: str, known: Known) -> Iterator[News]:
    """A part and the deliveries that were decided for it.

    Args:
        spool: the spool.
        part_id: the part; it may be open still, or gone.
        known: by unit, the newest record that the ledger has.

    Raises:
        ValueError: a record cannot be read.
        StorageError: the disk refused.
    """
    since = known.get(part_id, -1) + 1
    accounts = accounts_of_part(spool, part_id, since)
    if accounts and since == 0:
        patient = patient_of(spool, part_id)
        accounts[0]["patient"] = "" if patient is None else digest_of(patient)
        yield News(unit=part_id, accounts=accounts, patient=patient)
    else:
        yield News(unit=part_id, accounts=accounts)
    for delivery in decided_deliveries(spool, part_id) or ():
        yield news_of_delivery(spool, delivery, known)


def news_of_delivery(spool: Spool, delivery: str, known: Known) -> News:
    """A delivery. Arguments and errors as for `news_of_part`."""
    return News(unit=delivery, accounts=accounts_of_delivery(spool, delivery, known.get(delivery, -1) + 1))


def news_of_tombstone(epitaph: Mapping[str, Any], oldest: datetime) -> list[News]:
    """A part that is gone with its deliveries, unless it was received before `oldest`, when nothing is kept of it."""
    opened = epitaph.get("opened_at")
    if not opened or datetime.fromisoformat(opened) < oldest:
        return []
    return [News(unit=unit, accounts=accounts) for unit, accounts in epitaph.get("units", {}).items()]


def news_of_configurations(spool: Spool) -> Iterator[News]:
    """Every configuration that was ever in force, by its hash, when it was first seen."""
    for name in spool.store.list("config"):
        config_hash = name.removesuffix(".json")
        if not name.startswith("profile-"):
            seen = datetime.fromtimestamp(spool.store.path(f"config/{name}").stat().st_mtime, UTC)
            account = {"n": 0, "at": utc(seen), "config": config_hash}
            yield News(unit=f"c{config_hash}", accounts=[account], kind="configuration")


def news_of_refused(spool: Spool, zone: tzinfo) -> Iterator[News]:
    """Callers that were refused at the ingress: one entry for each on each day that it came."""
    for knock in knocks(spool):
        said = {
            "calling": knock.calling_ae_title,
            "called": knock.called_ae_title,
            "host": knock.host,
            "why": knock.why,
            "times": knock.times,
        }
        account = {"n": knock.last.astimezone(zone).toordinal(), "at": utc(knock.last), **said}
        unit = knock.name.removeprefix("knocked/").removesuffix(".json")
        yield News(unit=unit, accounts=[account], kind="caller refused")
