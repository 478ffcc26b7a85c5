"""Two processes race on one spool, are killed, stopped and cut off at random: nothing lost, nothing differs.

Only one thread runs at a time and chance decides at each durable step which, so that a seed repeats its run.
"""

import os
import random
import threading
from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.simulation.processes import Killed, Process
from tests.simulation.world import World

NewWorld = Callable[..., World]
RUNS = int(os.environ.get("DCMRELAY_SIMULATION_RUNS", "100"))
TURNS_AT_MOST = 6000
_SWITCH, _KILL, _STOP, _MOVE = 0.2, 0.01, 0.001, 0.02
# Longer than a lease: others take the work of a stopped process, which then goes on as a zombie.
_STOPPED_FOR = timedelta(minutes=6)


class Race:
    """Two processes on one world.

    Args:
        world: theirs.
        kills: how many there are at most.
    """

    def __init__(self, world: World, kills: int = 4) -> None:
        self.world, self.rng, self.kills = world, world.rng, kills
        self.killed = self.stopped = self.lives = self.turns = 0
        self.failed: BaseException | None = None
        self._processes: dict[int, Process | None] = {0: None, 1: None}
        self._stopped_until: dict[int, timedelta] = {}
        self._running, self._turn = {0, 1}, 0
        self._changed = threading.Condition()

    def run(self) -> None:
        """Lets them work until everything is quiet."""
        threads = [threading.Thread(target=self._live, args=(me,)) for me in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        if self.failed is not None:
            raise self.failed

    def _live(self, me: int) -> None:
        try:
            self._wait(me)
            while not self.world.is_quiet() and self.failed is None:
                self._turn_of(me)
        except BaseException as error:  # noqa: BLE001  (brought to the test's thread)
            self.failed = error
        finally:
            self._running.discard(me)
            self._pass_on()

    def _turn_of(self, me: int) -> None:
        self.turns += 1
        if self.turns > TURNS_AT_MOST:
            raise AssertionError(f"not quiet after {TURNS_AT_MOST} turns: {self.world.unfinished()}")
        try:
            process = self._processes[me] or self._born(me)
            self.world.current = process
            if self.rng.random() < _MOVE:
                self._move()
            if not process.turn():
                self.world.elapsed += timedelta(seconds=5 if self.world.unseen else 2)
        except Killed:
            self._processes[me] = None
        self._pass_on(me)

    def _born(self, me: int) -> Process:
        self.lives += 1
        process = Process(self.world, self.lives, lambda _: self._before_step(me), self._free())
        self._processes[me] = process
        return process

    def _free(self) -> set[str]:
        """Destinations that nobody owns."""
        owned = {name for process in self._processes.values() if process for name in process.owns}
        return {destination.name for destination in self.world.config.destinations} - owned

    def _move(self) -> None:
        """The broker makes another process the active consumer of a destination."""
        both = [process for process in self._processes.values() if process]
        destination = self.rng.choice(self.world.config.destinations).name
        new_owner = self.rng.choice(both)
        if destination not in new_owner.owns:
            for process in both:
                process.give_up(destination)
            new_owner.own(destination)

    def _before_step(self, me: int) -> None:
        mine = self.world.current
        if self.killed < self.kills and self.rng.random() < _KILL:
            self.killed += 1
            raise Killed
        if not self._stopped_until and self.rng.random() < _STOP:
            self.stopped += 1
            self._stopped_until[me] = self.world.elapsed + _STOPPED_FOR
        if me in self._stopped_until or self.rng.random() < _SWITCH:
            self._pass_on(me)
            self.world.current = mine

    def _pass_on(self, me: int | None = None) -> None:
        """Let chance decide who goes on, and wait for one's own turn."""
        with self._changed:
            self._stopped_until = {it: t for it, t in self._stopped_until.items() if t > self.world.elapsed}
            able = sorted(self._running - set(self._stopped_until)) or sorted(self._running)
            if able:
                self._turn = self.rng.choice(able)
            self._changed.notify_all()
        if me is not None:
            self._wait(me)

    def _wait(self, me: int) -> None:
        with self._changed:
            while self._turn != me:
                if not self._changed.wait(30):
                    raise AssertionError("the other process never went on")


@pytest.mark.timeout(120 + RUNS)
def test_nothing_is_lost_when_two_processes_race_and_are_killed(new_world: NewWorld) -> None:
    killed = stopped = duplicates = most = 0
    for seed in range(RUNS):
        world = new_world(seed, unseen=seed % 8 == 0)
        race = Race(world)
        try:
            race.run()
            world.verify()
        except AssertionError as error:
            raise AssertionError(f"run {seed}") from error
        killed, stopped = killed + race.killed, stopped + race.stopped
        duplicates, most = duplicates + world.duplicates(), max(most, world.most_messages)
    print(f"{RUNS} runs, {killed} kills, {stopped} stops, lost 0, duplicates {duplicates}, live bells {most} at most")
    assert killed > 2 * RUNS
    assert most <= 60


@pytest.mark.parametrize("seed", [3])
def test_a_seed_repeats_its_run(new_world: NewWorld, seed: int) -> None:
    seen = []
    for _ in range(2):
        world = new_world(seed)
        race = Race(world)
        race.run()
        seen.append((race.killed, race.turns, world.elapsed, [(name, uid) for name, uid, _ in world.arrived]))
    assert seen[0] == seen[1]
    assert isinstance(world.rng, random.Random)
