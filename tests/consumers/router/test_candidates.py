"""Who is on duty, and who takes over, by table."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from consumers.router.candidates import Candidates, candidates_of, next_duty, next_stand_in, on_duty, stand_in, turn_of
from shared.config.rules import Candidate
from tests.shared.config.examples import small

LISBON = ZoneInfo("Europe/Lisbon")
CONFIG = small("""
[relay]
timezone = "Europe/Lisbon"
[calendar.office]
open = ["mon-fri 08:00-20:00"]
closed_on = ["2026-12-25"]
[calendar.night]
open = ["mon-sun 20:00-08:00"]
[calendar.never]
open = ["mon 00:00-00:01"]
""")
# Wednesday noon, Wednesday night, Saturday noon, Christmas (a Friday) noon.
NOON, NIGHT, SATURDAY, CHRISTMAS = "2026-06-24T12:00", "2026-06-24T23:00", "2026-06-27T12:00", "2026-12-25T12:00"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=LISBON)


def candidates(*told: str) -> Candidates:
    """Candidates of "day office always": destination, calendar ("-" for none), as_backup."""
    made = []
    for one in told:
        destination, during, as_backup = one.split()
        during_ = None if during == "-" else during
        made.append(Candidate(destination=destination, during=during_, as_backup=as_backup))
    return candidates_of(CONFIG, made)


@pytest.mark.parametrize(
    ("told", "when", "destination", "why"),
    [
        (("day office always", "night night always"), NOON, "day", "mon,tue,wed,thu,fri 08:00-20:00"),
        (("day office always", "night night always"), NIGHT, "night", "mon,tue,wed,thu,fri,sat,sun 20:00-08:00"),
        (
            ("day office always", "night night always"),
            SATURDAY,
            "day",
            "stands in outside its hours, nobody else is there",
        ),
        (
            ("day office open", "night night always"),
            SATURDAY,
            "night",
            "stands in outside its hours, nobody else is there",
        ),
        (("day office open", "night night never"), SATURDAY, "", "nobody is on duty"),
        (("day office never", "night night never"), NOON, "day", "mon,tue,wed,thu,fri 08:00-20:00"),
        (("night night always", "day office always"), NOON, "day", "mon,tue,wed,thu,fri 08:00-20:00"),
        (("day office open", "any - open"), NOON, "day", "mon,tue,wed,thu,fri 08:00-20:00"),
        (("day office open", "any - open"), CHRISTMAS, "any", "no calendar limits it"),
        (("any - open", "day office open"), NOON, "any", "no calendar limits it"),
    ],
)
def test_the_first_that_is_there_is_on_duty_else_the_first_that_always_stands_in(
    told: tuple[str, ...], when: str, destination: str, why: str
) -> None:
    duty = on_duty(candidates(*told), at(when))
    assert (duty.destination, duty.why) == (destination, why)


@pytest.mark.parametrize(
    ("told", "when", "tried", "destination"),
    [
        (("day office always", "night night always"), NOON, ("day",), "night"),
        (("day office always", "night night always"), NIGHT, ("night",), "day"),
        (("day office always", "night night open"), NOON, ("day",), ""),
        (("day office always", "night night open"), NIGHT, ("day",), "night"),
        (("day office always", "night night never"), NIGHT, ("day",), ""),
        (("day office always", "night night always"), NOON, ("day", "night"), ""),
        (("day office always", "night night always", "any - open"), NOON, ("day",), "any"),
        (("day office always", "night night always", "any - never"), NOON, ("day",), "night"),
        (("a - always", "b - always", "c - always"), NOON, ("b",), "a"),
        (("a - always", "b - always", "c - always"), NOON, ("a", "b"), "c"),
    ],
)
def test_who_takes_over_is_one_that_was_not_tried_and_is_there_or_always_does(
    told: tuple[str, ...], when: str, tried: tuple[str, ...], destination: str
) -> None:
    assert stand_in(candidates(*told), at(when), tried).destination == destination


def test_when_somebody_comes_next_is_known_to_the_minute() -> None:
    both = candidates("day office open", "night night never")
    assert next_duty(both, at(SATURDAY)) == at("2026-06-27T20:00")
    assert next_stand_in(both, at(SATURDAY), ()) == at("2026-06-29T08:00")
    assert next_stand_in(both, at(SATURDAY), ("day",)) is None
    assert next_duty(both, at(SATURDAY), ("day", "night")) is None


@pytest.mark.parametrize(
    ("told", "when", "destination", "due"),
    [
        (("day office open", "night night open"), NOON, "day", None),
        (("day office open", "night night always"), SATURDAY, "night", None),
        (("day office open", "night night open"), SATURDAY, "night", "2026-06-27T20:00"),
        (("day office never",), SATURDAY, "day", "2026-06-29T08:00"),
        (("day office open", "rare never open"), SATURDAY, "rare", "2026-06-29T00:00"),
    ],
)
def test_a_new_study_gets_whoever_is_on_duty_or_waits_for_whoever_comes_next(
    told: tuple[str, ...], when: str, destination: str, due: str | None
) -> None:
    turn = turn_of(candidates(*told), at(when))
    assert turn is not None
    assert (turn.destination, turn.due) == (destination, None if due is None else at(due))
