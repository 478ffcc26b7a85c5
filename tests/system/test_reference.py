"""The reference configuration, and a relay that runs with it, with DCMTK's tools as peers: the four scenarios."""

import json
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from pydicom import dcmread

from tests.peers import StoreScp, store_scp
from tests.support import eventually
from tests.system.images import ct_study, hashes
from tests.system.reference import REFERENCE, copy_for_test
from tests.system.relay import Relay, relay_in

pytestmark = pytest.mark.skipif(not REFERENCE.exists(), reason=f"{REFERENCE} is not there")

NOON = datetime(2026, 3, 4, 12, tzinfo=ZoneInfo("Europe/Lisbon"))  # a Wednesday
PSEUDONYMS = ("PatientID", "PatientName", "AccessionNumber")


@dataclass
class Hospital:
    """A relay with a copy of the reference configuration, and its destinations."""

    relay: Relay
    archive: StoreScp
    day_reading: StoreScp
    research: StoreScp
    night_reading: StoreScp


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory, module_broker: str) -> Iterator[Hospital]:
    folder = tmp_path_factory.mktemp("reference")
    with (
        store_scp(folder, ae_title="ARCHIVE") as archive,
        store_scp(folder, ae_title="DAYREAD") as day_reading,
        store_scp(folder, ae_title="RESEARCH") as research,
        store_scp(folder, ae_title="NIGHTREAD") as night_reading,
        relay_in(folder / "relay", module_broker) as relay,
    ):
        services = {"day-reading": day_reading.port, "night-reading": night_reading.port}
        ports = {"archive": archive.port, "research": research.port, **services}
        text = copy_for_test(REFERENCE.read_text(encoding="utf-8"), port=relay.port, destinations=ports)
        relay.config.write_text(text, encoding="utf-8")
        relay.set_clock(NOON)
        relay.start()
        yield Hospital(relay, archive, day_reading, research, night_reading)
        relay.stop()
    shutil.rmtree(folder)


def test_the_reference_configuration_passes_check(tmp_path: Path) -> None:
    with relay_in(tmp_path) as relay:
        shutil.copy(REFERENCE, relay.config)
        checked = relay.run("check")
    assert checked.returncode == 0
    assert checked.stdout.splitlines()[-1].endswith(f"3 sources, 4 destinations, 3 routes, data in {relay.data}")
    assert not relay.data.exists()


def test_a_study_to_the_old_address_reaches_the_archive_with_what_the_edit_changes(
    hospital: Hospital, tmp_path: Path
) -> None:
    files = ct_study(tmp_path, 3)
    before = {path: path.stat().st_mtime for path in hospital.archive.files()}
    hospital.relay.send(files, "CONSOLE", called="OLDPACS")
    hospital.relay.comes_to_rest()
    originals = [dcmread(file) for file in files]
    edited = [dcmread(file) for file in hospital.archive.files() if file not in before]
    assert len(edited) == 3
    assert {ds.InstitutionName for ds in edited} == {"Hospital Example"}
    assert {ds.AccessionNumber for ds in edited} == {f"HX{ds.AccessionNumber}" for ds in originals}
    assert all("PatientComments" not in ds for ds in edited)
    assert {ds.StudyInstanceUID for ds in edited} == {ds.StudyInstanceUID for ds in originals}
    assert not {ds.SOPInstanceUID for ds in edited} & {ds.SOPInstanceUID for ds in originals}
    assert {ds.PixelData for ds in edited} == {ds.PixelData for ds in originals}


def test_a_ct_study_without_a_patient_id_waits_for_a_person(hospital: Hospital, tmp_path: Path) -> None:
    (file,) = ct_study(tmp_path, 1)
    ds = dcmread(file)
    ds.PatientID = ""
    ds.save_as(file)
    before = hashes(hospital.day_reading.files())
    hospital.relay.send([file], "CT1")
    hospital.relay.comes_to_rest()
    (part,) = [it for it in hospital.relay.studies() if it["state"].startswith("dead letter")]
    assert (part["source"], part["deliveries"]) == ("ct-1", [])
    assert "check 'patient-id': PatientID has no value" in hospital.relay.run("show", part["part"]).stdout
    assert hashes(hospital.day_reading.files()) == before


def test_a_ct_study_is_de_identified_for_the_reading_service(hospital: Hospital, tmp_path: Path) -> None:
    files = ct_study(tmp_path, 3)
    hospital.relay.send(files, "CT1")
    hospital.relay.comes_to_rest()
    assert len(hospital.day_reading.files()) == 3
    originals, clean = [dcmread(file) for file in files], [dcmread(file) for file in hospital.day_reading.files()]
    assert {ds.PatientIdentityRemoved for ds in clean} == {"YES"}
    assert {(ds.InstitutionName, ds.StudyDate) for ds in clean} == {("HX", "20260304")}
    assert all(re.fullmatch("HX[A-Z2-7]{12}", str(ds[word].value)) for ds in clean for word in PSEUDONYMS)
    assert not {ds.SOPInstanceUID for ds in clean} & {ds.SOPInstanceUID for ds in originals}
    assert {ds.PixelData for ds in clean} == {ds.PixelData for ds in originals}
    assert len({ds.StudyInstanceUID for ds in clean}) == 1


