"""Whole files: what comes out, byte for byte, and what is refused."""

import hashlib
import random
import shutil
import subprocess
import zlib
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from consumers.anonymizer.files import Rendered, Withheld, render
from consumers.anonymizer.recipe import Recipe
from shared.config.rewriting import Edit
from shared.errors import DataSetError, StorageError
from shared.forms import ENGINE_VERSION
from tests.consumers.anonymizer.inputs import CT, KEY, instance, rendered, rules, wheel_file, write_file

OPEN = {"ultrasound": "send", "secondary_capture": "send", "visible_light": "send", "waveform": "send"}


def with_pixels(path: Path, transfer_syntax: str) -> Path:
    ds = instance()
    ds.Rows = ds.Columns = 4
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation, ds.SamplesPerPixel = 16, 16, 15, 0, 1
    ds.PixelData = bytes(range(32))
    ds["PixelData"].VR = "OW"
    return write_file(path, ds, transfer_syntax)


@pytest.mark.parametrize(
    "name", [CT, "MR_small.dcm", "MR_small_implicit.dcm", "MR_small_bigendian.dcm", "JPEG2000.dcm", "image_dfl.dcm",
             "SC_rgb_rle_2frame.dcm", "MR_small_jpeg_ls_lossless.dcm", "SC_rgb_jpeg_dcmtk.dcm", "liver_1frame.dcm"]
)  # fmt: skip
def test_pixel_data_and_transfer_syntax_stay_as_they_are(name: str) -> None:
    made, output = rendered(wheel_file(name), rules(objects=OPEN))
    before, after = pydicom.dcmread(wheel_file(name)), pydicom.dcmread(BytesIO(output))
    assert isinstance(made, Rendered)
    assert after["PixelData"].value == before["PixelData"].value
    assert after.file_meta.TransferSyntaxUID == before.file_meta.TransferSyntaxUID == made.transfer_syntax_uid
    assert after.file_meta.MediaStorageSOPInstanceUID == after.SOPInstanceUID == made.sop_instance_uid
    assert after.file_meta.MediaStorageSOPClassUID == after.SOPClassUID == made.sop_class_uid
    assert len(output) % 2 == 0


def test_encapsulated_pixel_data_is_copied_byte_for_byte_with_its_header() -> None:
    original = wheel_file("JPEG2000.dcm").read_bytes()
    start = original.index(b"\xe0\x7f\x10\x00OB")
    end = original.rindex(b"\xfe\xff\xdd\xe0") + 8
    _, output = rendered(wheel_file("JPEG2000.dcm"), rules(objects=OPEN))
    assert output.endswith(original[start:end])


def test_the_same_file_gives_the_same_bytes_and_another_key_others() -> None:
    outputs = [rendered(wheel_file(CT), rules(key=key))[1] for key in (b"a" * 16, b"a" * 16, b"b" * 16)]
    assert outputs[0] == outputs[1] != outputs[2]


def test_the_file_meta_names_the_relay_and_no_application_entity(tmp_path: Path) -> None:
    ds = instance()
    path = write_file(tmp_path / "in.dcm", ds)
    ds.file_meta.SourceApplicationEntityTitle = "CANARYAE"
    ds.preamble = b"CANARY" * 21 + b"XX"
    ds.save_as(path, enforce_file_format=True)
    _, output = rendered(path, rules())
    assert output[:128] == bytes(128)
    assert b"CANARY" not in output
    assert set(pydicom.dcmread(BytesIO(output)).file_meta.keys()) == {
        0x00020000, 0x00020001, 0x00020002, 0x00020003, 0x00020010, 0x00020012, 0x00020013,
    }  # fmt: skip


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_what_stands_behind_the_pixel_data_does_not_follow(tmp_path: Path, syntax: str) -> None:
    path = with_pixels(tmp_path / "in.dcm", ExplicitVRLittleEndian)
    ds = pydicom.dcmread(path)
    ds.add_new(0xFFFCFFFC, "OB", b"CANARY")
    write_file(path, ds, syntax)
    made, output = rendered(path, rules())
    assert isinstance(made, Rendered)
    after = pydicom.dcmread(BytesIO(output))
    assert after.PixelData == bytes(range(32))
    assert b"CANARY" not in output
    assert 0xFFFCFFFC not in after


