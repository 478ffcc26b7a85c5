"""What an edit makes of a data set: table by table, in every encoding and character set."""

import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset

from shared.config import parse
from shared.config.rewriting import Edit
from shared.editing.elements import Encoding, Level
from shared.editing.engine import edited
from shared.errors import DataSetError

ENCODINGS = [Encoding(implicit=it, little=little) for it, little in ((False, True), (True, True), (False, False))]
EXPLICIT = ENCODINGS[0]
FACTS = {"source": "ct-1", "called": "OLDPACS"}
CHARACTER_SETS = {
    "ISO_IR 100": "Conceição^José",
    "ISO_IR 126": "Διονυσιος^Γιώργος",
    "ISO_IR 192": "山田^太郎=Ünïcode",
    "GB18030": "王^小东",
    "\\ISO 2022 IR 87": "Yamada^Tarou=山田^太郎=やまだ^たろう",
    "ISO 2022 IR 13\\ISO 2022 IR 87": "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
    "\\ISO 2022 IR 149": "Hong^Gildong=洪^吉洞=홍^길동",
}


def edit(text: str, folder: Path = Path("/nowhere")) -> Edit:
    return parse(f"[edit.e]\n{text}", folder).edits["e"]


def data_set(**elements: Any) -> Dataset:
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID, ds.Modality = "1.2.840.10008.5.1.4.1.1.2", "1.2.3", "CT"
    ds.AccessionNumber, ds.PatientName, ds.PatientID = "A1", "CANARY^PATIENT", "4711"
    ds.StudyInstanceUID, ds.PatientComments = "1.2", "none"
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    return ds


def with_requests() -> Dataset:
    items = [Dataset(), Dataset()]
    for number, item in enumerate(items):
        item.RequestedProcedureID, item.ScheduledProcedureStepID = f"R{number}", f"S{number}"
    return data_set(RequestAttributesSequence=items)


def written(ds: Dataset, encoding: Encoding = EXPLICIT) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = encoding.implicit, encoding.little
    write_dataset(buffer, ds)
    return buffer.getvalue()


def after(ds: Dataset, made: Edit, encoding: Encoding = EXPLICIT) -> Dataset:
    out = edited(written(ds, encoding), encoding, made, FACTS)
    return read_dataset(BytesIO(out), encoding.implicit, encoding.little)


def refusal(ds: Dataset, made: Edit) -> str:
    with pytest.raises(DataSetError) as refused:
        after(ds, made)
    return refused.value.reason


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(
    ("text", "keyword", "value"),
    [
        ('set = { InstitutionName = "Hospital Example" }', "InstitutionName", "Hospital Example"),
        ('set = { AccessionNumber = "HX{AccessionNumber}" }', "AccessionNumber", "HXA1"),
        ('set = { StationName = "{source}/{called}" }', "StationName", "ct-1/OLDPACS"),
        ('set = { StudyDate = "20260304" }', "StudyDate", "20260304"),
        ('set = { ReferencedFrameNumber = "1\\\\2" }', "ReferencedFrameNumber", [1, 2]),
        ('set = { SeriesNumber = "7" }', "SeriesNumber", 7),
        ('set = { PregnancyStatus = "2" }', "PregnancyStatus", 2),
        ('set = { TableHeight = "1.5" }', "TableHeight", 1.5),
        ('copy = { StudyID = "AccessionNumber" }', "StudyID", "A1"),
        ('replace = { PatientID = { regex = "^47", by = "X" } }', "PatientID", "X11"),
        ('replace = { PatientID = [{ regex = "1", by = "0" }, { regex = "0+$", by = "2" }] }', "PatientID", "472"),
        ('replace = { PatientID = { regex = "x" } }', "PatientID", "4711"),
        ("set = { '(0008,1010)' = \"S1\" }", "StationName", "S1"),
    ],
)
def test_an_element_gets_the_value_that_the_edit_says(
    text: str, keyword: str, value: object, encoding: Encoding
) -> None:
    assert after(data_set(), edit(text), encoding)[keyword].value == value


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_item_of_a_sequence_is_edited_and_what_it_quotes_is_its_own(encoding: Encoding) -> None:
    made = edit('set = { RequestAttributesSequence.RequestedProcedureID = '
                '"{AccessionNumber}-{RequestAttributesSequence.ScheduledProcedureStepID}" }')  # fmt: skip
    items = after(with_requests(), made, encoding).RequestAttributesSequence
    assert [item.RequestedProcedureID for item in items] == ["A1-S0", "A1-S1"]
    assert "RequestAttributesSequence" not in after(data_set(), made, encoding)


