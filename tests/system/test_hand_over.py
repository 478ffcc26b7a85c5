"""One of two services gets a study, with real peers: one that is down, refuses, hangs, is full or loses its answer."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from shared.spool.states import State
from tests.peers import StoreScp, store_scp
from tests.support import eventually
from tests.system.images import ct_study
from tests.system.relay import Relay, Row, destination, relay_in

ROUTE = """
[[route]]
name = "outside"
match = { source = "ct-1" }
one_of = [{ destination = "day", as_backup = "always" }, { destination = "night", as_backup = "always" }]
hand_over_after = "2s"
"""


@dataclass
class Services:
    """A relay with two services, of which `day` is tried first."""

    relay: Relay
    day: StoreScp
    night: StoreScp

    def outcomes(self, name: str) -> list[str]:
        return [row["outcome"] or row["state"] for row in self.relay.deliveries(name)]

    def watched(self) -> list[State | None]:
        return [it for it in self.relay.unfinished() if it is not None and it.facts.get("alert")]


@contextmanager
def services(folder: Path, broker: str, *options: str) -> Iterator[Services]:
    with (
        store_scp(folder, *options, ae_title="DAY") as day,
        store_scp(folder, ae_title="NIGHT") as night,
        relay_in(folder / "relay", broker) as relay,
    ):
        relay.configure(destination("day", day.port) + destination("night", night.port), ROUTE)
        yield Services(relay, day, night)
        relay.stop()


def handed_over(it: Services) -> list[Row]:
    return [row for row in it.relay.deliveries("day") if row["outcome"] == "handed_over"]


def test_a_service_that_is_down_is_left_for_the_other(tmp_path: Path, broker_url: str) -> None:
    with services(tmp_path, broker_url) as it:
        it.day.stop()
        it.relay.start()
        it.relay.send(files := ct_study(tmp_path, 3), "CT1")
        it.relay.comes_to_rest(seconds=40)
        assert (it.outcomes("day"), it.outcomes("night")) == (["handed_over"], ["delivered"])
        assert len(it.night.files()) == len(files)
        part = it.relay.studies()[0]["part"]
        assert "handed over to night" in it.relay.run("show", part).stdout


@pytest.mark.parametrize("options", [("--refuse",)])
def test_a_service_that_refuses_associations_is_left_for_the_other(
    tmp_path: Path, broker_url: str, options: tuple[str, ...]
) -> None:
    with services(tmp_path, broker_url, *options) as it:
        it.relay.start()
        it.relay.send(files := ct_study(tmp_path, 3), "CT1")
        it.relay.comes_to_rest(seconds=40)
        assert (it.outcomes("day"), it.outcomes("night")) == (["handed_over"], ["delivered"])
        assert len(it.night.files()) == len(files)


def test_a_service_that_hangs_is_left_for_the_other_while_the_sender_waits(tmp_path: Path, broker_url: str) -> None:
    with services(tmp_path, broker_url) as it:
        it.relay.start()
        os.kill(it.day.pid, signal.SIGSTOP)
        it.relay.send(files := ct_study(tmp_path, 3), "CT1")
        eventually(lambda: len(it.night.files()) == len(files), 40)
        os.kill(it.day.pid, signal.SIGCONT)
        it.relay.comes_to_rest(seconds=40)
        assert (it.outcomes("day"), it.outcomes("night")) == (["handed_over"], ["delivered"])
        assert len(it.day.files()) < len(files)


def test_a_service_that_loses_the_last_answer_keeps_the_study(tmp_path: Path, broker_url: str) -> None:
    with services(tmp_path, broker_url, "--abort-after") as it:
        it.relay.start()
        it.relay.send(ct_study(tmp_path, 1), "CT1")
        eventually(it.watched, 40)
        assert it.outcomes("night") == []
        assert "has, or may have, a part of it whole" in it.relay.run("status").stdout
