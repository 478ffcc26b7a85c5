"""`send` and `echo` with DCMTK's storescp as the other side."""

import hashlib
import shutil
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from dcmrelay.completeness import is_whole
from dcmrelay.sending import Ready, batches, is_taken, meaning
from shared.headers import read_meta
from tests.certificates import authority
from tests.dcmrelay.relays import Command, write_config
from tests.peers import free_port, store_scp


def sample(name: str) -> Path:
    """A file of pydicom's wheel."""
    path = get_testdata_file(name)
    assert isinstance(path, str)
    return Path(path)


WHOLE = (
    "CT_small.dcm",
    "MR_small.dcm",
    "MR_small_implicit.dcm",
    "MR_small_bigendian.dcm",
    "JPEG2000.dcm",
    "image_dfl.dcm",
    "rtplan.dcm",
    "SC_rgb_rle_2frame.dcm",
    "test-SR.dcm",
    "nested_priv_SQ.dcm",
    "UN_sequence.dcm",
    "liver_1frame.dcm",
)


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_file_is_whole_in_every_encoding(name: str) -> None:
    path = sample(name)
    assert is_whole(path, *read_meta(path))


@pytest.mark.parametrize("name", WHOLE)
def test_a_cut_file_is_not_whole_wherever_a_value_is_cut(name: str, tmp_path: Path) -> None:
    behind_the_stream = 40 if name == "image_dfl.dcm" else 0
    whole = sample(name).read_bytes().rstrip(b"\0")
    cut = tmp_path / "cut.dcm"
    cut.write_bytes(whole[: -3 - behind_the_stream])
    assert not is_whole(cut, *read_meta(cut))


def test_a_file_that_ends_after_its_meta_information_is_not_whole(tmp_path: Path) -> None:
    path = sample("CT_small.dcm")
    offset, syntax = read_meta(path)
    cut = tmp_path / "cut.dcm"
    cut.write_bytes(path.read_bytes()[:offset])
    assert not is_whole(cut, offset, syntax)


def test_files_are_cut_into_associations_by_their_contexts() -> None:
    files = [_ready(f"1.2.{number % 200}") for number in range(400)]
    cut = batches(files)
    assert [file for batch in cut for file in batch] == files
    assert [len({file.context for file in batch}) for batch in cut] == [128, 128, 128, 16]


def test_one_association_is_enough_for_many_files_of_few_kinds() -> None:
    assert len(batches([_ready(f"1.2.{number % 3}") for number in range(1000)])) == 1


@pytest.mark.parametrize(
    ("status", "taken", "words"),
    [
        (0x0000, True, "success (0000)"),
        (0xB007, True, "warning (B007)"),
        (0xA700, False, "out of resources (A700)"),
        (0xA900, False, "data set does not match its SOP class (A900)"),
        (0xC123, False, "cannot understand (C123)"),
        (0x0122, False, "SOP class not supported (0122)"),
        (0x0116, True, "warning, attribute value out of range (0116)"),
    ],
)
def test_statuses_are_told_apart(status: int, taken: bool, words: str) -> None:
    assert is_taken(status) is taken
    assert meaning(status) == words


def test_files_and_folders_arrive_as_they_are(tmp_path: Path, command: Command) -> None:
    folder = tmp_path / "study/series"
    folder.mkdir(parents=True)
    for name in ("CT_small.dcm", "JPEG2000.dcm"):
        shutil.copy(sample(name), folder)
    (folder / "readme.txt").write_text("no image")
    shutil.copy(sample("DICOMDIR"), tmp_path / "study")
    with store_scp(tmp_path, ae_title="DCMRELAY") as relay:
        write_config(tmp_path, port=relay.port)
        said = command("send", "--source", "ct-1", tmp_path / "study", sample("MR_small.dcm"))
        arrived = {_digest(path) for path in relay.files()}

    assert said.code == 0
    assert "3 sent (3 success (0000)), 2 skipped, as ct-1 (CT1) to DCMRELAY" in said.out
    assert f"skipped: {tmp_path}/study/DICOMDIR: a DICOMDIR, which is not an instance\n" in said.err
    assert f"skipped: {folder}/readme.txt: not a DICOM file\n" in said.err
    assert arrived == {_digest(sample(name)) for name in ("CT_small.dcm", "JPEG2000.dcm", "MR_small.dcm")}