@pytest.mark.parametrize("is_undefined", [True, False])
def test_sequences_keep_the_way_in_which_their_length_is_written(is_undefined: bool) -> None:
    ds = with_requests()
    ds["RequestAttributesSequence"].is_undefined_length = is_undefined
    for item in ds.RequestAttributesSequence:
        item.is_undefined_length_sequence_item = is_undefined
    before = written(ds)
    same = edited(before, EXPLICIT, edit('set = { RequestAttributesSequence.RequestedProcedureID = "ZZ" }'), FACTS)
    assert same == before.replace(b"R0", b"ZZ").replace(b"R1", b"ZZ")


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_private_creator_goes_with_its_block_and_no_other(encoding: Encoding) -> None:
    ds = with_requests()
    for where in (ds, ds.RequestAttributesSequence[0]):
        where.private_block(0x0009, "GEMS_IDEN_01", create=True).add_new(0x10, "LO", "CANARY")
        where.private_block(0x0009, "ACME 1.0", create=True).add_new(0x10, "LO", "stays")
    made = after(ds, edit('remove = [{ private = "GEMS_IDEN_01" }, "PatientComments"]'), encoding)
    for where in (made, made.RequestAttributesSequence[0]):
        assert [element.tag for element in where if element.tag.is_private] == [0x00090011, 0x00091110]
    assert "PatientComments" not in made


def test_a_private_element_is_found_by_its_creator_and_gets_a_block_when_there_is_none() -> None:
    made = edit("set = { '(0009,xx10) ACME 1.0' = \"new\" }")
    ds = data_set()
    ds.private_block(0x0009, "OTHER", create=True).add_new(0x10, "LO", "other")
    came = after(ds, made)
    assert came[0x00091010].value == "other"
    assert (came[0x00090011].value, came[0x00091110].value) == ("ACME 1.0", b"new ")
    ds.private_block(0x0009, "ACME 1.0", create=True).add_new(0x10, "SH", "old")
    known = after(ds, made)[0x00091110]
    assert (known.VR, known.value) == ("SH", "new")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('set = { StationName = "{StudyID}" }', "StationName would be empty: StudyID, which it quotes, has no value"),
        ('set = { StationName = "{PatientName}{PatientName}" }',
         "StationName would be longer than the 16 characters that VR SH holds"),
        ('set = { StudyDate = "20260231" }', "StudyDate would not be what VR DA holds"),
        ('copy = { StudyTime = "PatientName" }', "StudyTime would not be what VR TM holds"),
        ('copy = { Modality = "PatientName" }', "Modality would not be what VR CS holds"),
        ('copy = { SeriesNumber = "PatientName" }',
         "SeriesNumber would be longer than the 12 characters that VR IS holds"),
        ('set = { PregnancyStatus = "65536" }', "PregnancyStatus would not be what VR US holds"),
        ('set = { SeriesNumber = "1\\\\2" }', "SeriesNumber would have 2 values, and its value multiplicity is 1"),
        ('replace = { PatientID = { regex = ".*" } }', "PatientID would be empty"),
        ('allow = ["FrameOfReferenceUID"]\nset = { FrameOfReferenceUID = "1.02" }',
         "FrameOfReferenceUID would not be what VR UI holds"),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_right_is_refused_with_the_element_and_without_the_value(text: str, reason: str) -> None:
    assert refusal(data_set(), edit(text)) == reason


