"""Dead letters of a real relay: what a person does about them, and what arrives then."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import SecondaryCaptureImageStorage

from shared.spool.deliveries import active_deliveries
from shared.spool.spool import Spool
from tests.peers import StoreScp, store_scp
from tests.support import eventually
from tests.system.images import all_hashes, ct_study, hashes
from tests.system.relay import Relay, Row, destination, relay_in, route

_ROUTES = (
    route("archive", "archive", more='match = { source = "ct-1", Modality = "CT" }')
    + route("backup", "backup", more='match = { source = "ct-1", Modality = "US" }')
    + route("reading", "reading", more='match = { source = "ct-1", Modality = "MR" }\nprofile = "reading"')
)
_PROFILE = (
    '[profile.reading]\nbase = "basic"\nkey_file = "pseudonym.key"\nobjects = {{ secondary_capture = "{fate}" }}\n'
)


@dataclass
class Site:
    """A relay: CT to `archive`, which is away and soon given up; US to `backup`; MR, de-identified, to `reading`."""

    relay: Relay
    archive: StoreScp
    backup: StoreScp
    reading: StoreScp

    def configure(self, *, secondary_captures: str = "hold") -> None:
        """Writes the configuration."""
        given_up_soon = destination("archive", self.archive.port).replace('max = "1s"', 'max = "1s"\n  give_up = "1s"')
        self.relay.configure(
            given_up_soon
            + destination("backup", self.backup.port)
            + destination("reading", self.reading.port, "deidentified_only = true"),
            _PROFILE.format(fate=secondary_captures) + _ROUTES,
        )

    def letters(self, **wanted: str) -> list[Row]:
        """Dead letters with these facts, as `dead list --json` has them."""
        found: list[Row] = json.loads(self.relay.run("dead", "list", "--json").stdout)
        return [letter for letter in found if wanted.items() <= letter.items()]

    def given_up(self, folder: Path, studies: int = 1, instances: int = 2) -> list[Path]:
        """Sends CT studies while `archive` is away, until each is a dead letter; returns their files."""
        self.archive.stop()
        files = [ct_study(folder / str(number), instances) for number in range(studies)]
        for study in files:
            self.relay.send(study)
        eventually(lambda: len(self.letters(destination="archive")) == studies, 60)
        return [file for study in files for file in study]

    def units(self) -> list[str]:
        """Ids of unfinished deliveries."""
        return list(active_deliveries(Spool(self.relay.data / "spool")))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, module_broker: str) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("replay")
    with (
        store_scp(folder, "--unique-filenames", ae_title="ARCHIVE") as archive,
        store_scp(folder, "--unique-filenames", ae_title="BACKUP") as backup,
        store_scp(folder, "--unique-filenames", ae_title="READING") as reading,
        relay_in(folder / "relay", module_broker) as relay,
    ):
        here = Site(relay, archive, backup, reading)
        here.configure()
        relay.start()
        yield here
        relay.stop()


@pytest.fixture
def site(running: Site) -> Iterator[Site]:
    """The relay with every receiver empty, `archive` there, and no dead letter."""
    for scp in (running.archive, running.backup, running.reading):
        for file in scp.files():
            file.unlink()
    yield running
    running.archive.stop()
    running.archive.start()
    running.relay.run("dead", "discard", "--all", "--why", "end of a test")


def test_a_destination_that_was_away_too_long_gets_the_same_bytes_after_a_replay(site: Site, tmp_path: Path) -> None:
    files = site.given_up(tmp_path, instances=3)
    (letter,) = site.letters(destination="archive")
    assert letter["class"] == "unreachable"
    assert letter["reason"].endswith("; 3 of 3 instances not delivered, 0 delivered")
    (shown,) = json.loads(site.relay.run("dead", "show", letter["id"][:10], "--json").stdout)
    assert (shown["missing"], shown["instances"]) == (3, 3)
    assert shown["attempts"][-1]["what"] == "stopped"
    assert any("cannot connect" in attempt["why"] for attempt in shown["attempts"])
    site.archive.start()
    assert site.relay.run("dead", "replay", letter["id"][:10], "--why", "line is back").stdout == "replayed: 1\n"
    site.relay.comes_to_rest()
    assert hashes(site.archive.files()) == hashes(files)
    assert "line is back" in site.relay.run("show", letter["id"]).stdout


def test_many_replayed_by_a_command_that_is_killed_and_run_again_arrive_once_each(site: Site, tmp_path: Path) -> None:
    files = site.given_up(tmp_path, studies=12, instances=1)
    site.archive.start()
    command = [sys.executable, "-m", "dcmrelay", "dead", "replay", "--all", "--config", str(site.relay.config)]
    environment = os.environ | {"DCMRELAY_BROKER_URL": site.relay.broker_url}
    killed = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    eventually(lambda: killed.poll() is not None or len(site.letters(destination="archive")) < 12, 60)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    again = site.relay.run("dead", "replay", "--destination", "archive")
    assert again.returncode == 0 or "no dead letter fits" in again.stderr
    site.relay.comes_to_rest(seconds=90)
    assert len(site.archive.files()) == 12
    assert hashes(site.archive.files()) == hashes(files)


def test_a_rate_is_due_times_in_the_spool_that_survive_whoever_wrote_them(site: Site, tmp_path: Path) -> None:
    site.given_up(tmp_path, studies=3, instances=1)
    site.archive.start()
    assert site.relay.run("dead", "replay", "--all", "--rate", "1/h").returncode == 0
    eventually(lambda: len(site.archive.files()) == 1, 20)
    eventually(lambda: len(site.units()) == 2)
    spool = Spool(site.relay.data / "spool")
    due = sorted(state.due for it in site.units() if (state := spool.deliveries.newest(it)) and state.due)
    assert len(due) == 2
    assert (due[1] - due[0]).total_seconds() == 3600
    site.relay.kill("sender", "archive")
    assert len(site.archive.files()) == 1
    study = spool.deliveries.load(site.units()[0])
    assert study is not None
    for unit in site.units():
        assert site.relay.run("urgent", unit, "--why", "now after all").returncode == 0
    site.relay.comes_to_rest(seconds=60)
    assert len(site.archive.files()) == 3


def test_a_dead_letter_goes_to_another_destination_that_a_route_names_and_nowhere_else(
    site: Site, tmp_path: Path
) -> None:
    files = site.given_up(tmp_path)
    (letter,) = site.letters(destination="archive")
    refused = site.relay.run("dead", "redirect", letter["id"], "--to", "reading")
    assert refused.returncode == 1
    assert "takes nothing without proof of de-identification" in refused.stderr
    assert not site.reading.files()
    done = site.relay.run("dead", "redirect", letter["id"], "--to", "backup", "--why", "archive is moved")
    assert (done.returncode, done.stdout) == (0, "redirected: 1\n")
    site.relay.comes_to_rest()
    assert hashes(site.backup.files()) == hashes(files)
    assert not site.letters(destination="archive")
    assert "redirected by" in site.relay.run("show", letter["id"]).stdout


def test_what_a_profile_held_goes_by_the_profile_as_it_is_now_and_only_that(site: Site, tmp_path: Path) -> None:
    files = ct_study(tmp_path, 3, modality="MR")
    _make_secondary_capture(files[1])
    assert site.relay.run("send", "--source", "ct-1", *files).returncode == 0
    site.relay.comes_to_rest()
    (letter,) = site.letters(destination="reading")
    assert letter["class"] == "policy"
    assert letter["reason"].startswith("1 of 3 instances held (")
    assert letter["reason"].endswith("; 2 delivered")
    assert "delivered, 1 held: dead letter (policy)" in site.relay.run("studies").stdout
    before = all_hashes(site.reading.files())
    site.configure(secondary_captures="send")
    try:
        planned = site.relay.run("dead", "replay", letter["id"], "--profile-now", "--dry-run", "--json")
        (plan,) = json.loads(planned.stdout)
        assert (plan["missing"], plan["instances"]) == (1, 3)
        assert site.relay.run("dead", "replay", letter["id"], "--profile-now").returncode == 0
        site.relay.comes_to_rest()
    finally:
        site.configure()
    arrived = all_hashes(site.reading.files())
    assert not site.letters(destination="reading")
    assert (len(before), len(arrived), len(site.reading.files())) == (2, 3, 3)
    assert before.items() <= arrived.items()
    assert not any(b"Test^Patient" in file.read_bytes() for file in site.reading.files())


def test_a_paused_destination_gets_nothing_until_it_is_resumed_and_no_try_is_counted(
    site: Site, tmp_path: Path
) -> None:
    assert site.relay.run("pause", "backup", "--for", "2h", "--why", "line is repaired").returncode == 0
    files = ct_study(tmp_path, 2, modality="US")
    site.relay.send(files)
    (unit,) = eventually(lambda: [it for it in site.relay.deliveries("backup") if it["reason"].startswith("paused")])
    assert (unit["state"], unit["tries"]) == ("waiting", 0)
    assert not site.backup.files()
    assert "line is repaired" in site.relay.run("status").stdout
    assert site.relay.run("resume", "backup").stdout == "backup goes on: 1 delivery\n"
    site.relay.comes_to_rest()
    assert hashes(site.backup.files()) == hashes(files)


def test_a_study_sent_again_arrives_whole_and_once_more(site: Site, tmp_path: Path) -> None:
    files = ct_study(tmp_path, 2, modality="US")
    site.relay.send(files)
    site.relay.comes_to_rest()
    (delivery,) = [it for it in site.relay.deliveries("backup") if it["at"] == max(
        other["at"] for other in site.relay.deliveries("backup"))]  # fmt: skip
    assert site.relay.run("resend", delivery["id"][:10], "--why", "they lost it").returncode == 0
    site.relay.comes_to_rest()
    eventually(lambda: len(site.backup.files()) == 4)
    assert hashes(site.backup.files()) == hashes(files)
    assert "ordered again by" in site.relay.run("show", delivery["id"]).stdout


def _make_secondary_capture(file: Path) -> None:
    ds = dcmread(file)
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    ds.ImageType = ["DERIVED", "SECONDARY"]
    ds.save_as(file, enforce_file_format=True)
