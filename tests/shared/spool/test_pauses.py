"""Pauses: the newest word counts, and an end that has passed ends it."""

from datetime import timedelta
from pathlib import Path

import pytest

from shared.errors import PausedError
from shared.spool.pauses import LOOK_AGAIN, Pause, check_not_paused, newest_pause, pause_in_force, put_pause
from tests.shared.spool.examples import NOW, Clock, new_spool


def word(*, paused: bool = True, minutes: int = 0) -> Pause:
    until = NOW + timedelta(minutes=minutes) if minutes else None
    return Pause(destination="archive", paused=paused, at=NOW, until=until, by="ann@pacs", why="line is repaired")


def test_a_destination_nobody_paused_is_not_paused(tmp_path: Path) -> None:
    spool = new_spool(tmp_path)
    assert newest_pause(spool, "archive") is None
    check_not_paused(spool, "archive")


def test_the_newest_word_counts_and_only_for_its_destination(tmp_path: Path) -> None:
    spool = new_spool(tmp_path)
    put_pause(spool, word())
    assert pause_in_force(spool, "archive") == word()
    check_not_paused(spool, "reading")
    with pytest.raises(PausedError) as paused:
        check_not_paused(spool, "archive")
    assert paused.value.until == NOW + LOOK_AGAIN
    assert paused.value.reason == "paused by ann@pacs (line is repaired)"
    put_pause(spool, word(paused=False))
    check_not_paused(spool, "archive")
    assert newest_pause(spool, "archive") == word(paused=False)


def test_a_pause_ends_by_itself(tmp_path: Path) -> None:
    clock = Clock()
    spool = new_spool(tmp_path, clock)
    put_pause(spool, word(minutes=10))
    with pytest.raises(PausedError) as paused:
        check_not_paused(spool, "archive")
    assert paused.value.until == NOW + timedelta(minutes=10)
    clock.pass_by(minutes=10)
    check_not_paused(spool, "archive")


def test_old_words_are_forgotten(tmp_path: Path) -> None:
    spool = new_spool(tmp_path)
    for k in range(60):
        put_pause(spool, word(paused=k % 2 == 0))
    assert len(spool.store.list("pauses/archive")) == 50
    assert pause_in_force(spool, "archive") is None
