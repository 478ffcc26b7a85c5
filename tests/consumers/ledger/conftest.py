"""A relay's data folder whose clock a test moves, and its ledger."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.consumers.bench import Bench, bench
from tests.consumers.ledger.ledgers import Ledger


@pytest.fixture
def relay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(os, "fsync", lambda _: None)
    return bench(tmp_path)


@pytest.fixture
def ledger(relay: Bench) -> Iterator[Ledger]:
    made = Ledger(relay.config, relay.spool)
    yield made
    made.database.close()
