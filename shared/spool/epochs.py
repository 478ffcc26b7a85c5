"""Who owns a destination: the process that wrote the highest epoch.

owners/<destination>/<epoch>.json
"""

from shared import owner
from shared.spool.spool import Spool

_KEPT = 3


def newest_epoch(spool: Spool, destination: str) -> int:
    """The epoch in force; 0 when nobody has owned the destination yet."""
    names = spool.store.list(f"owners/{destination}")
    return int(names[-1].removesuffix(".json")) if names else 0


def take_over(spool: Spool, destination: str) -> int:
    """Become the owner: write the next epoch. Returns it; whoever held a lower one stops before its next C-STORE."""
    while True:
        epoch = newest_epoch(spool, destination) + 1
        facts = {"owner": owner.this_process(), "at": spool.now().isoformat()}
        if spool.put_json(f"owners/{destination}/{epoch:08}.json", facts):
            for name in spool.store.list(f"owners/{destination}")[:-_KEPT]:
                spool.store.delete(f"owners/{destination}/{name}")
            return epoch
