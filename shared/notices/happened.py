"""What happened once and leaves no unfinished work behind by which a sweep would find it: hand-overs, addenda.

happened/<occasion>/<key>.json    where, when, which part; kept until all who want to know were told, a week at most

Written by who decides it, create-if-absent under a key that the decision determines, so that a repetition adds nothing.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

from shared.notices.troubles import Trouble
from shared.spool.spool import Spool

Happening = Literal["handed_over", "addendum"]
HAPPENINGS: tuple[Happening, ...] = ("handed_over", "addendum")
KEPT = timedelta(days=7)
_SAID_AT_MOST = 5


def note(spool: Spool, happening: Happening, key: str, *, route: str, part: str, what: str = "") -> None:
    """Note that it happened; harmless when it was noted before.

    Args:
        spool: the spool.
        happening: what.
        key: of ids only; the same for the same decision, such as part, route and epoch of the pin joined by `-`.
        route: its name.
        part: id of the part, or of one of the parts.
        what: more for people, in one line without patient data.
    """
    content = {"route": route, "part": part, "at": spool.now().isoformat(), "what": what}
    spool.put_json(f"happened/{happening}/{key}.json", content)


def of_happenings(spool: Spool) -> Iterator[Trouble]:
    """One for each occasion and route of what was noted."""
    for happening in HAPPENINGS:
        groups: dict[str, dict[str, Mapping[str, Any]]] = defaultdict(dict)
        for name in spool.store.list(f"happened/{happening}"):
            content = spool.read_json(f"happened/{happening}/{name}")
            if content is not None:
                groups[content["route"]][name] = content
        yield from (_trouble(happening, route, noted) for route, noted in groups.items())


def _trouble(happening: Happening, route: str, noted: Mapping[str, Mapping[str, Any]]) -> Trouble:
    parts = sorted({str(it["part"]) for it in noted.values()})
    said = sorted({str(it["what"]) for it in noted.values() if it.get("what")})
    return Trouble(
        occasion=happening,
        about=route,
        members={name: datetime.fromisoformat(it["at"]) for name, it in noted.items()},
        command=f"dcmrelay show {parts[0][:10]}",
        facts={"ids": parts[:_SAID_AT_MOST], **({"why": said[:_SAID_AT_MOST]} if said else {})},
    )


def forget(spool: Spool, happening: Happening, name: str) -> None:
    """Take away what was told."""
    spool.store.delete(f"happened/{happening}/{name}")
