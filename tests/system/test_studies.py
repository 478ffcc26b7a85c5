"""Studies that need more than one try, one part, one worker or one person."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid

from tests.peers import StoreScp, store_scp
from tests.support import eventually
from tests.system.images import all_hashes, ct_study, hashes
from tests.system.relay import PROFILE, STOP_SECONDS, Relay, Row, destination, relay_in, route

_ROUTES = (
    route("archive", "archive", more='match = { Modality = "CT" }')
    + route("reading", "reading", more='match = { Modality = "CT" }\nprofile = "reading"')
    + route("picky", "picky", more='match = { Modality = "MR" }')
    + route("slow", "slow", more='match = { Modality = "XA" }')
)


@dataclass
class Site:
    """A relay whose routes go by modality: CT to archive and reading, MR to picky, XA to slow, others nowhere."""

    relay: Relay
    archive: StoreScp
    reading: StoreScp
    picky: StoreScp
    slow: StoreScp

    def configure(self, more: str = "") -> None:
        """Writes the configuration, with more routes."""
        self.relay.configure(
            destination("archive", self.archive.port)
            + destination("reading", self.reading.port, "deidentified_only = true")
            + destination("picky", self.picky.port)
            + destination("slow", self.slow.port, 'max_rate = "4MB/s"'),
            PROFILE + _ROUTES + more,
        )

    def dead(self, **wanted: str) -> list[Row]:
        """Dead letters with these facts, as `dead list --json` has them."""
        letters: list[Row] = json.loads(self.relay.run("dead", "list", "--json").stdout)
        return [letter for letter in letters if wanted.items() <= letter.items()]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, module_broker: str) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("studies")
    with (
        store_scp(folder, "--unique-filenames", ae_title="ARCHIVE") as archive,
        store_scp(folder, "--unique-filenames", ae_title="READING") as reading,
        store_scp(folder, "--unique-filenames", "--implicit", ae_title="PICKY", accept=()) as picky,
        store_scp(folder, "--unique-filenames", ae_title="SLOW") as slow,
        relay_in(folder / "relay", module_broker) as relay,
    ):
        here = Site(relay, archive, reading, picky, slow)
        here.configure()
        relay.start()
        yield here
        relay.stop()


def test_late_instances_are_delivered_once_and_the_first_ones_not_again(site: Site, tmp_path: Path) -> None:
    study = generate_uid()
    before = len(site.archive.files())
    first = ct_study(tmp_path / "first", 3, study=study)
    site.relay.send(first)
    site.relay.comes_to_rest()
    assert len(site.archive.files()) == before + 3
    late = ct_study(tmp_path / "late", 5, study=study)
    site.relay.send(late)
    site.relay.comes_to_rest()
    assert len(site.archive.files()) == before + 8
    assert hashes([*first, *late]).items() <= hashes(site.archive.files()).items()


def test_two_anonymizers_share_the_work_and_nothing_is_made_twice(site: Site, tmp_path: Path) -> None:
    before = len(site.reading.files())
    with _second_anonymizer(site.relay):
        for number in range(24):
            site.relay.send(ct_study(tmp_path / str(number), 2))
        site.relay.comes_to_rest(seconds=30)
        ours = site.relay.metrics()["anonymizer"]
    rendered = next(float(line.split()[-1]) for line in ours.splitlines() if line.startswith(_RENDERED))
    assert len(site.reading.files()) == before + 48
    assert {len(different) for different in all_hashes(site.reading.files()).values()} == {1}
    assert 0 < rendered < before + 48


_RENDERED = 'dcmrelay_instances_rendered_total{outcome="made",profile="reading"}'


@contextmanager
def _second_anonymizer(relay: Relay) -> Iterator[subprocess.Popen[bytes]]:
    """One more anonymizer beside that of `up`; afterwards told to stop, which it does by itself."""
    second = relay.start_worker("anonymizer")
    try:
        eventually(lambda: f"pid={second.pid}" in relay.log)
        yield second
    finally:
        second.terminate()
        code = second.wait(STOP_SECONDS)
    assert code == 0, relay.log


def test_a_study_that_no_route_wants_is_delivered_after_the_mend_and_a_replay(site: Site, tmp_path: Path) -> None:
    files = ct_study(tmp_path, 2, modality="US")
    site.relay.send(files)
    site.relay.comes_to_rest()
    (letter,) = site.dead(stage="route")
    assert (letter["class"], letter["source"]) == ("policy", "ct-1")
    assert "no route wants it" in letter["reason"]
    assert any("class policy (no route wants it" in problem for problem in site.relay.status()["problems"])
    site.configure(route("ultrasound", "archive", more='match = { Modality = "US" }'))
    site.relay.stop()
    site.relay.start()
    assert site.dead(stage="route") == [letter]
    replayed = site.relay.run("dead", "replay", letter["id"][:10], "--why", "route added")
    assert (replayed.returncode, replayed.stdout) == (0, "replayed: 1\n")
    site.relay.comes_to_rest()
    assert hashes(files).items() <= hashes(site.archive.files()).items()
    assert not site.dead(stage="route")
    assert "route added" in site.relay.run("show", letter["id"]).stdout


def test_what_a_destination_refuses_is_a_dead_letter_for_the_few_and_replay_sends_only_these(
    site: Site, tmp_path: Path
) -> None:
    files = ct_study(tmp_path, 3, modality="MR")
    _make_implicit(files[0])
    assert site.relay.run("send", "--source", "ct-1", *files).returncode == 0  # dcmsend would make it explicit again
    site.relay.comes_to_rest()
    (letter,) = site.dead(destination="picky")
    assert letter["class"] == "refused"
    assert letter["reason"] == (
        "2 of 3 instances refused (the destination does not accept "
        f"{CTImageStorage} in {ExplicitVRLittleEndian}; "
        'transcode = "lossless" at the destination sends it uncompressed); 1 delivered'
    )
    assert len(site.picky.files()) == 1
    with _more_tolerant(site.picky):
        assert site.relay.run("dead", "replay", "--destination", "picky").returncode == 0
        site.relay.comes_to_rest()
    assert len(site.picky.files()) == 3
    assert not site.dead(destination="picky")


@contextmanager
def _more_tolerant(scp: StoreScp) -> Iterator[None]:
    """The same receiver, but it takes every transfer syntax."""
    before, scp.options = scp.options, ("--accept-all", "--unique-filenames")
    scp.stop()
    scp.start()
    yield
    scp.options = before
    scp.stop()
    scp.start()


def _make_implicit(file: Path) -> None:
    ds = dcmread(file)
    ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    ds.save_as(file, enforce_file_format=True, implicit_vr=True, little_endian=True)


def test_a_discarded_dead_letter_is_not_sent_and_nobody_is_needed_for_it(site: Site, tmp_path: Path) -> None:
    site.relay.send(ct_study(tmp_path, 2, modality="NM"))
    site.relay.comes_to_rest()
    (letter,) = site.dead(stage="route")
    discarded = site.relay.run("dead", "discard", letter["id"], "--why", "phantom")
    assert (discarded.returncode, discarded.stdout) == (0, "discarded: 1\n")
    assert not site.dead(stage="route")
    assert [part["state"] for part in site.relay.studies() if part["part"] == letter["id"]] == ["discarded"]


def test_a_stop_in_mid_send_is_quick_counts_no_fault_and_the_next_start_goes_on(site: Site, tmp_path: Path) -> None:
    files = ct_study(tmp_path, 16, size=512, modality="XA")
    site.relay.send(files)
    eventually(lambda: len(site.slow.files()) >= 3)
    took = site.relay.stop()
    (delivery,) = site.relay.deliveries("slow")
    print(f"stopped in mid send in {took:.1f} s, {delivery['delivered']} of 16 instances on record")
    assert (delivery["state"], delivery["tries"], delivery["reason"]) == ("waiting", 0, "")
    assert 3 <= delivery["delivered"] < 16
    site.relay.start()
    site.relay.comes_to_rest()
    assert [row["outcome"] for row in site.relay.deliveries("slow")] == ["delivered"]
    assert hashes(files) == {uid: one for uid, (one,) in all_hashes(site.slow.files()).items()}
    assert len(site.slow.files()) == 16
    (story,) = json.loads(site.relay.run("show", site.relay.deliveries("slow")[0]["id"], "--json").stdout)
    assert not [record for one in story["deliveries"] for record in one["records"] if record["faults"]]
