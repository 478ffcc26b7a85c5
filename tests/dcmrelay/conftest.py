"""Fixtures for tests of the command line."""

from pathlib import Path

import pytest

from tests.dcmrelay.relays import Command, Prepared, commander, prepared


@pytest.fixture
def relay(tmp_path: Path) -> Prepared:
    """A prepared data folder with nothing in it."""
    return prepared(tmp_path)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """Runs a `dcmrelay` command with the configuration of `relay`."""
    return commander(monkeypatch, capsys, tmp_path / "dcmrelay.toml")
