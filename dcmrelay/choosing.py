"""From what a person typed to the dead letters that are meant."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from dcmrelay.output import check_known, clock, one_line
from producers.replay.choose import DeadLetter, Wish, chosen
from producers.replay.show import dead_letters, is_of_study
from shared.config import Config
from shared.config.values import parse_duration
from shared.errors import StartError
from shared.spool.spool import Spool

_SHOWN = "`dcmrelay dead list` shows them"


def wish_of(
    spool: Spool,
    *,
    ids: Iterable[str] = (),
    destination: str = "",
    dead_letter_class: str = "",
    source: str = "",
    study: str = "",
    older_than: str = "",
    since: datetime | None = None,
    all_: bool = False,
) -> Wish:
    """What a person asked for.

    Raises:
        StartError: an age cannot be read, or no dead letter is of the study.
    """
    return Wish(
        ids=tuple(ids),
        destination=destination,
        dead_letter_class=dead_letter_class,
        source=source,
        parts=_parts_of(spool, study) if study else None,
        since=since and since.astimezone(),
        before=spool.now() - duration("--older-than", older_than) if older_than else None,
        all=all_,
    )


def found(spool: Spool, wish: Wish) -> list[DeadLetter]:
    """The dead letters of a wish, oldest first.

    Raises:
        StartError: an id fits none, or several.
    """
    try:
        return chosen(dead_letters(spool, wish.ids), wish)
    except ValueError as error:
        raise StartError(f"{one_line(error)}; {_SHOWN}") from None


def meant(spool: Spool, config: Config, wish: Wish) -> list[DeadLetter]:
    """The dead letters to act on, at least one.

    Raises:
        StartError: nothing was asked for, or nothing fits.
    """
    if wish.is_empty:
        raise StartError(f"say which: ids, --destination, --class, --source, --study, an age or --all; {_SHOWN}")
    letters = found(spool, wish)
    if not letters:
        check_names(config, wish)
        raise StartError("no dead letter fits; `dcmrelay dead list` shows all there are")
    return letters


def check_names(config: Config, wish: Wish) -> None:
    """Nothing fits: a name that is not configured may be mistyped.

    Raises:
        StartError: it is.
    """
    check_known("destination", wish.destination, (it.name for it in config.destinations))
    check_known("source", wish.source, (it.name for it in config.sources))


def duration(option: str, text: str) -> timedelta:
    """The duration that an option holds.

    Raises:
        StartError: it holds none.
    """
    try:
        return parse_duration(text)
    except ValueError as error:
        raise StartError(f"{option}: {error}") from None


def end_of(now: datetime, until: datetime | None, for_: str) -> datetime | None:
    """When what a person orders for a while ends; None when they do not say.

    Raises:
        StartError: they say it twice, or it is over.
    """
    if until and for_:
        raise StartError("give --until or --for, not both")
    end = now + duration("--for", for_) if for_ else until and until.astimezone()
    if end is not None and end <= now:
        raise StartError(f"--until: {clock(end)} is over; give a time to come")
    return end


def _parts_of(spool: Spool, study: str) -> frozenset[str]:
    parts = {letter.part for letter in dead_letters(spool)}
    return frozenset(part for part in parts if is_of_study(spool, part, study))
