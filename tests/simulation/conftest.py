"""A quiet, quick and repeatable stage for simulations."""

import logging
import os
import random
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog

from consumers.sender import handler as sender_handler
from shared import owner
from shared.config import Config
from tests.simulation.world import World, new_config


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return new_config(tmp_path_factory.mktemp("relay"))


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


@pytest.fixture
def quick_folder() -> Iterator[Path]:
    """A folder in memory where there is one: a simulation makes half a million files."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        yield Path(folder)


@pytest.fixture
def new_world(quick_folder: Path, config: Config, monkeypatch: pytest.MonkeyPatch) -> Callable[..., World]:
    """Makes a world of its own for a seed; the one before is over, and its spool is gone."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    root = quick_folder / "spool"

    def make(seed: int, **options: float) -> World:
        shutil.rmtree(root, ignore_errors=True)
        rng = random.Random(seed)
        world = World(root, config, rng, **options)  # type: ignore[arg-type]
        monkeypatch.setattr(secrets, "token_hex", lambda size=16: rng.randbytes(size).hex())
        monkeypatch.setattr(owner, "this_process", world.this_process)
        monkeypatch.setattr(owner, "is_alive", world.is_alive)
        monkeypatch.setattr(sender_handler, "request", world.request)
        return world

    return make
