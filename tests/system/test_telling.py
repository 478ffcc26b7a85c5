"""A night with a relay: a destination is down, another gone, the janitor is killed; persons are told, and act."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from shared.notices.told import ToldBy
from shared.spool.spool import Spool
from tests.peers import StoreScp, dcmsend, free_port, store_scp
from tests.shared.notices.servers import Received, mail_server, webhook
from tests.support import eventually
from tests.system import prompt
from tests.system.images import ct_instance
from tests.system.relay import Relay, destination, relay_in, route

CANARY, ACCESSION = "CANARY", "ACC-CANARY-1"
SECONDS = 40
pytestmark = pytest.mark.timeout(300)
Row = dict[str, Any]


@dataclass
class Night:
    """A relay, those who are told, and what commands said.

    Attributes:
        said: by a word for the moment, the command's outcome.
        mail: the messages that came until all was well.
        posts: likewise, of the webhook.
    """

    relay: Relay
    archive: StoreScp
    mails: Received
    hooks: Received
    said: dict[str, subprocess.CompletedProcess[str]] = field(default_factory=dict)
    mail: list[str] = field(default_factory=list)
    posts: list[Row] = field(default_factory=list)

    def types(self, moment: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        self.said[moment] = self.relay.run(*arguments)
        return self.said[moment]

    def looks(self, **commands: str) -> None:
        """Runs commands that do not mind each other, at the same time."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda it: self.types(it[0], *it[1].split()), commands.items()))

    def remembers(self) -> int:
        """How many messages are on record as taken."""
        told = (ToldBy(Spool(self.relay.data / "spool"), name) for name in ("smtp", "webhook"))
        return sum(state.status == "final" for it in told for state in it.all())

    def told(self, occasion: str) -> list[Row]:
        return [it for it in self.hooks.facts() if it["occasion"] == occasion]


def notifiers(mails: Received, hooks: Received) -> str:
    on = 'on = ["destination_down", "dead_letter"]\nevery = "1s"\n'
    return (
        f'[[notify]]\nkind = "smtp"\n{on}host = "127.0.0.1"\nport = {mails.port}\nsecurity = "none"\n'
        'from = "relay@h.example"\nto = ["pacs@h.example"]\n'
        f'[[notify]]\nkind = "webhook"\n{on}url = "http://127.0.0.1:{hooks.port}/"\n'
    )


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory, module_broker: str) -> Iterator[Night]:
    folder = tmp_path_factory.mktemp("night")
    with (
        mail_server() as mails,
        webhook() as hooks,
        store_scp(folder, ae_title="ARCHIVE") as archive,
        relay_in(folder / "relay", module_broker) as relay,
    ):
        gone = destination("gone", free_port()).replace('max = "1s"', 'max = "1s"\n  give_up = "1s"')
        relay.configure(
            destination("archive", archive.port, 'alert_after = "1s"') + gone,
            route("all", "archive", "gone")
            + route("tried", "archive", more='match = { source = "tester" }')
            + '[[source]]\nname = "tester"\nae_title = "TESTER"\n'
            + notifiers(mails, hooks),
        )
        here = Night(relay, archive, mails, hooks)
        prompt.load()
        relay.start()
        _down(here, folder)
        _well(here)
        yield here


def _down(night: Night, folder: Path) -> None:
    """The archive goes away; a study comes; persons are told and look; the janitor dies."""
    relay = night.relay
    night.archive.stop()
    ds = ct_instance("1.2.826.0.1.4711.1", "1.2.826.0.1.4711.1.1", 1)
    ds.PatientName, ds.PatientID, ds.AccessionNumber = f"{CANARY}^ANNA", f"{CANARY}-ID", ACCESSION
    ds.save_as(folder / "image.dcm", enforce_file_format=True)
    relay.send([folder / "image.dcm"])
    dcmsend(relay.port, folder / "image.dcm", calling="STRANGER")
    eventually(lambda: night.remembers() == 4, SECONDS)
    night.looks(down="status", tried="test archive", show=f"show {ACCESSION}", knocked="knocked")
    os.kill(relay.pids("janitor")[0], signal.SIGKILL)
    night.types("pause", "pause", "archive", "--why", "its people work on it")
    night.looks(paused="status", urgent=f"urgent {ACCESSION}")


