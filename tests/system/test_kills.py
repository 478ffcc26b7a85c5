"""Whoever is killed in mid flight, nothing acknowledged is lost, and what is delivered twice is the same bytes.

`-s` shows how long each took to recover.
"""

import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from shared.spool.spool import Spool
from tests.consumers.ledger.ledgers import in_spool
from tests.peers import StoreScp, store_scp, tool
from tests.support import eventually
from tests.system.images import all_hashes
from tests.system.relay import PROFILE, Relay, destination, relay_in, route
from tests.system.streams import Stream

WORKERS = ("ingress", "router", "anonymizer", "janitor", "ledger", "sender archive")


@dataclass
class Flow:
    """A relay with a private broker, a plain route and a de-identifying one, and who receives."""

    relay: Relay
    archive: StoreScp
    reading: StoreScp

    def counts(self) -> tuple[int, int]:
        """Files received by archive and reading."""
        return len(self.archive.files()), len(self.reading.files())

    def flows(self, seconds: float = 30) -> None:
        """Waits until both receive more than they have."""
        archive, reading = self.counts()
        eventually(lambda: self.counts()[0] > archive and self.counts()[1] > reading, seconds)

    def holds(self, acknowledged: dict[str, str]) -> None:
        """Everything acknowledged is at both places; one set of bytes per instance, whatever came twice."""
        self.relay.comes_to_rest(seconds=40)
        outcomes = [[row["outcome"] for row in part["deliveries"]] for part in self.relay.studies()]
        assert all(of_part == ["delivered", "delivered"] for of_part in outcomes)
        plain = all_hashes(self.archive.files())
        assert {uid: {one} for uid, one in acknowledged.items()} == {uid: plain.get(uid) for uid in acknowledged}
        clean = all_hashes(self.reading.files())
        assert len(clean) == len(plain)
        assert {len(different) for different in clean.values()} == {1}
        self.is_remembered()

    def is_remembered(self) -> None:
        """The ledger has every record of the spool once, by itself, within a round or two."""
        spool = Spool(self.relay.data / "spool")
        eventually(lambda: _remembered(self.relay.data / "ledger.sqlite") == in_spool(spool), 70)
        verdict = self.relay.run("ledger", "verify")
        assert (verdict.returncode, verdict.stderr) == (0, "")


@pytest.fixture(scope="module")
def flow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flow]:
    folder = tmp_path_factory.mktemp("kills")
    tool("rabbitmq-server")
    with (
        store_scp(folder, "--unique-filenames", ae_title="ARCHIVE") as archive,
        store_scp(folder, "--unique-filenames", ae_title="READING") as reading,
        relay_in(folder / "relay") as relay,
    ):
        relay.configure(
            destination("archive", archive.port) + destination("reading", reading.port, "deidentified_only = true"),
            PROFILE + route("archive", "archive") + route("reading", "reading", more='profile = "reading"'),
        )
        relay.start()
        yield Flow(relay, archive, reading)


def _remembered(file: Path) -> set[tuple[str, int]]:
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
        found = database.execute("select unit, n from entries").fetchall()
    assert len(found) == len(set(found))
    return {(unit, n) for unit, n in found if unit[0] in "pd"}


def _restarted(pids: Callable[[], list[int]], killed: int) -> float:
    """Waits until another process has taken the place; returns seconds."""
    begun = time.monotonic()
    eventually(lambda: [pid for pid in pids() if pid != killed], 30)
    return time.monotonic() - begun


def test_a_worker_killed_in_mid_flight_loses_nothing(flow: Flow, tmp_path: Path) -> None:
    with Stream(flow.relay, tmp_path) as stream:
        flow.flows()
        for worker in WORKERS:
            begun = time.monotonic()
            killed = flow.relay.kill(*worker.split())
            back = _restarted(partial(flow.relay.pids, *worker.split()), killed)
            flow.flows()
            print(f"recovery after kill -9 of {worker}: {back:.1f} s, {time.monotonic() - begun:.1f} s")
    flow.holds(stream.acknowledged)
    assert stream.associations_lost, "the kill of the ingress was not noticed: the test proves nothing"


@pytest.mark.parametrize("erased", [False, True], ids=["restarted", "erased"])
def test_a_broker_killed_in_mid_flight_loses_nothing_that_waits(flow: Flow, tmp_path: Path, *, erased: bool) -> None:
    flow.archive.stop()
    with Stream(flow.relay, tmp_path) as stream:
        eventually(lambda: len(stream.acknowledged) >= 30)
        eventually(lambda: any(state and state.tries for state in flow.relay.unfinished("archive")))
        killed, data = flow.relay.node_pid(), flow.relay.data / "broker/data"
        begun = time.monotonic()
        os.kill(killed, signal.SIGKILL)
        if erased:
            data.rename(data.with_name("erased"))
        back = _restarted(lambda: [pid for pid in [flow.relay.node_pid()] if pid], killed)
        flow.archive.start()
        flow.flows(40)
        print(f"recovery after kill -9 of rabbitmq, erased {erased}: {back:.1f} s, {time.monotonic() - begun:.1f} s")
    flow.holds(stream.acknowledged)
    assert data.is_dir()


def test_the_whole_relay_killed_in_mid_flight_goes_on_when_started_again(flow: Flow, tmp_path: Path) -> None:
    with Stream(flow.relay, tmp_path) as stream:
        flow.flows()
        flow.relay.kill_up()
        eventually(lambda: not flow.relay.pids(), 15)
        begun = time.monotonic()
        flow.relay.start()
        print(f"READY again: {time.monotonic() - begun:.1f} s")
        flow.flows()
        print(f"recovery after kill -9 of up: {time.monotonic() - begun:.1f} s")
    flow.holds(stream.acknowledged)
