"""The ledger's database: SQLite in data_dir, or PostgreSQL by URL.

What either raises becomes our error without its text, which quotes values, and those are patients'.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from consumers.ledger import schema
from shared.config import Config, ledger_url
from shared.errors import LedgerError, StartError

FILE = "ledger.sqlite"
_WAIT_SECONDS = 5
# Any number, the same in every program that appends to a ledger: one at a time holds this lock.
_APPENDING = 0x6463_6D72
_NETWORK = frozenset(
    {
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "ncpfs",
        "afs",
        "9p",
        "ceph",
        "glusterfs",
        "lustre",
        "gpfs",
        "ocfs2",
        "gfs2",
    }
)


class Database:
    """One ledger.

    Args:
        url: of SQLAlchemy.
        place: how a person is told of it, without password.
    """

    def __init__(self, url: str, place: str) -> None:
        self.place = place
        parsed = make_url(url)
        self._is_file = parsed.get_backend_name() == "sqlite"
        options: dict[str, Any] = {"timeout": _WAIT_SECONDS} if self._is_file else {"connect_timeout": _WAIT_SECONDS}
        self._engine = create_engine(
            parsed, hide_parameters=True, pool_pre_ping=not self._is_file, pool_size=1, connect_args=options
        )
        if self._is_file:
            event.listen(self._engine, "connect", _set_up_sqlite)
            event.listen(self._engine, "begin", _begin_sqlite)
        self._ready = False

    def make_ready(self) -> None:
        """Make the tables, or bring older ones up.

        Raises:
            LedgerError: it is away, locked or full.
            StartError: it is newer than this program.
        """
        with self.appending() as connection:
            if not self._ready:
                schema.bring_up(connection, self.place)
        self._ready = True

    @contextmanager
    def appending(self) -> Iterator[Connection]:
        """A transaction that appends: one at a time, whoever else appends. Raises LedgerError."""
        with _told(), self._engine.begin() as connection:
            if not self._is_file:
                connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": _APPENDING})
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that only reads; waits for nobody. Raises LedgerError."""
        with _told(), self._engine.connect() as connection:
            reader = connection.execution_options(dcmrelay_reads=True)
            if not self._is_file:
                reader = reader.execution_options(isolation_level="REPEATABLE READ")
            with reader.begin():
                yield reader

    def close(self) -> None:
        """Let go of the connections."""
        self._engine.dispose()


def database_of(config: Config) -> Database:
    """The configured ledger; nothing is opened yet.

    Raises:
        ConfigError: its password cannot be read.
        StartError: the file would lie on a network file system.
    """
    url = ledger_url(config, os.environ)
    if url is not None:
        parsed = make_url(url).set(drivername="postgresql+psycopg")
        place = parsed.render_as_string(hide_password=True).replace("+psycopg", "")
        return Database(parsed.render_as_string(hide_password=False), place)
    path = config.relay.data_dir / FILE
    kind = file_system_of(config.relay.data_dir)
    if kind in _NETWORK or kind.startswith("fuse."):
        raise StartError(
            f"the ledger {path} would lie on a network file system ({kind}), where SQLite damages its file: "
            "set [ledger] url to a PostgreSQL"
        )
    return Database(f"sqlite:///{path}", str(path))


def existing(config: Config) -> Database:
    """The configured ledger, to look at.

    Raises:
        ConfigError: its password cannot be read.
        LedgerError: it is away.
        StartError: there is none yet, or it is newer than this program.
    """
    database = database_of(config)
    none = StartError(
        f"there is no ledger yet in {database.place}: `dcmrelay up` or `dcmrelay ledger` makes and fills it"
    )
    if ledger_url(config, os.environ) is None and not (config.relay.data_dir / FILE).exists():
        raise none
    with database.reading() as connection:
        if not schema.check(connection, database.place):
            raise none
    return database


def file_system_of(folder: Path, mounts: str | None = None) -> str:
    """The type of the file system a folder lies in, such as `ext4` or `nfs4`; empty when that is not told.

    Args:
        folder: absolute.
        mounts: text of /proc/self/mounts; read when None.
    """
    if mounts is None:
        path = Path("/proc/self/mounts")
        mounts = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    found = [line.split() for line in mounts.splitlines() if len(line.split()) > 2]
    resolved = folder.resolve()
    holding = [(len(words[1]), k, words[2]) for k, words in enumerate(found) if resolved.is_relative_to(words[1])]
    return max(holding, default=(0, 0, ""))[2]


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        raise LedgerError(f"the ledger's database refused ({_name_of(error)})") from None
    except SQLAlchemyError as error:
        raise LedgerError(f"the ledger's database refused ({type(error).__name__})") from None


def _name_of(error: DBAPIError) -> str:
    """What the database calls it: `SQLITE_FULL`, a SQLSTATE such as 53100, or the error's kind."""
    original = error.orig
    return str(
        getattr(original, "sqlite_errorname", None) or getattr(original, "sqlstate", None) or type(original).__name__
    )


def _set_up_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # we begin transactions ourselves
    cursor = connection.cursor()
    cursor.execute("pragma journal_mode = wal")
    cursor.execute("pragma synchronous = full")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    reads = connection.get_execution_options().get("dcmrelay_reads", False)
    connection.exec_driver_sql("begin" if reads else "begin immediate")
