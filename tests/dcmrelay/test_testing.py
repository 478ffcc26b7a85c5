"""`test`: each thing that can stand in the way of a study, with a real peer that has it, is named with its remedy."""

import json
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage, SecondaryCaptureImageStorage

from dcmrelay.testing import steps
from dcmrelay.trial_instance import encoded, trial_instance
from dcmrelay.trial_way import followed, way
from shared.config import load
from shared.dimse import Timeouts
from shared.dimse.terms import CALLED_NOT_RECOGNIZED, CALLING_NOT_RECOGNIZED, TEMPORARY_CONGESTION, Rejection
from shared.outcomes import Done, Held, Outcome, Paused
from tests.certificates import authority, dcmtk_tls
from tests.consumers.sender.peer import Peer, listening
from tests.dcmrelay.relays import Command, Prepared, Said, prepared, write_config
from tests.peers import free_port, orthanc, run_tool, store_scp
from tests.shared.notices.servers import mail_server

Lines = list[tuple[str, str]]


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    return tmp_path_factory.mktemp("peers")


def lines(said: Said) -> Lines:
    """What each step said: `ok` or `FAIL`, and its name."""
    shown = (line.split(":")[0].split(None, 1) for line in (said.out + said.err).splitlines())
    return [(word, name) for word, name in shown]


def test_a_destination_that_is_well_takes_an_image_of_nobody_and_is_said_to_be_well(
    tmp_path: Path, command: Command
) -> None:
    with store_scp(tmp_path) as scp:
        write_config(tmp_path, destination_port=scp.port)
        said, again = command("test", "archive"), command("test", "archive")
        images = [dcmread(path) for path in scp.files()]
    assert (said.code, said.err) == (0, "")
    assert lines(said) == [
        ("ok", "TCP"), ("ok", "association"), ("ok", "presentation contexts"), ("ok", "C-ECHO"), ("ok", "C-STORE"),
    ]  # fmt: skip
    assert "an image of DCMRELAY^TEST" in said.out
    assert again.code == 0
    assert {(str(ds.PatientName), ds.PatientIdentityRemoved) for ds in images} == {("DCMRELAY^TEST", "YES")}
    assert len({ds.SOPInstanceUID for ds in images}) == 1


def test_orthanc_takes_it_and_no_image_is_sent_when_none_shall_be(tmp_path: Path, command: Command) -> None:
    with orthanc(tmp_path, "ARCHIVE", DicomCheckCalledAet=True) as archive:
        path = write_config(tmp_path, destination_port=archive.port)
        asked = command("test", "archive", "--no-store", "--json")
        assert archive.instances() == []
        said, wrong = command("test", "archive"), command("test", "reading")
        assert len(archive.instances()) == 1
        path.write_text(path.read_text(encoding="utf-8").replace('"ARCHIVE"', '"ELSEWHERE"'), encoding="utf-8")
    facts = json.loads(asked.out)
    assert facts["ok"]
    assert [step["name"] for step in facts["steps"]][-1] == "C-ECHO"
    assert (said.code, wrong.code) == (0, 1)
    assert "FAIL association" in wrong.err
    assert "it is not called READING" in wrong.err


@pytest.mark.parametrize(
    ("rejection", "remedy"),
    [
        (CALLING_NOT_RECOGNIZED, "the people there must add DCMRELAY with this machine's address"),
        (CALLED_NOT_RECOGNIZED, "it is not called ARCHIVE"),
        (TEMPORARY_CONGESTION, "it may be busy"),
    ],
)
def test_a_refused_association_says_what_has_to_be_changed_and_where(
    tmp_path: Path, command: Command, rejection: Rejection, remedy: str
) -> None:
    with listening(Peer(rejection=rejection)) as peer:
        write_config(tmp_path, destination_port=peer.port)
        said = command("test", "archive")
    assert said.code == 1
    assert lines(said) == [("ok", "TCP"), ("FAIL", "association")]
    assert remedy in said.err


def test_an_image_that_is_refused_fails_with_the_status(tmp_path: Path, command: Command) -> None:
    with listening(Peer(script=[0xA700])) as peer:
        write_config(tmp_path, destination_port=peer.port)
        said = command("test", "archive")
    assert said.code == 1
    assert said.err.startswith("FAIL C-STORE: an image of DCMRELAY^TEST: ")
    assert "A700" in said.err


def test_nobody_listening_is_told_from_a_peer_that_is_silent(tmp_path: Path, command: Command) -> None:
    write_config(tmp_path, destination_port=free_port())
    nobody = command("test", "archive")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        config = load(write_config(tmp_path, destination_port=silent.getsockname()[1]))
        quick = Timeouts(connect=1, associate=0.2, response=1, pdu=1)
        taken = [(it.name, it.ok, it.said) for it in steps(config, config.destinations[0], store=True, timeouts=quick)]
    assert lines(nobody) == [("FAIL", "TCP")]
    assert "check host and port" in nobody.err
    assert [(name, ok) for name, ok, _ in taken] == [("TCP", True), ("association", False)]
    assert "whether it wants TLS" in taken[-1][2]


