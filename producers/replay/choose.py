"""Which dead letters a person means. No I/O, no clock, no globals."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.errors import DeadLetterClass


@dataclass(frozen=True, kw_only=True)
class DeadLetter:
    """A part, delivery or request for storage commitment that waits for a person.

    Args:
        id: of the part or delivery.
        n: number of its `held` record.
        part: id of the part it all began with.
        stage: where it stopped: `route`, `render`, `send`, `verify`, `commit`.
        destination: of a delivery, else empty.
        source: who sent the study.
        since: when it was held.
        dead_letter_class: one of five.
        reason: one line, without patient data.
    """

    id: str
    n: int
    part: str
    stage: str
    destination: str
    source: str
    since: datetime
    dead_letter_class: DeadLetterClass
    reason: str


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What a person asked for; all that is given must fit.

    Args:
        ids: ids or beginnings of ids, of the dead letter or its part; empty: any.
        destination: empty: any.
        dead_letter_class: empty: any.
        source: empty: any.
        parts: ids of the parts of the study that was named; None: any.
        since: held at this time or later; None: ever.
        before: held at this time or earlier; None: ever.
        all: nothing else needs to be given.
    """

    ids: tuple[str, ...] = ()
    destination: str = ""
    dead_letter_class: str = ""
    source: str = ""
    parts: Collection[str] | None = None
    since: datetime | None = None
    before: datetime | None = None
    all: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing was asked for."""
        named = self.ids or self.destination or self.dead_letter_class or self.source
        return not (named or self.since or self.before or self.parts is not None or self.all)


def chosen(letters: Iterable[DeadLetter], wish: Wish) -> list[DeadLetter]:
    """The dead letters that a wish means, oldest first.

    A beginning that fits several letters of different studies is refused: nobody types that on purpose.

    Raises:
        ValueError: an id fits none, or several; says which.
    """
    fitting = sorted((letter for letter in letters if _fits(letter, wish)), key=lambda letter: letter.since)
    if not wish.ids:
        return fitting
    found = [letter for wanted in wish.ids for letter in _named(fitting, wanted)]
    return list(dict.fromkeys(found))


def _fits(letter: DeadLetter, wish: Wish) -> bool:
    return (
        wish.destination in ("", letter.destination)
        and wish.dead_letter_class in ("", letter.dead_letter_class)
        and wish.source in ("", letter.source)
        and (wish.parts is None or letter.part in wish.parts)
        and (wish.since is None or wish.since <= letter.since)
        and (wish.before is None or letter.since <= wish.before)
    )


def _named(letters: Sequence[DeadLetter], wanted: str) -> list[DeadLetter]:
    """The letter whose id begins so, or all letters of the part whose id does."""
    own = [letter for letter in letters if letter.id.startswith(wanted)]
    found = own or [letter for letter in letters if letter.part.startswith(wanted)]
    if not found:
        raise ValueError(f"no dead letter has an id that begins with {wanted!r}")
    parts = {letter.id for letter in own} or {letter.part for letter in found}
    if len(parts) > 1:
        raise ValueError(f"{len(parts)} dead letters have ids that begin with {wanted!r}; write more of it")
    return found