def test_a_truncated_file_is_named_and_the_others_are_sent(tmp_path: Path, command: Command) -> None:
    cut = tmp_path / "cut.dcm"
    cut.write_bytes(sample("MR_small.dcm").read_bytes()[:-100])
    with store_scp(tmp_path, ae_title="DCMRELAY") as relay:
        write_config(tmp_path, port=relay.port)
        said = command("send", "--source", "ct-1", cut, sample("CT_small.dcm"))
        assert len(relay.files()) == 1

    assert said.code == 1
    assert (
        said.err
        == f"not sent: {cut}: truncated: it ends inside an element; get the file again from where it came from\n"
    )
    assert "1 sent (1 success (0000)), 1 not sent" in said.out


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"hello", "not a DICOM file"),
        (b"", "not a DICOM file"),
        (b"\0" * 128 + b"DICM" + b"x" * 9, "not a DICOM file ("),
    ],
)
def test_a_named_file_that_is_not_dicom_is_one_line_and_exit_1(
    content: bytes, why: str, tmp_path: Path, command: Command
) -> None:
    write_config(tmp_path, port=free_port())
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    said = command("send", "--source", "ct-1", path)
    assert said.code == 1
    assert said.err.startswith(f"not sent: {path}: {why}")
    assert said.err.count("\n") == 1


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path, command: Command) -> None:
    write_config(tmp_path)
    said = command("send", "--source", "ct-1", tmp_path / "none.dcm")
    assert said.code == 1
    assert (
        said.err
        == f"not sent: {tmp_path}/none.dcm: cannot be read: No such file or directory; check the name and its mode\n"
    )


def test_without_a_running_relay_the_remedy_is_named(tmp_path: Path, command: Command) -> None:
    write_config(tmp_path, port=free_port())
    said = command("send", "--source", "ct-1", sample("CT_small.dcm"))
    assert said.code == 1
    assert "start the relay with `dcmrelay up`" in said.err


def test_a_refused_association_says_who_we_were_and_what_to_check(tmp_path: Path, command: Command) -> None:
    with store_scp(tmp_path, "--refuse", ae_title="DCMRELAY") as relay:
        write_config(tmp_path, port=relay.port)
        said = command("send", "--source", "ct-1", sample("CT_small.dcm"))
    assert said.code == 1
    assert "association rejected" in said.err
    assert "we called DCMRELAY as CT1" in said.err


def test_an_unknown_source_is_one_line_that_lists_the_known(tmp_path: Path, command: Command) -> None:
    write_config(tmp_path)
    said = command("send", "--source", "ct-9", sample("CT_small.dcm"))
    assert (said.code, said.err) == (1, "dcmrelay: there is no source 'ct-9' in the configuration; it has: ct-1\n")


def test_what_a_broken_association_left_goes_over_a_new_one(tmp_path: Path, command: Command) -> None:
    with store_scp(tmp_path, "--abort-during", ae_title="DCMRELAY") as relay:
        write_config(tmp_path, port=relay.port)
        said = command("send", "--source", "ct-1", sample("CT_small.dcm"), sample("MR_small.dcm"))
    assert said.code == 1
    assert said.err.count("not sent: ") == 2
    assert "send it again" in said.err


