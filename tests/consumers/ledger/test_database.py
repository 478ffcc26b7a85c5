"""Where the ledger lies, and whom it lets in."""

from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from consumers.ledger import schema
from consumers.ledger.database import database_of, existing, file_system_of
from consumers.ledger.tables import metadata
from shared.config import parse
from shared.errors import LedgerError, StartError
from tests.consumers.bench import ALL, RELAY, Bench
from tests.consumers.ledger.ledgers import Ledger, file_of

MOUNTS = "/dev/sda1 / ext4 rw 0 0\nnas:/x /srv nfs4 rw 0 0\n/dev/sdb1 /srv/local xfs rw 0 0\n"


def test_a_ledger_is_made_once_and_opened_again(relay: Bench, ledger: Ledger) -> None:
    ledger.fed()
    ledger.database.close()
    again = Ledger(relay.config, relay.spool)
    again.fed()
    assert again.rows() == ledger.rows()
    assert file_of(relay.config).stat().st_size


def test_a_newer_ledger_is_refused_in_one_line(relay: Bench, ledger: Ledger) -> None:
    ledger.fed()
    ledger.execute(text("update schema_version set version = 99"))
    for open_it in (Ledger(relay.config, relay.spool).fed, lambda: existing(relay.config)):
        with pytest.raises(
            StartError, match=r"has version 99, this program knows up to 1: install the newer"
        ) as refused:
            open_it()
        assert "\n" not in str(refused.value)


def test_steps_are_taken_once_and_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'x.sqlite'}")
    with engine.begin() as connection:
        schema.bring_up(connection, "x")
    taken: list[int] = []
    more = (*schema.STEPS, lambda _: taken.append(2), lambda _: taken.append(3))
    monkeypatch.setattr(schema, "STEPS", more)
    for _ in range(2):
        with engine.begin() as connection:
            schema.bring_up(connection, "x")
            assert schema.version_of(connection) == 3
    assert taken == [2, 3]
    engine.dispose()


def test_there_is_no_ledger_before_its_worker_ran(relay: Bench) -> None:
    with pytest.raises(StartError, match=r"there is no ledger yet in .*ledger\.sqlite: `dcmrelay up` or"):
        existing(relay.config)
    assert not file_of(relay.config).exists()


@pytest.mark.parametrize(
    ("folder", "kind"), [("/var/x", "ext4"), ("/srv/x", "nfs4"), ("/srv/local/x", "xfs"), ("/srvx", "ext4")]
)
def test_the_file_system_of_a_folder_is_that_of_its_mount(folder: str, kind: str) -> None:
    assert file_system_of(Path(folder), MOUNTS) == kind


def test_a_file_on_a_network_file_system_is_refused(relay: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consumers.ledger.database.file_system_of", lambda _: "nfs4")
    with pytest.raises(StartError, match=r"network file system \(nfs4\).*set \[ledger\] url to a PostgreSQL"):
        database_of(relay.config)


def test_postgresql_that_is_away_is_said_without_its_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DCMRELAY_LEDGER_PASSWORD", "s3cret")
    text_ = RELAY + ALL + '[ledger]\nurl = "postgresql://relay@127.0.0.1:1/dcmrelay"\n'
    database = database_of(parse(text_, tmp_path))
    assert database.place == "postgresql://relay:***@127.0.0.1:1/dcmrelay"
    with pytest.raises(LedgerError) as refused:
        database.make_ready()
    assert "s3cret" not in str(refused.value)


def test_the_tables_are_told_to_postgresql_too() -> None:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    told = "".join(str(CreateTable(table).compile(dialect=dialect)) for table in metadata.sorted_tables)
    assert 'patient_id TEXT COLLATE "C" NOT NULL' in told
