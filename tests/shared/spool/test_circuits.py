"""How the circuit of a destination stands, for everybody who wants to know."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from shared.spool.circuits import Circuit, circuit_open_since, newest_circuit, put_circuit
from shared.spool.spool import Spool

SINCE = datetime(2026, 3, 4, 2, 13, tzinfo=UTC)
OPENED = Circuit(destination="archive", identity="0123", open=True, since=SINCE, why="cannot connect")
CLOSED = replace(OPENED, open=False, since=SINCE + timedelta(hours=1), why="")


def test_a_circuit_that_nobody_opened_is_closed(tmp_path: Path) -> None:
    assert circuit_open_since(Spool(tmp_path), "archive") is None


def test_the_newest_record_says_since_when_a_circuit_is_open(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    put_circuit(spool, OPENED)
    assert circuit_open_since(spool, "archive") == SINCE
    assert circuit_open_since(spool, "reading") is None
    put_circuit(spool, CLOSED)
    assert circuit_open_since(spool, "archive") is None
    assert newest_circuit(spool, "archive") == CLOSED


def test_the_records_of_a_destination_that_comes_and_goes_do_not_pile_up(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for _ in range(30):
        put_circuit(spool, OPENED)
        put_circuit(spool, CLOSED)
    assert len(spool.store.list("circuits/archive")) == 20
    assert newest_circuit(spool, "archive") == CLOSED
