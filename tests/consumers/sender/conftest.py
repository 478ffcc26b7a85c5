"""Listeners that notice quickly that a test is over."""

import pytest

from shared.dimse import listener


@pytest.fixture(autouse=True)
def _quick_listeners(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "_LOOK_UP_SECONDS", 0.01)
