"""How the circuit of a destination stands, for everybody who wants to know."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from shared.spool.circuits import Circuit, newest_circuit, put_circuit
from shared.spool.spool import Spool

SINCE = datetime(2026, 3, 4, 2, 13, tzinfo=UTC)
OPENED = Circuit(destination="archive", identity="0123", open=True, since=SINCE, why="cannot connect")
FAILED = replace(OPENED, failed_at=SINCE + timedelta(minutes=5), probe_at=SINCE + timedelta(minutes=9))
CLOSED = replace(OPENED, open=False, since=SINCE + timedelta(hours=1), why="")


def test_a_circuit_that_nobody_opened_has_no_record(tmp_path: Path) -> None:
    assert newest_circuit(Spool(tmp_path), "archive") is None


def test_the_newest_record_says_how_a_circuit_stands(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for record in (OPENED, FAILED, CLOSED):
        put_circuit(spool, record)
        assert newest_circuit(spool, "archive") == record
    assert newest_circuit(spool, "reading") is None


def test_the_records_of_a_destination_that_comes_and_goes_do_not_pile_up(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for _ in range(30):
        put_circuit(spool, OPENED)
        put_circuit(spool, CLOSED)
    assert len(spool.store.list("circuits/archive")) == 20
    assert newest_circuit(spool, "archive") == CLOSED