def test_tls_that_fails_is_named_as_tls_and_one_that_is_well_has_a_line(
    tmp_path: Path, scratch: Path, command: Command
) -> None:
    ca, other = authority(scratch / "ca"), authority(scratch / "other")
    archive, ours = ca.issue("archive", "IP:127.0.0.1"), ca.issue("relay")
    with store_scp(tmp_path, *dcmtk_tls(ca, archive)) as scp:
        path = write_config(tmp_path, destination_port=scp.port)
        text = path.read_text(encoding="utf-8")
        said = {}
        for name, trusted in (("well", ca), ("wrong", other)):
            files = f'ca = "{trusted.ca}", certificate = "{ours.certificate}", key = "{ours.key}"'
            tls = f'"ARCHIVE"\ntls = {{ name = "127.0.0.1", {files} }}'
            path.write_text(text.replace('"ARCHIVE"', tls), encoding="utf-8")
            said[name] = command("test", "archive", "--no-store")
    assert (said["well"].code, ("ok", "TLS") in lines(said["well"])) == (0, True)
    assert lines(said["wrong"]) == [("ok", "TCP"), ("FAIL", "TLS")]
    assert "check name, ca, certificate and key" in said["wrong"].err


@pytest.mark.parametrize("sop_class", [CTImageStorage, MRImageStorage, SecondaryCaptureImageStorage])
def test_the_image_of_nobody_is_what_its_sop_class_says(tmp_path: Path, sop_class: str) -> None:
    ds = trial_instance("DCMRELAY", "archive", sop_class)
    assert encoded(ds, ExplicitVRLittleEndian) == encoded(
        trial_instance("DCMRELAY", "archive", sop_class), ExplicitVRLittleEndian
    )
    ds.ensure_file_meta()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.save_as(tmp_path / "image.dcm", enforce_file_format=True)
    said = run_tool("dciodvfy", tmp_path / "image.dcm")
    assert "Image" in said.stderr, "dciodvfy names the IOD it judges by"
    assert [line for line in said.stderr.splitlines() if line.startswith("Error")] == []


def test_a_message_goes_through_a_notifier_or_it_is_said_why_not(tmp_path: Path, command: Command) -> None:
    with mail_server() as server:
        table = (
            f'[[notify]]\nname = "page"\nkind = "smtp"\non = ["dead_letter"]\nhost = "127.0.0.1"\n'
            f'port = {server.port}\nsecurity = "none"\nfrom = "r@h.example"\nto = ["p@h.example"]\n'
        )
        path = write_config(tmp_path, more=table)
        said = command("test", "--notify", "page")
    path.write_text(path.read_text(encoding="utf-8").replace(str(server.port), str(free_port())), encoding="utf-8")
    away, unknown = command("test", "--notify", "page", "--json"), command("test", "--notify", "pager")
    assert (said.code, said.out) == (0, "notifier page: took a test message; see that it arrived\n")
    assert "a test of the notifier page" in server.bodies[0]
    assert (away.code, json.loads(away.out)["ok"]) == (1, False)
    assert unknown.err == "dcmrelay: there is no notifier 'pager' in the configuration; it has: page\n"


def test_a_way_through_the_relay_ends_where_nobody_listens_or_another_relay_does(
    tmp_path: Path, command: Command
) -> None:
    prepared(tmp_path, port=free_port())
    nobody, unknown = command("test", "--source", "ct-1"), command("test", "--source", "ct-9")
    with store_scp(tmp_path, ae_title="DCMRELAY") as other:
        config = load(write_config(tmp_path, port=other.port))
        taken = [(it.name, it.ok, it.said) for it in way(config, "ct-1", timedelta(0))]
        assert len(other.files()) == 1
    assert (nobody.code, nobody.err.startswith("FAIL ingress: ")) == (1, True)
    assert "`dcmrelay up`" in nobody.err
    assert unknown.err == "dcmrelay: there is no source 'ct-9' in the configuration; it has: ct-1\n"
    assert [(name, ok) for name, ok, _ in taken] == [("ingress", True), ("part", False)]
    assert "is another relay listening there?" in taken[-1][2]


@pytest.mark.parametrize(
    ("outcome", "ok", "said"),
    [
        (Done(outcome="delivered"), True, "as received, delivered"),
        (
            Held("gave up: away", "unreachable"),
            False,
            "dead letter (unreachable) (gave up: away): `dcmrelay test archive`",
        ),
        (Paused("paused by ann", datetime.max.replace(tzinfo=UTC)), False, "waiting, not before 9999-12-31"),
    ],
)
def test_what_becomes_of_it_at_a_destination_is_one_line(
    relay: Prepared, outcome: Outcome, ok: bool, said: str
) -> None:
    part = relay.part("1.2.3.77")
    (delivery,) = relay.routed(part, "archive")
    relay.settle(delivery, outcome)
    steps_taken = list(followed(relay.spool, "1.2.3.77", timedelta(0)))
    assert [(it.name, it.ok) for it in steps_taken] == [("part", True), ("route", True), ("archive", ok)]
    assert said in steps_taken[-1].said


def test_a_part_that_no_route_wants_ends_the_way(relay: Prepared) -> None:
    relay.held(relay.part("1.2.3.77"))
    *_, last = followed(relay.spool, "1.2.3.77", timedelta(0))
    assert (last.name, last.ok) == ("route", False)
    assert last.said.startswith("no route wants it: `dcmrelay show p")


@pytest.mark.parametrize("arguments", [(), ("archive", "--notify", "page"), ("archive", "--source", "ct-1")])
def test_it_wants_one_thing_to_try(tmp_path: Path, command: Command, arguments: tuple[str, ...]) -> None:
    write_config(tmp_path)
    said = command("test", *arguments)
    assert said.code == 2
    assert "name a destination, or a source with --source" in said.err
