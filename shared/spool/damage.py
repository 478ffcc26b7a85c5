"""Stored instances that were found damaged on disk: noted for people until their part goes.

damaged/<part>/<file>.json     which instance, when it was found
"""

from dataclasses import dataclass

from shared.spool.spool import Spool

DAMAGED = "the bytes on disk are not those that were stored"


@dataclass(frozen=True, kw_only=True)
class Damage:
    """One damaged file.

    Args:
        part: id of the part it belongs to.
        file: its name in the spool.
        index: of the instance in the part's manifest.
        found_at: ISO 8601.
    """

    part: str
    file: str
    index: int
    found_at: str


def note_damage(spool: Spool, part: str, file: str, index: int) -> bool:
    """Note a damaged file; False when that was known."""
    facts = {"part": part, "file": file, "index": index, "found_at": spool.now().isoformat()}
    return spool.put_json(f"damaged/{part}/{file.replace('/', '-')}.json", facts)


def damages(spool: Spool) -> list[Damage]:
    """Every damaged file that was found, by part."""
    names = (f"damaged/{part}/{name}" for part in spool.store.list("damaged") for name in _files(spool, part))
    found = (spool.read_json(name) for name in names)
    return [Damage(**facts) for facts in found if facts is not None]


def count_of_damages(spool: Spool) -> int:
    """How many there are; nothing is read."""
    return sum(len(_files(spool, part)) for part in spool.store.list("damaged"))


def _files(spool: Spool, part: str) -> list[str]:
    return spool.store.list(f"damaged/{part}")
