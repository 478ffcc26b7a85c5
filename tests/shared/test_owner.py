"""Who works, and whether they still do."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from shared import owner

_REPOSITORY = Path(__file__).resolve().parents[2]
_NAME = (
    "from shared.owner import draft_name, this_process; print(this_process(), draft_name('ab'), flush=True); input()"
)


@pytest.fixture
def other() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _NAME], cwd=_REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def names_of(process: subprocess.Popen[str]) -> tuple[str, str]:
    assert process.stdout is not None
    name, draft = process.stdout.readline().split()
    return name, draft


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_a_process_is_alive_until_it_ends(other: subprocess.Popen[str]) -> None:
    name, draft = names_of(other)
    try:
        assert owner.is_alive(name) is True
        assert not owner.is_left_behind(draft)
        other.kill()
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
        assert owner.is_alive(name) is False  # a zombie works no more
    finally:
        end(other)
    assert owner.is_alive(name) is False
    assert owner.is_left_behind(draft)


def test_this_process_is_alive() -> None:
    assert owner.is_alive(owner.this_process()) is True
    assert not owner.is_left_behind(owner.draft_name("ab"))


def test_a_pid_that_was_given_again_is_another_process() -> None:
    place, pid, started = owner.this_process().split("/")
    assert owner.is_alive(f"{place}/{pid}/{int(started) - 1}") is False


@pytest.mark.parametrize("name", ["other.00000000.1/1/1", "", "x", "x/y", "/1/1"])
def test_nothing_is_known_of_a_process_elsewhere(name: str) -> None:
    assert owner.is_alive(name) is None


def test_nothing_is_known_without_a_pid() -> None:
    place = owner.this_process().split("/")[0]
    assert owner.is_alive(f"{place}/self/1") is None


@pytest.mark.parametrize("draft", ["", "x", "a.b.c.d", "00000000.1.1.ab", "a.1.1"])
def test_a_stranger_among_the_drafts_is_left_alone(draft: str) -> None:
    assert not owner.is_left_behind(draft)


def test_a_draft_names_its_process_and_nothing_of_the_host() -> None:
    place, pid, started = owner.this_process().split("/")
    digest, *rest = owner.draft_name("ab").split(".")
    assert rest == [pid, started, "ab"]
    assert len(digest) == 8
    assert place.split(".")[0] not in owner.draft_name("ab")
