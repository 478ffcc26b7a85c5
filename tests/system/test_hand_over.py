"""One of two services gets a study, with real peers: one that is down, refuses, hangs, is full or loses its answer.

One relay for all: each source has a first service of its own, and all have the second, `night`.
"""

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydicom import dcmread

from tests.consumers.sender.peer import Peer, listening
from tests.peers import StoreScp, free_port, store_scp
from tests.support import eventually
from tests.system.images import ct_study
from tests.system.relay import Relay, Row, destination, relay_in

SOURCE = '[[source]]\nname = "of-{name}"\nae_title = "{title}"\nhosts = ["127.0.0.0/8"]\n'
ROUTE = """
[[route]]
name = "{name}-or-night"
match = {{ source = "of-{name}" }}
one_of = [{{ destination = "{name}", as_backup = "always" }}, {{ destination = "night", as_backup = "always" }}]
hand_over_after = "2s"
"""
FAILING = ("down", "refuses", "hangs", "full")
INSTANCES = {"down": 3, "refuses": 3, "hangs": 3, "full": 3, "loses": 1, "well": 3}


@dataclass
class Services:
    """A relay that was sent a study for each first service, when all of them but one came to an end.

    Attributes:
        relay: the relay.
        night: the second service.
        first: those first services that are programs, by name.
        studies: UID of the study for each.
        parts: what `studies` says of it.
    """

    relay: Relay
    night: StoreScp
    first: dict[str, StoreScp] = field(default_factory=dict)
    studies: dict[str, str] = field(default_factory=dict)
    parts: dict[str, Row] = field(default_factory=dict)

    def outcomes(self, name: str) -> dict[str, str]:
        """By destination, what became of the study for a first service, or its state."""
        return {row["destination"]: row["outcome"] or row["state"] for row in self.parts[name]["deliveries"]}

    def at_rest(self) -> bool:
        """Whether every study came to an end but the one whose last answer was lost, of which a person is told."""
        told = [it for it in self.relay.unfinished() if it is not None and it.facts.get("alert")]
        return bool(told) and len(self.relay.unfinished()) <= 2

    def at_night(self, name: str) -> int:
        """Instances of that study that the second service has."""
        return sum(_study(file) == self.studies[name] for file in self.night.files())


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory, module_broker: str) -> Iterator[Services]:
    folder = tmp_path_factory.mktemp("services")
    with ExitStack() as stack:
        night = stack.enter_context(store_scp(folder, ae_title="NIGHT"))
        relay = stack.enter_context(relay_in(folder / "relay", module_broker))
        found = Services(relay, night)
        for name, options in {"refuses": ("--refuse",), "hangs": (), "loses": ("--abort-after",), "well": ()}.items():
            found.first[name] = stack.enter_context(store_scp(folder, *options, ae_title=name.upper()))
        full = stack.enter_context(listening(Peer(script=[0xA700] * 1000)))
        ports = {name: scp.port for name, scp in found.first.items()}
        ports |= {"down": free_port(), "full": full.port, "night": night.port}
        more = "".join(SOURCE.format(name=it, title=it.upper()) + ROUTE.format(name=it) for it in INSTANCES)
        relay.configure("".join(destination(name, port) for name, port in ports.items()), more)
        relay.start()
        os.kill(found.first["hangs"].pid, signal.SIGSTOP)
        for name, count in INSTANCES.items():
            files = ct_study(folder / "sent" / name, count)
            found.studies[name] = _study(files[0])
            relay.send(files, name.upper())
        eventually(found.at_rest, 90)
        found.parts = {str(it["source"]).removeprefix("of-"): it for it in relay.studies()}
        yield found
        os.kill(found.first["hangs"].pid, signal.SIGCONT)
        relay.stop()
    shutil.rmtree(folder)


@pytest.mark.parametrize("name", FAILING)
def test_a_service_that_fails_is_left_for_the_other_which_gets_the_study_once(services: Services, name: str) -> None:
    assert services.outcomes(name) == {name: "handed_over", "night": "delivered"}
    assert services.at_night(name) == INSTANCES[name]
    if name in services.first:
        assert len(services.first[name].files()) < INSTANCES[name]


def test_a_hand_over_is_told_with_its_reason(services: Services) -> None:
    story = services.relay.run("show", services.parts["down"]["part"]).stdout
    assert "'down' answered nothing with success for too long" in story
    assert "handed over to night" in story


def test_a_service_that_loses_the_last_answer_keeps_the_study_and_a_person_is_told(services: Services) -> None:
    assert "has, or may have, a part of it whole" in services.relay.run("status").stdout
    assert "night" not in services.outcomes("loses")
    assert services.at_night("loses") == 0


def test_a_service_that_gets_on_keeps_its_studies(services: Services) -> None:
    assert services.outcomes("well") == {"well": "delivered"}
    assert (len(services.first["well"].files()), services.at_night("well")) == (INSTANCES["well"], 0)


def test_a_service_that_comes_back_gets_the_next_study(services: Services, tmp_path: Path) -> None:
    back = services.first["refuses"]
    back.stop()
    back.options = ()
    back.start()
    files = ct_study(tmp_path / "next", 2)
    services.relay.send(files, "REFUSES")
    eventually(lambda: len(back.files()) == 2, 20)
    assert not any(_study(file) == _study(files[0]) for file in services.night.files())


def _study(file: Path) -> str:
    return str(dcmread(file, stop_before_pixels=True).StudyInstanceUID)
