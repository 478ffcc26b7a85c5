"""What ended is started again, after pauses that grow."""

from pathlib import Path

import pytest

from dcmrelay.child import Child
from dcmrelay.keeping import Keeper, next_pause
from shared import metrics
from shared.errors import StartError
from tests.support import eventually


@pytest.mark.parametrize(
    ("pause", "lived", "following"),
    [(0, 0, 0.5), (0.5, 1, 1), (1, 1, 2), (16, 1, 30), (30, 1, 30), (30, 60, 0.5), (30, 59, 30)],
)
def test_pauses_double_to_half_a_minute_and_begin_anew_after_a_steady_minute(
    pause: float, lived: float, following: float
) -> None:
    assert next_pause(pause, lived) == following


class Thing:
    """Something that can be started and that ends when the test says so."""

    def __init__(self, refuses: str = "") -> None:
        self.starts, self.runs, self.refuses = 0, False, refuses

    def start(self) -> None:
        self.starts += 1
        if self.refuses:
            raise StartError(self.refuses)
        self.runs = True

    def alive(self) -> bool:
        return self.runs


class Watch:
    """A keeper whose clock the test moves."""

    def __init__(self, thing: Thing, why: str = "exit code 1") -> None:
        self.now, self.said = 100.0, list[str]()
        self.keeper = Keeper("thing", thing, why=lambda: why, say=self.said.append, clock=lambda: self.now)

    def look(self, after: float = 0) -> None:
        self.now += after
        self.keeper.look()


def test_a_thing_that_ends_is_started_again_after_its_pause() -> None:
    thing = Thing()
    watch = Watch(thing)
    watch.look()
    thing.runs = False
    watch.look(after=5)
    watch.look(after=0.4)
    assert thing.starts == 1
    watch.look(after=0.2)
    assert thing.starts == 2
    assert watch.said == ["thing ended: exit code 1; next start in 0.5 s"]


def test_the_same_words_again_and_again_are_counted_and_said_once() -> None:
    thing = Thing(refuses="no such folder")
    watch = Watch(thing)
    for _ in range(5):
        watch.look(after=30)
    assert (watch.keeper.repeated, watch.keeper.words) == (5, "no such folder")
    assert [line.count("no such folder") for line in watch.said] == [1, 0, 0, 0, 0]


def test_words_after_a_steady_minute_are_counted_anew() -> None:
    thing = Thing()
    watch = Watch(thing)
    for _ in range(3):
        watch.look(after=30)
        thing.runs = False
        watch.look(after=61)
    assert watch.keeper.repeated == 1


def test_starts_and_life_are_metrics() -> None:
    thing = Thing()
    watch = Watch(thing)
    before = metrics.value("dcmrelay_worker_starts_total", worker="thing")
    watch.look()
    assert metrics.value("dcmrelay_worker_starts_total", worker="thing") == before + 1
    assert metrics.value("dcmrelay_worker_up", worker="thing") == 1
    thing.runs = False
    watch.look()
    assert metrics.value("dcmrelay_worker_up", worker="thing") == 0


def test_a_worker_that_refuses_to_start_tells_its_parent_why(tmp_path: Path) -> None:
    child = Child("router", ("router", "--config", str(tmp_path / "none.toml")), dict)
    child.start()
    eventually(lambda: not child.alive(), seconds=20)
    assert (
        child.why()
        == f"{tmp_path}/none.toml: does not exist; write one with `dcmrelay init`, or name another with --config"
    )


def test_a_killed_worker_is_known_by_its_signal(tmp_path: Path) -> None:
    child = Child("up", ("up", "--help"), dict)
    child.start()
    assert child.alive()
    child.end(deadline=0)
    assert child.why() in ("signal 9", "exit code 0")
    assert not child.alive()
