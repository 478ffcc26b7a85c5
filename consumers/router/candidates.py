"""Which candidate of `one_of` is on duty, and who may take over. No I/O, no clock, no globals."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from shared.calendar import Hours, hours, next_opening
from shared.config import Config
from shared.config.rules import Calendar, Candidate


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """The candidates of a route, with the calendars of their hours.

    Args:
        them: in the order of the file.
        calendars: by name; all that the candidates name.
        zone: where the calendars' clocks hang.
    """

    them: Sequence[Candidate]
    calendars: Mapping[str, Calendar]
    zone: ZoneInfo

    def calendar(self, candidate: Candidate) -> Calendar | None:
        """The calendar of a candidate's hours; None: always there."""
        return None if candidate.during is None else self.calendars[candidate.during]

    def hours(self, candidate: Candidate, now: datetime) -> Hours:
        """Whether a candidate is there now, and why."""
        return hours(self.calendar(candidate), now, self.zone)

    def named(self, destination: str) -> Candidate | None:
        """The candidate that is this destination, or None when it is one no more."""
        return next((it for it in self.them if it.destination == destination), None)

    def may_take(self, candidate: Candidate, now: datetime) -> bool:
        """Whether a candidate may be given something now: in its hours, or outside them when it always stands in."""
        return candidate.as_backup == "always" or self.hours(candidate, now).is_open


@dataclass(frozen=True, kw_only=True)
class Duty:
    """Who gets a study now.

    Args:
        destination: whom; empty when nobody is there.
        why: the window or date that says so, or that it stands in.
    """

    destination: str
    why: str


NOBODY = Duty(destination="", why="nobody is on duty")


def candidates_of(config: Config, one_of: Sequence[Candidate], diverted_to: str = "") -> Candidates:
    """The candidates of a route of a configuration.

    Args:
        config: the configuration.
        one_of: of the route.
        diverted_to: the one that a person put first, whatever its hours; empty, or one it has not: the hours decide.
    """
    first = [it for it in one_of if it.destination == diverted_to]
    ever = (it.model_copy(update={"during": None, "as_backup": "always"}) for it in first)
    them = (*ever, *(it for it in one_of if it.destination != diverted_to))
    return Candidates(them=them, calendars=config.calendars, zone=ZoneInfo(config.relay.timezone))


def on_duty(candidates: Candidates, now: datetime, without: Collection[str] = ()) -> Duty:
    """The first candidate that is there now; else the first that always stands in; else nobody.

    Args:
        candidates: of the route.
        now: aware.
        without: destinations that are out of the question.
    """
    left = [it for it in candidates.them if it.destination not in without]
    for candidate in left:
        if (found := candidates.hours(candidate, now)).is_open:
            return Duty(destination=candidate.destination, why=found.why)
    for candidate in left:
        if candidate.as_backup == "always":
            return Duty(destination=candidate.destination, why="stands in outside its hours, nobody else is there")
    return NOBODY


@dataclass(frozen=True, kw_only=True)
class Turn:
    """Who gets a study, and from when.

    Args:
        destination: whom.
        due: nothing is sent before; None: now.
        why: for the record.
    """

    destination: str
    due: datetime | None
    why: str


def turn_of(candidates: Candidates, now: datetime) -> Turn | None:
    """Who gets a new study: who is on duty, or, when nobody may take it now, who comes next, and when.

    None when no calendar opens within 400 days.
    """
    duty = on_duty(candidates, now)
    if duty != NOBODY:
        return Turn(destination=duty.destination, due=None, why=duty.why)
    due = next_duty(candidates, now)
    return None if due is None else Turn(destination=on_duty(candidates, due).destination, due=due, why=NOBODY.why)


def opens(candidates: Candidates, destination: str, now: datetime) -> datetime | None:
    """When a candidate that may be given nothing now may be again; None when it may now."""
    candidate = candidates.named(destination)
    if candidate is None or candidates.may_take(candidate, now):
        return None
    return next_opening([candidates.calendar(candidate)], now, candidates.zone)


def stand_in(candidates: Candidates, now: datetime, without: Collection[str]) -> Duty:
    """Who takes over from a candidate that failed: of those that do, one that is there before one that always does.

    Args:
        candidates: of the route.
        now: aware.
        without: destinations that were tried.
    """
    return on_duty(_that_take_over(candidates), now, without)


def next_duty(candidates: Candidates, now: datetime, without: Collection[str] = ()) -> datetime | None:
    """When one of the candidates is there next; None within 400 days."""
    left = [candidates.calendar(it) for it in candidates.them if it.destination not in without]
    return next_opening(left, now, candidates.zone) if left else None


def next_stand_in(candidates: Candidates, now: datetime, without: Collection[str]) -> datetime | None:
    """When one that takes over is there next; None when none is left or comes within 400 days."""
    return next_duty(_that_take_over(candidates), now, without)


def _that_take_over(candidates: Candidates) -> Candidates:
    them = [it for it in candidates.them if it.as_backup != "never"]
    return Candidates(them=them, calendars=candidates.calendars, zone=candidates.zone)