def test_send_and_echo_go_over_tls(tmp_path: Path, command: Command) -> None:
    ca = authority(tmp_path / "ca")
    relay, ours = ca.issue("relay", "IP:127.0.0.1"), ca.issue("ct-1")
    options = ("--enable-tls", str(relay.key), str(relay.certificate), "--add-cert-file", str(ca.ca))
    with store_scp(tmp_path, *options, ae_title="DCMRELAY") as peer:
        files = f'certificate = "{relay.certificate}"\nkey = "{relay.key}"\nca = "{ca.ca}"'
        path = write_config(tmp_path, destination_port=peer.port)
        text = path.read_text().replace('"CT1"', '"CT1"\ncertificate = "ct-1"')
        tls = f'[ingress.tls]\nlisten = ["127.0.0.1:{peer.port}"]\n{files}\n'
        ask = f'tls = {{ name = "127.0.0.1", ca = "{ca.ca}", certificate = "{ours.certificate}", key = "{ours.key}" }}'
        path.write_text(text.replace("[[source]]", f"{tls}[[source]]").replace('"ARCHIVE"', f'"ARCHIVE"\n{ask}'))
        echoed = command("echo", "archive")
        refused = command("send", "--source", "ct-1", sample("CT_small.dcm"))
        half = command("send", "--source", "ct-1", "--key", ours.key, sample("CT_small.dcm"))
        shown = ("--certificate", ours.certificate, "--key", ours.key)
        said = command("send", "--source", "ct-1", *shown, sample("CT_small.dcm"))
        assert len(peer.files()) == 1
    assert echoed.out.endswith(" over TLS\n")
    assert refused.err.startswith("dcmrelay: source 'ct-1' can come by TLS only; give --certificate and --key")
    assert half.code == 2
    assert (said.code, said.err) == (0, "")


def test_a_peer_of_another_name_gets_no_echo_and_the_remedy_is_named(tmp_path: Path, command: Command) -> None:
    ca = authority(tmp_path / "ca")
    archive = ca.issue("archive", "DNS:archive.example")
    options = ("--enable-tls", str(archive.key), str(archive.certificate), "--add-cert-file", str(ca.ca))
    with store_scp(tmp_path, *options) as peer:
        path = write_config(tmp_path, destination_port=peer.port)
        ask = f'tls = {{ name = "127.0.0.1", ca = "{ca.ca}" }}'
        path.write_text(path.read_text().replace('"ARCHIVE"', f'"ARCHIVE"\n{ask}'))
        said = command("echo", "archive")
    assert said.code == 1
    assert "IP address mismatch" in said.err
    assert said.err.endswith(
        "check name, ca, certificate and key in its [destination.tls], and whom the people there trust\n"
    )


def test_echo_says_who_answered_and_how_fast(tmp_path: Path, command: Command) -> None:
    with store_scp(tmp_path) as archive:
        write_config(tmp_path, destination_port=archive.port)
        said = command("echo", "archive")
    assert said.code == 0
    assert said.out.startswith(f"archive: ARCHIVE at 127.0.0.1:{archive.port}: answered C-ECHO as DCMRELAY in ")
    assert said.out.endswith(" ms\n")


def test_echo_to_nobody_is_one_line_with_the_remedy(tmp_path: Path, command: Command) -> None:
    write_config(tmp_path, destination_port=free_port())
    said = command("echo", "archive")
    assert (said.code, said.out) == (1, "")
    assert said.err.endswith("check host and port, that it runs, and the firewalls in between\n")
    assert said.err.count("\n") == 1


def test_echo_that_is_rejected_names_the_ae_titles(tmp_path: Path, command: Command) -> None:
    with store_scp(tmp_path, "--refuse") as archive:
        write_config(tmp_path, destination_port=archive.port)
        said = command("echo", "archive")
    assert said.code == 1
    assert "check its AE title, and that it knows DCMRELAY" in said.err


def test_echo_to_an_unknown_destination_lists_the_known(tmp_path: Path, command: Command) -> None:
    write_config(tmp_path)
    said = command("echo", "archiv")
    assert said.err == "dcmrelay: there is no destination 'archiv' in the configuration; it has: archive, reading\n"


def _ready(sop_class_uid: str) -> Ready:
    return Ready(
        path=Path("x"),
        offset=0,
        size=0,
        sop_class_uid=sop_class_uid,
        sop_instance_uid="1.2",
        transfer_syntax_uid="1.2.840.10008.1.2",
    )


def _digest(path: Path) -> str:
    offset, _ = read_meta(path)
    return hashlib.sha256(path.read_bytes()[offset:]).hexdigest()