def test_kept_values_keep_their_bytes(tmp_path: Path) -> None:
    ds = instance()
    ds.SliceThickness, ds.ConvolutionKernel = "5.0000e+00", "B30f"
    _, output = rendered(write_file(tmp_path / "in.dcm", ds), rules())
    assert b"5.0000e+00" in output
    assert b"B30f" in output


def test_a_withheld_instance_writes_nothing() -> None:
    made, output = rendered(wheel_file("test-SR.dcm"), rules())
    assert isinstance(made, Withheld)
    assert (made.outcome, output) == ("held", b"")
    assert "structured_report" in made.reason


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_a_file_cut_at_any_byte_is_refused(tmp_path: Path, syntax: str) -> None:
    whole = with_pixels(tmp_path / "in.dcm", syntax).read_bytes()
    path = tmp_path / "cut.dcm"
    passed = []
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        try:
            rendered(path, rules())
            passed.append(length)
        except DataSetError:
            continue
    boundary = whole.rindex(b"\xe0\x7f\x10\x00" if syntax != ExplicitVRBigEndian else b"\x7f\xe0\x00\x10")
    assert all(length <= boundary for length in passed), "cut pixel data was taken for whole"


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"GET / HTTP/1.1",
        bytes(128) + b"DICM",
        bytes(128) + b"DICM" + b"\x02\x00\x00\x00UL\x04\x00\xff\xff\xff\xff",
    ],
)
def test_what_is_no_dicom_file_is_refused(tmp_path: Path, broken: bytes) -> None:
    path = tmp_path / "in.dcm"
    path.write_bytes(broken)
    with pytest.raises(DataSetError):
        rendered(path, rules())


