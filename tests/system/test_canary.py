"""A patient called CANARY goes every way through the relay, failures included, and is found only where it must be."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from shared.dimse import request
from shared.headers import read_meta
from tests.peers import StoreScp, store_scp
from tests.system.images import ct_instance, uid_of
from tests.system.listening import Overhearing, overheard
from tests.system.relay import PROFILE, Relay, destination, relay_in, route

CANARY = b"CANARY"
ROUTES = (
    PROFILE
    + route("plain", "archive", "picky", more='match = { Modality = ["CT", "SR"] }')
    + route("clean", "reading", more='match = { Modality = ["CT", "SR"] }\nprofile = "reading"')
)


@dataclass
class Aviary:
    """A relay through which canaries have gone: to everybody, and into three kinds of dead letters."""

    relay: Relay
    archive: StoreScp
    reading: StoreScp
    picky: StoreScp
    overhearing: Overhearing


@pytest.fixture(scope="module")
def aviary(tmp_path_factory: pytest.TempPathFactory, module_broker: str) -> Iterator[Aviary]:
    folder = tmp_path_factory.mktemp("aviary")
    with (
        store_scp(folder, ae_title="ARCHIVE") as archive,
        store_scp(folder, ae_title="READING") as reading,
        store_scp(folder, "--implicit", ae_title="PICKY", accept=()) as picky,
        relay_in(folder / "relay", module_broker) as relay,
        overheard(module_broker) as overhearing,
    ):
        here = Aviary(relay, archive, reading, picky, overhearing)
        relay.configure(
            destination("archive", archive.port)
            + destination("picky", picky.port)
            + destination("reading", reading.port, "deidentified_only = true"),
            ROUTES,
        )
        relay.start()
        _fly(here, folder / "source")
        yield here


def _fly(aviary: Aviary, folder: Path) -> None:
    """One study for everybody; one that no route wants; one instance that no parser can read."""
    folder.mkdir()
    study, series = generate_uid(), generate_uid()
    aviary.relay.send([_saved(folder, _planted(study, series, number)) for number in (1, 2)])
    unwanted = _planted(generate_uid(), generate_uid(), 3)
    unwanted.Modality = "US"
    aviary.relay.send([_saved(folder, unwanted)])
    _send_unreadable(aviary.relay.port, _saved(folder, _planted(generate_uid(), generate_uid(), 4)))
    aviary.relay.comes_to_rest()


def _saved(folder: Path, ds: Dataset) -> Path:
    path = folder / f"{ds.InstanceNumber}.dcm"
    ds.preamble = b"CANARY-PREAMBLE".ljust(128)
    ds.file_meta.PrivateInformationCreatorUID = generate_uid()
    ds.file_meta.PrivateInformation = b"CANARY-META "
    ds.save_as(path, enforce_file_format=True)
    return path


def _planted(study: str, series: str, number: int) -> Dataset:
    """A CT with a canary in text of each kind: at the top, nested, private, unknown, and behind the pixels."""
    ds = ct_instance(study, series, number)
    ds.PatientName, ds.PatientID = "CANARY^PATIENT", "CANARY-ID"
    ds.AccessionNumber, ds.PatientAddress = "CANARY-ACC", "CANARY STREET 1"
    ds.StudyDescription, ds.PatientComments = "CANARY study", "CANARY comments"
    ds.InstitutionName, ds.ReferringPhysicianName = "CANARY HOSPITAL", "CANARY^DOCTOR"
    inner = Dataset()
    inner.PatientID, inner.RequestedProcedureDescription = "CANARY-NESTED", "CANARY nested"
    outer = Dataset()
    outer.ScheduledProcedureStepDescription = "CANARY outer"
    outer.OtherPatientIDsSequence = [inner]
    ds.RequestAttributesSequence = [outer]
    block = ds.private_block(0x0019, "CANARY CREATOR", create=True)
    block.add_new(0x01, "LO", "CANARY private")
    block.add_new(0x02, "UN", b"CANARY unknown")
    ds.add(DataElement(0xFFFCFFFC, "OB", b"CANARY-BEHIND-THE-PIXELS"))
    return ds


def _send_unreadable(port: int, file: Path) -> None:
    """Sends an instance with a sequence that says that it is longer than the data set; DCMTK would not send it."""
    head, sequence, rest = file.read_bytes().partition(b"\x40\x00\x75\x02SQ\0\0")
    file.write_bytes(head + sequence + b"\xf0\xff\xff\0" + rest[4:])
    offset = read_meta(file)[0]
    with request(
        "127.0.0.1", port,
        calling_ae_title="CT1", called_ae_title="DCMRELAY", contexts=[(CTImageStorage, (ExplicitVRLittleEndian,))],
    ) as association:  # fmt: skip
        context = association.accepted_context(CTImageStorage, ExplicitVRLittleEndian)
        assert context is not None
        status = association.store(
            file, offset, file.stat().st_size - offset,
            context_id=context, sop_class_uid=CTImageStorage, sop_instance_uid=uid_of(file),
        )  # fmt: skip
    assert status == 0


def test_the_plain_route_delivers_the_canaries(aviary: Aviary) -> None:
    assert len(aviary.archive.files()) == 3
    assert all(file.read_bytes().count(CANARY) >= 14 for file in aviary.archive.files())


def test_no_canary_leaves_in_a_de_identified_file(aviary: Aviary) -> None:
    assert len(aviary.reading.files()) == 2
    uids = [content.split(b"\0")[0] for content in _uids_of(aviary.archive.files())]
    for file in aviary.reading.files():
        content = file.read_bytes()
        assert CANARY not in content
        assert not [uid for uid in uids if uid in content]


def test_the_dead_letters_say_why_without_naming_anybody(aviary: Aviary) -> None:
    letters = aviary.relay.status()["dead_letters"]
    assert sorted((letter["class"], letter["destination"]) for letter in letters) == [
        ("invalid", "reading"), ("policy", ""), ("refused", "picky"), ("refused", "picky"),
    ]  # fmt: skip
    told = [aviary.relay.run("dead", "list"), aviary.relay.run("status"), aviary.relay.run("studies", "--json")]
    told += [aviary.relay.run("dead", "show", letter["id"]) for letter in letters]
    assert all("CANARY" not in said.stdout + said.stderr for said in told)


def test_no_canary_is_in_logs_or_metrics(aviary: Aviary) -> None:
    assert "study_complete" in aviary.relay.log
    assert "CANARY" not in aviary.relay.log
    metrics = aviary.relay.metrics()
    assert set(metrics) == {
        "up", "ingress", "router", "anonymizer", "janitor", "ledger",
        "sender archive", "sender picky", "sender reading",
    }  # fmt: skip
    assert all("dcmrelay_" in text and "CANARY" not in text for text in metrics.values())


def test_no_canary_is_in_a_message(aviary: Aviary) -> None:
    heard = aviary.overhearing.messages()
    assert {"study.complete", "study.routed", "study.delivered", "study.failed", "render", "send.archive"} <= {
        key for key, _ in heard
    }
    words = ("invalid", "policy", "refused")
    dead = [message for word in words for message in aviary.overhearing.messages(f"dcmrelay.dead.{word}")]
    assert len(dead) == 4
    assert not [text for _, text in (*heard, *dead) if "CANARY" in text]


def test_the_data_folder_holds_canaries_only_in_instances_as_received_and_the_ledger(aviary: Aviary) -> None:
    files = [path for path in aviary.relay.data.rglob("*") if path.is_file() and "ledger.sqlite" not in path.name]
    assert not [path for path in files if "CANARY" in str(path.relative_to(aviary.relay.data)).upper()]
    holding = {path.parent.name for path in files if CANARY in path.read_bytes()}
    assert holding == {"instances"}


def test_the_ledger_holds_canaries_only_among_the_patients(aviary: Aviary) -> None:
    with closing(sqlite3.connect(aviary.relay.data / "ledger.sqlite")) as database:
        tables = [name for (name,) in database.execute("select name from sqlite_master where type = 'table'")]
        held = {name: str(database.execute(f"select * from {name}").fetchall()) for name in tables}
    assert {"entries", "parts", "deliveries", "days", "patients"} <= held.keys()
    assert {name for name, text in held.items() if "CANARY" in text} == {"patients"}


def test_who_searches_for_a_canary_is_answered_and_recorded_without_the_name(aviary: Aviary) -> None:
    found = aviary.relay.run("studies", "--patient", "canary pat", "--json")
    assert len(json.loads(found.stdout)) == 3
    assert "CANARY" not in found.stdout + found.stderr
    told = aviary.relay.run("ledger", "log", "--json")
    assert "searched" in told.stdout
    assert "canary" not in (told.stdout + told.stderr).lower()
    (search,) = json.loads(aviary.relay.run("ledger", "log", "--searched", "CANARY^PAT", "--json").stdout)
    assert (search["kind"], search["content"]["found"]) == ("searched", 3)


def _uids_of(files: list[Path]) -> Iterator[bytes]:
    """The values of SOP, Study and Series Instance UID and Frame of Reference UID, as they lie in the files."""
    for file in files:
        content = file.read_bytes()
        for tag in (b"\x08\x00\x18\x00UI", b"\x20\x00\x0d\x00UI", b"\x20\x00\x0e\x00UI", b"\x20\x00\x52\x00UI"):
            value = content.partition(tag)[2]
            yield value[2 : 2 + int.from_bytes(value[:2], "little")]
