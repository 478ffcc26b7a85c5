"""A running ingress; loops that look more often than in production."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from producers.ingress import closing
from shared.dimse import listener
from tests.producers.ingress.running import Ingress, ingress


@pytest.fixture(autouse=True)
def _quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "_LOOK_UP_SECONDS", 0.01)
    monkeypatch.setattr(closing, "_LOOK_SECONDS", 0.01)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Ingress]:
    with ingress(tmp_path) as ours:
        yield ours