def test_300_instances_reach_the_primary_while_the_optional_destination_is_down_and_then_that_too(
    hospital: Hospital, tmp_path: Path
) -> None:
    hospital.research.stop()
    expected = hashes(files := ct_study(tmp_path, 300, size=512))
    begun = time.monotonic()
    hospital.relay.send(files, "MR1")
    received = time.monotonic()
    hospital.relay.comes_to_rest("archive", 30)
    delivered = time.monotonic()
    print(f"300 CT: received at {300 / (received - begun):.0f}/s, at the primary {delivered - received:.1f} s later")
    assert _outcomes(hospital, "archive", 300) == ["delivered"]
    assert _outcomes(hospital, "research", 0) == [""]
    assert expected.items() <= hashes(hospital.archive.files()).items()
    hospital.research.start()
    begun = time.monotonic()
    hospital.relay.comes_to_rest("research", 30)
    print(f"300 CT: at the optional destination {time.monotonic() - begun:.1f} s after it came up")
    assert _outcomes(hospital, "research", 300) == ["delivered"]
    assert hashes(hospital.research.files()) == expected


def _outcomes(hospital: Hospital, destination: str, delivered: int) -> list[str]:
    """Outcomes of the deliveries to a destination that brought so many instances there."""
    found = [row for part in hospital.relay.studies() if part["source"] == "mr-1" for row in part["deliveries"]]
    return [row["outcome"] for row in found if row["destination"] == destination and row["delivered"] == delivered]


def test_a_study_goes_to_who_is_on_duty_and_its_later_images_follow_it(hospital: Hospital, tmp_path: Path) -> None:
    at_noon = ct_study(tmp_path / "noon", 2)
    study = dcmread(at_noon[0]).StudyInstanceUID
    before = _instances(hospital.day_reading)
    hospital.relay.send(at_noon, "CT1")
    hospital.relay.comes_to_rest("day-reading")
    hospital.relay.set_clock(NOON.replace(hour=21))
    hospital.relay.send(ct_study(tmp_path / "late", 1, study=study, first=3), "CT1")
    hospital.relay.send(ct_study(tmp_path / "night", 3), "CT1")
    hospital.relay.comes_to_rest("night-reading")
    hospital.relay.comes_to_rest("day-reading")
    assert len(_instances(hospital.day_reading) - before) == 3
    assert len(_instances(hospital.night_reading)) == 3
    assert "outside-reading: night-reading is on duty until Thu 2026-03-05 08:00" in hospital.relay.run("status").stdout


def test_a_service_that_is_down_is_left_for_its_backup_after_ten_minutes_on_the_clock(
    hospital: Hospital, tmp_path: Path
) -> None:
    before = _instances(hospital.night_reading)
    hospital.relay.set_clock(NOON + timedelta(days=1))
    hospital.day_reading.stop()
    hospital.relay.send(ct_study(tmp_path, 2), "CT1")
    eventually(lambda: hospital.relay.status()["destinations"][1]["last_reason"], 30)
    assert _instances(hospital.night_reading) == before
    hospital.relay.set_clock(NOON + timedelta(days=1, minutes=11))
    eventually(lambda: len(_instances(hospital.night_reading) - before) == 2, 60)
    hospital.relay.comes_to_rest()
    hospital.day_reading.start()
    newest = hospital.relay.studies()[0]
    assert [row["outcome"] for row in newest["deliveries"]] == ["handed_over", "delivered"]


def _instances(service: StoreScp) -> set[str]:
    return {str(dcmread(file, stop_before_pixels=True).SOPInstanceUID) for file in service.files()}


def test_what_explain_says_is_what_the_relay_then_does(hospital: Hospital, tmp_path: Path) -> None:
    # By day the circuit that the test above opened would have the study handed over at once.
    hospital.relay.set_clock((NOON + timedelta(days=1)).replace(hour=21))
    asked = {
        "ct-1": ("CT1", "DCMRELAY", "CT"),
        "mr-1": ("MR1", "DCMRELAY", "MR"),
        "old-console": ("CONSOLE", "OLDPACS", "US"),
    }
    before, said = {part["part"] for part in hospital.relay.studies()}, {}
    for source, (calling, called, modality) in asked.items():
        files = ct_study(tmp_path / source, 1, size=16, modality=modality)
        answer = hospital.relay.run("explain", *files, "--source", source, "--called", called, "--json")
        assert answer.returncode == 0, answer.stderr
        said[source] = {(it["route"], name) for it in json.loads(answer.stdout)["routes"] for name in it["chosen"]}
        hospital.relay.send(files, calling, called=called)
    hospital.relay.comes_to_rest()
    parts = [part for part in hospital.relay.studies() if part["part"] not in before]
    done = {it["source"]: {(to["route"], to["destination"]) for to in it["deliveries"]} for it in parts}
    assert done == said
    assert sum(map(len, said.values())) == 4