def test_a_missing_file_may_work_later(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        rendered(tmp_path / "nowhere.dcm", rules())


def test_a_deflated_bomb_is_refused(tmp_path: Path) -> None:
    path = with_pixels(tmp_path / "in.dcm", DeflatedExplicitVRLittleEndian)
    head = path.read_bytes()
    start = 144 + int.from_bytes(head[140:144], "little")
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = deflater.compress(bytes(200_000_000)) + deflater.flush()
    path.write_bytes(head[:start] + bomb)
    with pytest.raises(DataSetError, match="inflate"):
        rendered(path, rules())


@pytest.mark.parametrize("undefined", [True, False])
@pytest.mark.parametrize("depth", [70, 20_000])
def test_a_nest_of_sequences_is_refused(tmp_path: Path, depth: int, *, undefined: bool) -> None:
    tag = b"\x08\x00\x12\x21"
    if undefined:
        nest = (tag + b"SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff") * depth
    else:
        nest = b""
        for _ in range(depth):
            item = b"\xfe\xff\x00\xe0" + len(nest).to_bytes(4, "little") + nest
            nest = tag + b"SQ\0\0" + len(item).to_bytes(4, "little") + item
    path = write_file(tmp_path / "in.dcm", instance())
    path.write_bytes(path.read_bytes() + nest)
    with pytest.raises(DataSetError, match="nested"):
        rendered(path, rules())


def test_sequences_of_either_length_and_un_are_followed(tmp_path: Path) -> None:
    inner = instance("1.2.3.9")
    ds = instance()
    ds.SourceImageSequence = Sequence([inner])
    ds["SourceImageSequence"].is_undefined_length = True
    inner.is_undefined_length_sequence_item = True
    made, output = rendered(write_file(tmp_path / "in.dcm", ds), rules())
    assert isinstance(made, Rendered)
    assert b"CANARY" not in output
    assert b"1.2.3.9" not in output
    assert len(pydicom.dcmread(BytesIO(output)).SourceImageSequence) == 1


def test_an_error_quotes_nothing_of_the_data_set(tmp_path: Path) -> None:
    path = write_file(tmp_path / "in.dcm", instance())
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(DataSetError) as caught:
        rendered(path, rules())
    assert "CANARY" not in str(caught.value)
    assert caught.value.__cause__ is None


GOLDEN_SHA256 = "9f147e5d391b18242d54b9868b3bacd6f3be906ea4853aaeedbf8b388f040ff6"


def test_the_engine_s_output_is_what_its_version_promises() -> None:
    made = rules(
        "retain-longitudinal-modified-dates",
        "retain-device-identity",
        pseudonyms={"PatientID": "HX{key:12}"},
        set_after={"InstitutionName": "HX"},
    )
    digest = hashlib.sha256(rendered(wheel_file(CT), made)[1]).hexdigest()
    assert (ENGINE_VERSION, digest) == (1, GOLDEN_SHA256), (
        "the same input gives other bytes: bump ENGINE_VERSION in shared/forms.py and write the new digest here"
    )


def dciodvfy() -> str | None:
    unpacked = Path(__file__).parents[3] / ".tools" / "root" / "usr" / "bin" / "dciodvfy"
    return str(unpacked) if unpacked.exists() else shutil.which("dciodvfy")


@pytest.mark.skipif(dciodvfy() is None, reason="dicom3tools are not installed")
@pytest.mark.parametrize("name", [CT, "MR_small.dcm", "JPEG2000.dcm", "SC_rgb_jpeg_dcmtk.dcm"])
@pytest.mark.parametrize("options", [(), ("retain-longitudinal-full-dates", "retain-patient-characteristics")])
def test_the_output_has_no_fault_that_the_input_had_not(tmp_path: Path, name: str, options: tuple[str, ...]) -> None:
    path = tmp_path / "out.dcm"
    path.write_bytes(rendered(wheel_file(name), rules(*options, objects=OPEN))[1])
    assert faults(path) - faults(wheel_file(name)) == set()


@pytest.mark.skipif(dciodvfy() is None, reason="dicom3tools are not installed")
@pytest.mark.parametrize("name", [CT, "MR_small.dcm", "JPEG2000.dcm", "SC_rgb_jpeg_dcmtk.dcm"])
def test_an_edited_file_has_no_fault_that_it_had_not(tmp_path: Path, name: str) -> None:
    content = {
        "set": {"StudyDescription": "Tórax", "AccessionNumber": "HX1", "PatientID": "4711"},
        "remove": ["PatientComments"],
        "original_attributes": True,
    }
    recipe = Recipe(edit=Edit.model_validate(content), edit_name="e", uid_key=KEY, at=datetime(2026, 3, 4, tzinfo=UTC))
    path, out = tmp_path / "out.dcm", BytesIO()
    assert isinstance(render(wheel_file(name), recipe, write=out.write), Rendered)
    path.write_bytes(out.getvalue())
    assert faults(path) - faults(wheel_file(name)) == set()


def faults(path: Path) -> set[str]:
    run = subprocess.run([str(dciodvfy()), str(path)], capture_output=True, text=True, errors="replace", check=False)
    return {line for line in run.stderr.splitlines() if line.startswith("Error")}


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small_implicit.dcm", "JPEG2000.dcm", "image_dfl.dcm"])
def test_a_damaged_header_is_rendered_withheld_or_refused_and_nothing_else(tmp_path: Path, name: str) -> None:
    original, draw, path = wheel_file(name).read_bytes(), random.Random(name), tmp_path / "in.dcm"
    made = rules(objects=OPEN)
    refused = 0
    for _ in range(150):
        damaged = bytearray(original)
        for _ in range(draw.randrange(1, 6)):
            damaged[draw.randrange(132, min(2500, len(damaged)))] = draw.randrange(256)
        path.write_bytes(damaged)
        try:
            rendered(path, made)
        except DataSetError:
            refused += 1
    assert refused < 150, "nothing got past the parser, so nothing was tried"
