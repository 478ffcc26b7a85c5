"""What happened once and leaves no unfinished work behind by which a sweep would find it: hand-overs, addenda.

happened/<occasion>/<key>.json    where, when, which part; kept until all who want to know were told, a week at most

Written by who decides it, create-if-absent under a key that the decision determines, so that a repetition adds nothing.
"""

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Literal

from shared.notices.troubles import Trouble
from shared.spool.spool import Spool

Happening = Literal["handed_over", "addendum"]
HAPPENINGS: tuple[Happening, ...] = ("handed_over", "addendum")
KEPT = timedelta(days=7)


def note(spool: Spool, happening: Happening, key: str, *, route: str, part: str) -> None:
    """Note that it happened; harmless when it was noted before.

    Args:
        spool: the spool.
        happening: what.
        key: of ids only; the same for the same decision, such as part, route and epoch of the pin joined by `-`.
        route: its name.
        part: id of the part, or of one of the parts.
    """
    content = {"route": route, "part": part, "at": spool.now().isoformat()}
    spool.put_json(f"happened/{happening}/{key}.json", content)


def of_happenings(spool: Spool) -> Iterator[Trouble]:
    """One for each occasion and route of what was noted."""
    for happening in HAPPENINGS:
        groups: dict[str, dict[str, tuple[datetime, str]]] = defaultdict(dict)
        for name in spool.store.list(f"happened/{happening}"):
            content = spool.read_json(f"happened/{happening}/{name}")
            if content is not None:
                groups[content["route"]][name] = datetime.fromisoformat(content["at"]), content["part"]
        for route, noted in groups.items():
            parts = sorted({part for _, part in noted.values()})
            yield Trouble(
                occasion=happening,
                about=route,
                members={name: at for name, (at, _) in noted.items()},
                command=f"dcmrelay show {parts[0][:10]}",
                facts={"ids": parts[:5]},
            )


def forget(spool: Spool, happening: Happening, name: str) -> None:
    """Take away what was told."""
    spool.store.delete(f"happened/{happening}/{name}")
