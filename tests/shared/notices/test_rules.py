"""What is said, and when, by table."""

from datetime import UTC, datetime, timedelta

import pytest

from shared.config import Occasion
from shared.notices.rules import Told, end_of, mark, notice_of
from shared.notices.troubles import Trouble

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
EVERY = timedelta(minutes=15)


def ago(minutes: float) -> datetime:
    return NOW - timedelta(minutes=minutes)


def trouble(*keys: str, occasion: Occasion = "dead_letter", since: float = 5) -> Trouble:
    return Trouble(occasion=occasion, about="archive", members=dict.fromkeys(keys, ago(since)), command="dcmrelay x")


def told(*keys: str, minutes: float) -> Told:
    return Told(members=frozenset(map(mark, keys)), at=ago(minutes))


@pytest.mark.parametrize(
    ("trouble", "told", "new"),
    [
        (trouble("a", "b"), Told(), 2),
        (trouble("a", since=0.1), Told(), None),  # those that follow at once are told of with it
        (trouble("a", occasion="destination_down", since=0), Told(), 1),
        (trouble("a"), told("a", minutes=600), None),
        (trouble("a", "b"), told("a", minutes=14), None),
        (trouble("a", "b"), told("a", minutes=16), 1),
        (trouble("a", "b"), told("a", minutes=-60), 1),  # the clock was set back
        (trouble("a.7"), told("a.5", minutes=16), 1),  # it stopped again after a replay
        (trouble(*map(str, range(600))), Told(), 600),
    ],
)
def test_only_what_is_new_is_told_and_not_too_often(trouble: Trouble, told: Told, new: int | None) -> None:
    notice = notice_of(trouble, told, NOW, EVERY)
    assert (notice and notice.new) == new
    if notice is not None:
        assert notice_of(trouble, notice.told, NOW + timedelta(days=9), EVERY) is None


def test_the_end_is_told_once_and_only_of_what_was_told_of() -> None:
    before = told("waits", minutes=3)
    notice = end_of("destination_down", "archive", before)
    assert notice is not None
    assert notice.over
    assert end_of("destination_down", "archive", notice.told) is None
    assert end_of("destination_down", "archive", Told()) is None
    assert end_of("dead_letter", "archive", before) is None


def test_what_comes_again_soon_after_its_end_is_not_told_before_its_time() -> None:
    ended = end_of("disk_low", "archive", told("low", minutes=3))
    assert ended is not None
    again = trouble("low", occasion="disk_low", since=0)
    assert notice_of(again, ended.told, NOW, EVERY) is None
    assert notice_of(again, ended.told, NOW + timedelta(minutes=13), EVERY) is not None
