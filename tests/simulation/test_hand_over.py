"""Killed at random while a study is handed over: it is whole at one service, never at two, and nothing is lost."""

import os
import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from shared.config import Config, parse
from shared.errors import PeerAbortedError, PeerUnreachableError
from shared.spool.volume import prepare
from tests.shared.spool.examples import data_set
from tests.simulation.processes import Killed, Process
from tests.simulation.world import SCRIPT, TEXT, Peer, World

RUNS = 1000 if os.environ.get("DCMRELAY_EXHAUSTIVE") else 12
TURNS_AT_MOST = 4000
DAY, NIGHT = "archive", "research"
STUDIES = {it.study: {other.uid for other in SCRIPT if other.study == it.study} for it in SCRIPT}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """One route, whose first service is `archive` and the second `research`."""
    ways = """
[[route]]
name = "outside"
match = { source = "ct-1" }
one_of = [{ destination = "archive", as_backup = "always" }, { destination = "research", as_backup = "always" }]
hand_over_after = "15s"
"""
    found = parse(TEXT.partition("[[route]]")[0] + ways, tmp_path_factory.mktemp("relay"))
    prepare(found)
    return found


class Failing(Peer):
    """An association with the first service, which ends before an instance arrives, or before its answer."""

    def __init__(self, world: World, left: int, *, arrives: bool) -> None:
        super().__init__(world, DAY)
        self._left, self._arrives = left, arrives

    def store(self, *arguments: Any, **more: Any) -> int:
        if self._left == 0 and not self._arrives:
            raise PeerAbortedError("the association ended in the middle of an instance")
        status = super().store(*arguments, **more)
        self._left -= 1
        if self._left < 0:
            raise PeerAbortedError("the association ended before the answer")
        return status


def failing(world: World, until: timedelta) -> Callable[..., Peer]:
    """How the services answer: the second always well, the first not until that moment."""

    def request(host: str, port: int, **_: object) -> Peer:
        name = world.config.destinations[port - 1].name
        if name != DAY or world.elapsed >= until:
            return Peer(world, DAY) if name == DAY else Night(world, NIGHT)
        if world.rng.random() < 0.6:
            raise PeerUnreachableError(f"cannot connect to {host}:{port}: Connection refused")
        return Failing(world, world.rng.randrange(2), arrives=world.rng.random() < 0.3)

    return request


class Night(Peer):
    """The second service takes everything."""

    def store(self, *arguments: Any, **more: Any) -> int:
        self._world.aborts = 0
        return super().store(*arguments, **more)


def run(world: World, kills: int) -> None:
    """Lets one process after the other work until everything is quiet; each of the first few is killed at some step."""
    steps_left, process, lives = world.rng.randrange(1, 120), None, 0

    def before_step(_: str) -> None:
        nonlocal steps_left
        steps_left -= 1
        if steps_left == 0 and lives <= kills:
            raise Killed

    for _ in range(TURNS_AT_MOST):
        if world.is_quiet():
            return
        try:
            if process is None:
                lives += 1
                process = Process(world, lives, before_step)
            if not process.turn():
                world.elapsed += timedelta(seconds=1)
        except Killed:
            process, steps_left = None, world.rng.randrange(1, 120)
    raise AssertionError(f"not quiet after {TURNS_AT_MOST} turns: {world.unfinished()}")


@pytest.mark.timeout(1800)
def test_no_study_is_whole_at_two_services_and_nothing_is_lost(
    new_world: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = in_part = 0
    for seed in range(RUNS):
        world = new_world(seed)
        until = timedelta(seconds=random.Random(seed).randrange(5, 120))
        monkeypatch.setattr("consumers.sender.handler.request", failing(world, until))
        run(world, kills=3)
        at = {name: set(world.outputs(name)) for name in (DAY, NIGHT)}
        for study, uids in STUDIES.items():
            whole = [name for name in at if uids <= at[name]]
            assert len(whole) == 1, f"seed {seed}, study {study}: whole at {whole or 'none'}"
            moved += whole == [NIGHT]
            in_part += whole == [NIGHT] and bool(uids & at[DAY])
        for name in at:
            for uid, contents in world.outputs(name).items():
                (study,) = (it.study for it in SCRIPT if it.uid == uid)
                assert contents == {data_set(uid, study)}
        assert not world.trespasses, f"seed {seed}"
    print(f"{RUNS} runs: {moved} studies handed over, {in_part} of them with a copy in part")
    assert moved
