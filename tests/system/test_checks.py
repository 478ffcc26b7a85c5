"""A real relay with checks: what fails waits and is named without its values, what only warns goes on."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom import dcmread

from tests.peers import StoreScp, store_scp
from tests.system.images import ct_study, hashes
from tests.system.relay import Relay, Row, destination, relay_in, route

CANARY = "CANARY-4711"
CHECKS = """
[[check]]
name = "patient"
pattern = { PatientID = "^([0-9]{5,10}|UNK.*)$" }
one_patient_per_study = true
[[check]]
name = "station"
require = ["StationName"]
on_failure = "warn"
"""
METRIC = 'dcmrelay_check_failures_total{{check="{check}",outcome="{outcome}"}} {count}.0'


@dataclass
class Site:
    """A relay with checks in front of one destination."""

    relay: Relay
    archive: StoreScp

    def configure(self, checks: str) -> None:
        """Writes the configuration."""
        self.relay.configure(destination("archive", self.archive.port), route("all", "archive") + checks)
        text = self.relay.config.read_text(encoding="utf-8")
        self.relay.config.write_text(text.replace("[[source]]", '[[source]]\non_changed = "hold"'), encoding="utf-8")

    def letters(self) -> list[Row]:
        """Its dead letters."""
        found: list[Row] = json.loads(self.relay.run("dead", "list", "--json").stdout)
        return found

    def counted(self, check: str, outcome: str, count: int) -> bool:
        """Whether the router counted so many failures of a check."""
        return METRIC.format(check=check, outcome=outcome, count=count) in self.relay.metrics()["router"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, module_broker: str) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("checks")
    with store_scp(folder, ae_title="ARCHIVE") as archive, relay_in(folder / "relay", module_broker) as relay:
        here = Site(relay, archive)
        here.configure(CHECKS)
        relay.start()
        yield here


def test_a_part_waits_by_its_check_is_named_without_its_value_and_goes_when_the_check_is_corrected(
    site: Site, tmp_path: Path
) -> None:
    files = ct_study(tmp_path, 3)
    for file in files[1:]:
        ds = dcmread(file)
        ds.PatientID, ds.PatientName = CANARY, f"{CANARY}^NAME"
        ds.save_as(file)
    site.relay.send(files[1:])
    site.relay.comes_to_rest()
    (letter,) = site.letters()
    reason = "check 'patient': PatientID does not fit its pattern in 2 of the instances"
    assert (letter["class"], letter["reason"]) == ("invalid", reason)
    assert (site.counted("patient", "held", 1), site.archive.files()) == (True, [])
    told = [site.relay.run(*words).stdout for words in (("status",), ("dead", "list"), ("dead", "show", letter["id"]))]
    assert all("invalid" in text for text in told[1:])
    assert not any(CANARY in text for text in (*told, site.relay.log, *site.relay.metrics().values()))
    site.configure(CHECKS.replace("UNK", "UNK|CANARY"))
    site.relay.run("dead", "replay", letter["id"], "--why", "their numbers begin so")
    site.relay.comes_to_rest()
    assert hashes(site.archive.files()) == hashes(files[1:])
    assert not any(CANARY in text for text in (site.relay.log, *site.relay.metrics().values()))
    # Of the same study, with the number of another patient: the study is known by what was released.
    site.relay.send(files[:1])
    site.relay.comes_to_rest()
    (letter,) = site.letters()
    assert "PatientID is of more than one patient for the study" in letter["reason"]
    assert hashes(site.archive.files()) == hashes(files[1:])


def test_a_person_corrects_what_a_check_stopped_and_the_archive_gets_the_new_value_and_nothing_else_new(
    site: Site, tmp_path: Path
) -> None:
    files, before = ct_study(tmp_path, 3), set(site.archive.files())
    for file in files:
        ds = dcmread(file)
        ds.PatientID = "WRONG"
        ds.save_as(file)
    site.relay.send(files)
    site.relay.comes_to_rest()
    (letter,) = [it for it in site.letters() if "does not fit its pattern in 3" in it["reason"]]
    words = ("dead", "replay", letter["id"], "--set", "PatientID=47114711")
    assert "changes PatientID in 3 of 3" in site.relay.run(*words, "--dry-run", "--json").stdout
    assert site.relay.run(*words, "--why", "mistyped at the console").returncode == 0
    site.relay.comes_to_rest()
    originals = {ds.SOPInstanceUID: ds for ds in map(dcmread, files)}
    arrived = [dcmread(file) for file in site.archive.files() if file not in before]
    assert {ds.SOPInstanceUID for ds in arrived} == originals.keys()
    for ds in arrived:
        assert ds.PatientID == "47114711"
        ds.PatientID = "WRONG"
        assert ds == originals[ds.SOPInstanceUID]
    story = site.relay.run("show", letter["id"]).stdout
    assert all(text in story for text in ("PatientID: mistyped at the console", "archive (corrected)"))
    assert not any("47114711" in text for text in (story, site.relay.log, *site.relay.metrics().values()))


def test_a_part_goes_on_with_a_warning_that_is_counted_and_told(site: Site, tmp_path: Path) -> None:
    files = ct_study(tmp_path, 1)
    site.relay.send(files)
    site.relay.comes_to_rest()
    assert hashes(files).items() <= hashes(site.archive.files()).items()
    story = site.relay.run("show", str(dcmread(files[0]).StudyInstanceUID)).stdout
    assert "check 'station': StationName has no value in 1 of the instances" in story
    assert 'outcome="warned"' in site.relay.metrics()["router"]
    assert not site.counted("station", "warned", 0)


def test_other_content_under_a_known_uid_waits_when_it_names_another_order_and_both_are_kept(
    site: Site, tmp_path: Path
) -> None:
    files = ct_study(tmp_path, 2)
    site.relay.send(files)
    site.relay.comes_to_rest()
    for file in files:
        ds = dcmread(file)
        ds.PixelData = bytes(len(ds.PixelData))
        if file == files[1]:
            ds.AccessionNumber = CANARY
        ds.save_as(file)
    site.relay.send(files[:1])
    site.relay.comes_to_rest()
    assert hashes(files[:1]).items() <= hashes(site.archive.files()).items()
    site.relay.send(files[1:])
    site.relay.comes_to_rest()
    letter = site.letters()[-1]
    assert letter["class"] == "invalid"
    assert "AccessionNumber is not what came before under the same SOP Instance UID" in letter["reason"]
    shown = site.relay.run("dead", "show", letter["id"]).stdout
    assert not any(CANARY in text for text in (shown, site.relay.log, *site.relay.metrics().values()))
    site.relay.run("dead", "discard", letter["id"], "--why", "the old order is right")
    site.relay.comes_to_rest()
    assert hashes(files[1:]).items().isdisjoint(hashes(site.archive.files()).items())