def test_a_value_is_looked_up_in_a_csv_file_that_is_kept_with_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "stations.csv").write_text("# old,new\nCT,Room 1\n", encoding="utf-8")
    table = 'lookup = { StationName = { file = "stations.csv", by = "{Modality}"'
    held, kept, given_ = (edit(f"{table}{end} }} }}", tmp_path)
                          for end in ("", ', otherwise = "keep"', ', default = "?{Modality}"'))  # fmt: skip
    (tmp_path / "stations.csv").unlink()
    again = Edit.model_validate_json(held.to_json())
    assert (again, again.hash) == (held, held.hash)
    assert [after(data_set(), it).StationName for it in (again, kept, given_)] == ["Room 1"] * 3
    mr = data_set(Modality="MR", StationName="old")
    assert refusal(mr, held) == "StationName stands in no line of stations.csv"
    assert [after(mr, it).StationName for it in (kept, given_)] == ["old", "?MR"]


@pytest.mark.parametrize(("term", "name"), CHARACTER_SETS.items())
def test_a_name_stays_readable_in_the_character_set_of_its_file(term: str, name: str) -> None:
    ds = data_set(SpecificCharacterSet=term.split("\\"), PatientName=name)
    made = after(ds, edit('copy = { OtherPatientNames = "PatientName" }\nset = { InstitutionName = "{PatientName}" }'))
    assert made.SpecificCharacterSet == ds.SpecificCharacterSet
    made.decode()
    assert (str(made.PatientName), str(made.OtherPatientNames), made.InstitutionName) == (name, name, name)


def test_text_of_ascii_alone_becomes_utf_8_when_the_edit_needs_it_and_no_other_byte_changes() -> None:
    before = data_set(SpecificCharacterSet="ISO_IR 126")
    made = after(before, edit('set = { InstitutionName = "Hospital São João" }'))
    assert (made.SpecificCharacterSet, made.InstitutionName) == ("ISO_IR 192", "Hospital São João")
    assert made.PatientName == before.PatientName


def test_text_that_the_character_set_cannot_hold_is_refused_when_other_text_is_in_it() -> None:
    greek = data_set(SpecificCharacterSet="ISO_IR 126", PatientName="Γ")
    reason = refusal(greek, edit('set = { InstitutionName = "São" }'))
    assert reason == "InstitutionName has characters that the character set of the instance has not"


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=30)


ANY_SET = st.sampled_from([*CHARACTER_SETS, "ISO_IR 6", "ISO_IR 13"])
ANY_ENCODING = st.sampled_from(ENCODINGS)


def attempt(before: bytes, encoding: Encoding, made: Edit) -> tuple[bytes, str]:
    """What comes out, or why nothing does."""
    try:
        return edited(before, encoding, made, FACTS), ""
    except DataSetError as error:
        return b"", error.reason


def others(header: bytes, encoding: Encoding) -> list[bytes]:
    """The elements but the one that is set, and the character set."""
    elements = Level(body=header, encoding=encoding).elements
    return [it.raw for it in elements if it.tag not in (0x00080080, 0x00080005)]


@given(text=TEXTS, term=ANY_SET, encoding=ANY_ENCODING)
@settings(max_examples=300, deadline=None)
def test_any_text_is_written_so_that_it_reads_the_same_or_the_instance_is_refused(
    text: str, term: str, encoding: Encoding
) -> None:
    text = text.replace("{", "").replace("}", "").replace("\\", "") or "x"
    ds = with_requests()
    ds.SpecificCharacterSet = term.split("\\")
    before = written(ds, encoding)
    out, reason = attempt(before, encoding, Edit(set={"InstitutionName": text}))
    if reason:
        assert reason.startswith("InstitutionName ")
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = read_dataset(BytesIO(out), encoding.implicit, encoding.little)
        made.decode()
        value = made.InstitutionName
    assert value.strip(" ") == text.strip(" ")
    assert others(out, encoding) == others(before, encoding)


@given(content=st.binary(max_size=200), encoding=ANY_ENCODING)
@settings(max_examples=300, deadline=None)
def test_bytes_that_are_no_data_set_are_refused_and_raise_nothing_else(content: bytes, encoding: Encoding) -> None:
    made = edit('set = { PatientID = "{AccessionNumber}" }\nremove = [{ private = "ACME" }]')
    out, reason = attempt(content, encoding, made)
    assert bool(out) != bool(reason)
