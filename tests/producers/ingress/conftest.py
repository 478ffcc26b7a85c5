"""Loops that look more often than in production."""

import pytest

from producers.ingress import closing
from shared.dimse import listener


@pytest.fixture(autouse=True)
def _quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "_LOOK_UP_SECONDS", 0.01)
    monkeypatch.setattr(closing, "_LOOK_SECONDS", 0.01)
