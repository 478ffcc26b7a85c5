"""Runs: whose open parts are whose, and until when."""

from collections.abc import Callable
from pathlib import Path

import pytest

from shared import owner
from shared.spool import runs
from shared.spool.runs import LEASE, Run, adopt, is_running, run_of
from shared.spool.spool import Spool
from tests.shared.spool.examples import UNSEEN_OWNER, Clock, dead_owner, new_spool, opened

Name = Callable[[str], None]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def spool(tmp_path: Path, clock: Clock) -> Spool:
    return new_spool(tmp_path, clock)


@pytest.fixture
def become(monkeypatch: pytest.MonkeyPatch) -> Name:
    """Lets this process go by another name."""
    return lambda name: monkeypatch.setattr(owner, "this_process", lambda: name)


def test_a_run_goes_on_while_its_process_lives_however_long_ago_it_said_so(spool: Spool, clock: Clock) -> None:
    run = Run(spool)
    clock.pass_by(days=9)
    assert is_running(spool, run.id)


def test_the_run_of_a_process_that_ended_is_over_at_once(spool: Spool, become: Name) -> None:
    become(dead_owner())
    assert not is_running(spool, Run(spool).id)


def test_the_run_of_a_process_that_cannot_be_seen_goes_on_until_its_lease_is_over(
    spool: Spool, clock: Clock, become: Name
) -> None:
    become(UNSEEN_OWNER)
    run = Run(spool)
    clock.now += LEASE * 0.99
    assert is_running(spool, run.id)
    clock.now += LEASE * 0.01
    assert not is_running(spool, run.id)


def test_a_beat_renews_the_lease_and_only_the_newest_is_kept(spool: Spool, clock: Clock, become: Name) -> None:
    become(UNSEEN_OWNER)
    run = Run(spool)
    for _ in range(10):
        clock.pass_by(seconds=31)
        run.beat()
        run.beat()
    assert spool.store.list(f"runs/{run.id}") == ["00000010.json"]
    clock.pass_by(seconds=100)
    assert is_running(spool, run.id)


def test_a_run_looked_at_while_it_beats_is_running(spool: Spool, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    run, read = Run(spool), spool.read_json

    def beaten(name: str) -> object:
        monkeypatch.setattr(spool, "read_json", read)
        clock.pass_by(seconds=31)
        run.beat()
        return read(name)

    monkeypatch.setattr(spool, "read_json", beaten)
    assert is_running(spool, run.id)


def test_a_run_that_ended_or_never_was_is_not_running(spool: Spool) -> None:
    run = Run(spool)
    run.end()
    assert not is_running(spool, run.id)
    assert not is_running(spool, "i0")


def test_an_open_part_is_its_runs_until_somebody_adopts_it(spool: Spool, become: Name) -> None:
    become(dead_owner())
    dead = Run(spool)
    part = opened(spool, run=dead.id)
    become(f"{dead_owner()}2")
    second = Run(spool)
    assert run_of(spool, part) == dead.id
    assert adopt(spool, part, second.id)
    assert run_of(spool, part) == second.id
    become(UNSEEN_OWNER)
    third = Run(spool)
    assert adopt(spool, part, third.id)
    assert run_of(spool, part) == third.id


def test_a_part_of_a_running_run_is_not_adopted(spool: Spool) -> None:
    part = opened(spool, run=Run(spool).id)
    assert not adopt(spool, part, "i1")
    assert run_of(spool, part) == part.run


def test_of_two_who_adopt_a_part_at_once_one_gets_it(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    part, mine, theirs = opened(spool), Run(spool), Run(spool)
    look, taken = runs.is_running, []

    def overtaken(spool: Spool, run: str) -> bool:
        running = look(spool, run)
        monkeypatch.setattr(runs, "is_running", look)
        taken.append(adopt(spool, part, theirs.id))
        return running

    monkeypatch.setattr(runs, "is_running", overtaken)
    assert not adopt(spool, part, mine.id)
    assert taken == [True]
    assert run_of(spool, part) == theirs.id
