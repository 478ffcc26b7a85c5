"""Killed at every durable step of the state model, one process after the other: nothing lost, nothing differs."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.simulation.processes import Killed, Process
from tests.simulation.world import World

NewWorld = Callable[..., World]
TURNS_AT_MOST = 3000
ACCOUNT_EVERY = 8
SHARES = 3  # odd, so that each has kills with and without the broker erased


def run(world: World, kill_at: int = 0, *, erase_broker: bool = False) -> list[str]:
    """Lets one process after the other work until everything is quiet; returns every step that was made."""
    steps: list[str] = []

    def before_step(what: str) -> None:
        steps.append(what)
        if len(steps) == kill_at:
            raise Killed

    process, lives = None, 0
    for _ in range(TURNS_AT_MOST):
        if world.is_quiet():
            return steps
        try:
            if process is None:
                lives += 1
                process = Process(world, lives, before_step)
            if not process.turn():
                world.elapsed += timedelta(seconds=1)
        except Killed:
            process = None
            if kill_at % ACCOUNT_EVERY == 0:
                world.verify_account()
            if erase_broker:
                world.messages.clear()
    raise AssertionError(f"not quiet after {TURNS_AT_MOST} turns: {world.unfinished()}")


def test_a_run_without_a_kill_delivers_everything_once(new_world: NewWorld) -> None:
    world = new_world(0, lost=0, repeated=0, broken=0)
    steps = run(world)
    world.verify()
    assert world.duplicates() == 1  # the one that was in doubt
    assert len(steps) > 200


@pytest.mark.parametrize("share", range(SHARES))
def test_nothing_is_lost_by_a_kill_at_any_step(new_world: NewWorld, share: int) -> None:
    points = len(run(new_world(1)))
    duplicates = most = 0
    for k in range(1 + share, points + 1, SHARES):
        world = new_world(1)
        steps = run(world, k, erase_broker=k % 2 == 0)
        try:
            world.verify()
        except AssertionError as error:
            raise AssertionError(f"killed at step {k}: {steps[k - 1]}") from error
        duplicates, most = duplicates + world.duplicates(), max(most, world.most_messages)
        assert world.duplicates() <= 3, f"killed at step {k}: {steps[k - 1]}"
    print(f"{points} kill points, lost 0, duplicates {duplicates}, live bells {most} at most")
    assert points > 200
    assert most <= 40