def _well(night: Night) -> None:
    """It comes back; the pause is ended; what was given up goes again."""
    relay = night.relay
    night.archive.start()
    night.looks(tried_again="test archive --no-store", resume="resume archive")
    eventually(lambda: [it["outcome"] for it in relay.deliveries("archive")] == ["delivered"], SECONDS)
    eventually(lambda: any(it["over"] for it in night.told("destination_down")), SECONDS)
    eventually(lambda: len(night.mails.bodies) >= 3, SECONDS)
    night.mail, night.posts = list(night.mails.bodies), night.hooks.facts()
    night.types("through", "test", "--source", "tester")
    night.types("resend", "resend", ACCESSION, "--to", "archive")
    eventually(lambda: [it["outcome"] for it in relay.deliveries("archive")] == ["delivered"] * 3, SECONDS)
    night.types("discard", "dead", "discard", "--destination", "gone", "--why", "it is gone")
    night.types("well", "status")


def test_each_beginning_and_each_end_is_one_message_by_every_way(night: Night) -> None:
    assert sorted((it["occasion"], it["about"], it["over"]) for it in night.posts) == [
        ("dead_letter", "gone", False),
        ("destination_down", "archive", False),
        ("destination_down", "archive", True),
    ]
    subjects = sorted(line for body in night.mail for line in body.splitlines() if line.startswith("Subject:"))
    assert subjects == sorted(
        f"Subject: dcmrelay DCMRELAY: {it}"
        for it in (
            "archive has kept a delivery waiting too long",
            "1 new dead letter for gone, 1 in all",
            "nothing waits too long for archive any more",
        )
    )


def test_a_message_says_what_to_type_and_nothing_of_a_patient(night: Night) -> None:
    down, *_ = night.told("destination_down")
    assert down["command"] == "dcmrelay test archive"
    dead, *_ = night.told("dead_letter")
    assert (dead["command"], dead["classes"]) == ("dcmrelay dead list --destination gone", {"unreachable": 1})
    whole = "".join((*night.mails.bodies, *night.hooks.bodies))
    assert not [word for word in (CANARY, ACCESSION, "4711", "127.0.0.1") if word in whole]


def test_what_a_person_types_while_it_is_down_says_what_is_wrong(night: Night) -> None:
    said = night.said
    assert (said["down"].returncode, said["tried"].returncode) == (1, 1)
    assert "! archive has kept a delivery waiting for longer than alert_after" in said["down"].stdout
    assert "`dcmrelay dead list --class unreachable --destination gone`" in said["down"].stdout
    assert said["tried"].stderr.startswith("FAIL TCP: ")
    assert "cannot connect to 127.0.0.1" in said["show"].stdout
    assert 'ae_title = "STRANGER"' in said["knocked"].stdout
    assert "archive is paused until `dcmrelay resume archive`" in said["pause"].stdout
    assert "archive, paused by" in said["paused"].stdout
    assert said["urgent"].returncode == 0


def test_what_a_person_types_when_it_is_back_lets_it_go_on(night: Night) -> None:
    said = night.said
    assert (said["tried_again"].returncode, said["tried_again"].stderr) == (0, "")
    assert "archive goes on: 1 delivery" in said["resume"].stdout
    assert [line.split(":")[0] for line in said["through"].stdout.splitlines()] == [
        "ok   ingress", "ok   part", "ok   route", "ok   archive",
    ]  # fmt: skip
    assert (said["through"].returncode, said["through"].stderr) == (0, "")
    assert said["resend"].returncode == 0
    assert said["discard"].stdout == "discarded: 1\n"
    assert (said["well"].returncode, said["well"].stdout.splitlines()[0]) == (0, "Nobody is needed.")
    assert json.loads(night.relay.run("dead", "list", "--json").stdout) == []
