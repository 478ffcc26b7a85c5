"""The worker as a program of its own: killed, without its database, without its broker's data."""

import os
import signal
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from consumers.router.handler import Router
from shared.broker import LEDGER, Publisher, topology
from shared.messages import StudyRouted
from shared.spool.parts import decided_deliveries
from tests.consumers.bench import ALL, RELAY, Bench, bench, data_set
from tests.consumers.ledger.ledgers import Ledger, file_of, in_spool
from tests.consumers.ledger.test_feeding import delivers
from tests.peers import free_port
from tests.support import eventually


class Worker:
    """`dcmrelay ledger`."""

    def __init__(self, relay: Bench, broker_url: str) -> None:
        self._relay, self._url, self._port = relay, broker_url, free_port()
        self._config = relay.folder / "dcmrelay.toml"
        self._config.write_text(RELAY + ALL, encoding="utf-8")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        return (self._relay.folder / "log").read_text(encoding="utf-8")

    def start(self) -> None:
        environment = {**os.environ, "DCMRELAY_BROKER_URL": self._url, "DCMRELAY_METRICS_PORT": str(self._port)}
        with (self._relay.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "dcmrelay", "ledger", "--config", str(self._config)],
                env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(15)

    def wait_ready(self) -> None:
        """Waits until it has everything, and hears of what comes."""
        eventually(lambda: self.metric("dcmrelay_ledger_caught_up_timestamp_seconds") > 0, 30)
        eventually(lambda: self.metric('dcmrelay_broker_connected{role="consume"}') == 1, 30)

    def metric(self, name: str) -> float:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/metrics", timeout=5) as answer:
                lines = bytes(answer.read()).decode().splitlines()
        except OSError:
            return -1
        return next((float(line.split()[1]) for line in lines if line.startswith(f"{name} ")), -1)


@pytest.fixture
def relay(tmp_path: Path) -> Bench:
    return bench(tmp_path)


@contextmanager
def running(relay: Bench, broker_url: str) -> Iterator[Worker]:
    worker = Worker(relay, broker_url)
    worker.start()
    try:
        yield worker
    finally:
        worker.end(signal.SIGKILL)


def studied(relay: Bench, count: int, prefix: str) -> list[tuple[str, str]]:
    """So many parts with a delivery each, delivered."""
    made = []
    for k in range(count):
        study = f"{prefix}.{k}"
        part = relay.part(data_set(1, study), data_set(2, study), study=study)
        relay.look(part, Router(relay.spool).handle)
        (delivery,) = decided_deliveries(relay.spool, part) or ()
        relay.look(delivery, delivers)
        made.append((part, delivery))
    return made


def told(broker_url: str, made: list[tuple[str, str]]) -> None:
    """The events of these parts, as workers tell them."""
    publisher = Publisher(broker_url, topology(["archive", "reading"]), "test")
    publisher.start()
    assert publisher.link.wait_connected(10)
    for part, delivery in made:
        publisher.tell(StudyRouted(id=part, n=2, part=part, deliveries=1))
        publisher.tell(StudyRouted(id=delivery, n=4, part=part, deliveries=1))
    publisher.stop()


def test_a_worker_killed_while_it_feeds_misses_nothing_and_doubles_nothing(relay: Bench, broker_url: str) -> None:
    ledger, kills = Ledger(relay.config, relay.spool), 0
    studied(relay, 150, "1.1")
    expected = in_spool(relay.spool)
    with running(relay, broker_url) as worker:
        for share in (0.1, 0.3, 0.5, 0.7, 0.9):
            eventually(lambda share=share: _entered(relay) >= share * len(expected), 30)
            kills += _entered(relay) < len(expected)
            assert worker.end(signal.SIGKILL) == -signal.SIGKILL
            worker.start()
        eventually(lambda: _entered(relay) == len(expected), 30)
        assert ledger.units() == expected
        assert ledger.verdict().problems == []
        worker.wait_ready()
        assert worker.end() == 0
    assert kills, "it was never killed while it fed: the test proves nothing"


def test_an_event_reaches_the_ledger_before_any_round(relay: Bench, broker_url: str) -> None:
    with running(relay, broker_url) as worker:
        worker.wait_ready()
        told(broker_url, studied(relay, 3, "1.1"))
        eventually(lambda: _entered(relay) == len(in_spool(relay.spool)), 20)
        assert worker.metric("dcmrelay_ledger_available") == 1
    assert "CANARY" not in worker.log
    assert file_of(relay.config).stat().st_mode & 0o077 == 0


def test_while_the_ledger_is_away_events_are_taken_and_it_catches_up_by_itself(relay: Bench, broker_url: str) -> None:
    ledger = Ledger(relay.config, relay.spool)
    with running(relay, broker_url) as worker:
        worker.wait_ready()
        with closing(sqlite3.connect(file_of(relay.config), isolation_level=None)) as somebody:
            somebody.execute("begin immediate")
            told(broker_url, studied(relay, 5, "1.1"))
            eventually(lambda: worker.metric("dcmrelay_ledger_available") == 0, 30)
            eventually(lambda: _depth(broker_url) == 0, 30)
            somebody.execute("rollback")
        eventually(lambda: _entered(relay) == len(in_spool(relay.spool)), 30)
        eventually(lambda: worker.metric("dcmrelay_ledger_available") == 1, 20)
        assert worker.log.count("ledger_not_fed") == worker.log.count("ledger_fed_again") == 1
    assert ledger.units() == in_spool(relay.spool)


def test_a_message_that_is_no_bell_is_set_aside(relay: Bench, broker_url: str) -> None:
    import pika

    with running(relay, broker_url) as worker:
        worker.wait_ready()
        with closing(pika.BlockingConnection(pika.URLParameters(broker_url))) as connection:
            channel = connection.channel()
            channel.basic_publish("dcmrelay.events", "study.routed", b"CANARY")
            found = eventually(lambda: channel.basic_get("dcmrelay.dead.unreadable", auto_ack=True)[2], 20)
        assert found == b"CANARY"
        assert "unreadable_message" in worker.log
        assert "CANARY" not in worker.log


def test_a_newer_ledger_stops_the_worker_in_one_line(relay: Bench, broker_url: str) -> None:
    ledger = Ledger(relay.config, relay.spool)
    ledger.fed()
    with closing(sqlite3.connect(file_of(relay.config))) as database, database:
        database.execute("update schema_version set version = 7")
    worker = Worker(relay, broker_url)
    worker.start()
    assert worker._process is not None
    assert worker._process.wait(20) == 1
    line = f"dcmrelay ledger: the ledger {file_of(relay.config)} has version 7, this program knows up to 1: "
    assert worker.log.splitlines()[-1].startswith(line)


def _entered(relay: Bench) -> int:
    """Records of parts and deliveries in the file; 0 while there is none."""
    try:
        with closing(sqlite3.connect(f"file:{file_of(relay.config)}?mode=ro", uri=True)) as database:
            query = "select count(*) from entries where unit >= 'd' and unit < 'e' or unit >= 'p' and unit < 'q'"
            return int(database.execute(query).fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def _depth(broker_url: str) -> int:
    publisher = Publisher(broker_url, topology(["archive", "reading"]), "test")
    publisher.start()
    publisher.link.wait_connected(10)
    try:
        return publisher.depth(LEDGER)
    finally:
        publisher.stop()
