"""A real PostgreSQL for the tests: one private server per session on loopback, one fresh database per test."""

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from dcmrelay.tools import tool_environment, tools_root
from tests.peers import free_port
from tests.support import eventually

_SETUP = Path(__file__).parents[1] / "ops/setup/tools"
_NOBODY = 65534
PASSWORD = "p@ss/word"
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres() -> Iterator[int]:
    """The port of the session's server; user `relay`, PASSWORD."""
    programs = _programs()
    # PostgreSQL refuses to run as root, and pytest's own folders are closed to others.
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    user: dict[str, Any] = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []} if os.getuid() == 0 else {}
    if user:
        os.chown(folder, _NOBODY, _NOBODY)
    unpacked = tools_root() is not None and programs.is_relative_to(tools_root() or "/")
    more: dict[str, Any] = {"env": tool_environment() if unpacked else dict(os.environ), "cwd": folder, **user}
    (folder / "password").write_text(PASSWORD, encoding="ascii")
    (folder / "password").chmod(0o644)
    password = ("-A", "scram-sha-256", "--pwfile", folder / "password")
    initdb = [programs / "initdb", "-D", folder / "data", "-U", "relay", *password, "-E", "UTF8", "--no-sync"]
    subprocess.run(initdb, check=True, capture_output=True, **more)
    port = free_port()
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [programs / "postgres", "-D", folder / "data", "-p", str(port), "-c", "listen_addresses=127.0.0.1",
             "-c", f"unix_socket_directories={folder}", "-c", "fsync=off"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, **more,
        )  # fmt: skip
    try:
        eventually(lambda: b"ready to accept connections" in (folder / "log").read_bytes(), 60)
        yield port
    finally:
        server.send_signal(signal.SIGINT)  # its fast shutdown; SIGTERM waits for clients
        server.wait(30)
        shutil.rmtree(folder)


@pytest.fixture
def postgres_url(postgres: int) -> str:
    """The URL, without its password, of a database that only this test uses."""
    name = f"test{next(_numbers)}"
    admin = create_engine(
        f"postgresql+psycopg://relay:{PASSWORD.replace('@', '%40').replace('/', '%2F')}@127.0.0.1:{postgres}/postgres",
        isolation_level="AUTOCOMMIT",
    )
    with admin.connect() as connection:
        connection.execute(text(f"create database {name}"))
    admin.dispose()
    return f"postgresql://relay@127.0.0.1:{postgres}/{name}"


def _programs() -> Path:
    """The folder of initdb and postgres, fetched first when there is none."""
    if not (found := _found()):
        subprocess.run([_SETUP, "postgresql"], check=True)
        found = _found()
    assert found, "postgresql is not installed"
    return found[-1].parent


def _found() -> list[Path]:
    roots = [Path("/"), *([root] if (root := tools_root()) else [])]
    return sorted(path for root in roots for path in root.glob("usr/lib/postgresql/*/bin/initdb"))
