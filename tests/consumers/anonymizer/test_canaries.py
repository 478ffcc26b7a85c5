"""A token in every place where text can stand; none may be found in the output's bytes."""

import re
from itertools import count
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.datadict import dictionary_VR, keyword_dict, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from consumers.anonymizer.files import Rendered
from consumers.anonymizer.unlisted import SAFE_BULK, SAFE_TEXT
from tests.consumers.anonymizer.inputs import instance, rendered, rules, write_file

TEXT_VRS = ("AE", "LO", "LT", "PN", "SH", "ST", "UC", "UT", "UR")
OTHER_VRS = ("OB", "OW", "UN")
SPARED = {"SpecificCharacterSet", "SOPClassUID", "SOPInstanceUID", "TransferSyntaxUID"}
SYNTAXES = [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]


def plantable() -> list[tuple[int, str]]:
    """Every element of the data dictionary that can hold text, but for those that the engine keeps on purpose."""
    found = []
    for keyword in keyword_dict:
        tag = tag_for_keyword(keyword) or 0
        vr = dictionary_VR(tag).split(" or ")[0] if tag else ""
        if vr in (*TEXT_VRS, *OTHER_VRS) and tag not in SAFE_TEXT | SAFE_BULK and 0x0008 <= tag >> 16 < 0x7FE0:
            found.append((tag, vr))
    return found


def plant(ds: Dataset, tokens: "count[int]") -> None:
    for tag, vr in plantable():
        token = f"CANARY{next(tokens):06}"
        ds[tag] = DataElement(tag, vr, token.encode() if vr in OTHER_VRS else token)
    for vr in (*TEXT_VRS, *OTHER_VRS):
        block = ds.private_block(0x0009, f"CANARY{next(tokens):06}", create=True)
        token = f"CANARY{next(tokens):06}"
        block.add_new(1, vr, token.encode() if vr in OTHER_VRS else token)
    ds.add_new(0x60004000, "LT", f"CANARY{next(tokens):06}")
    ds.add_new(0x60003000, "OW", f"CANARY{next(tokens):06}".encode())
    ds.add_new(0x50002500, "LO", f"CANARY{next(tokens):06}")


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_no_planted_token_is_found_in_the_output_at_any_depth(tmp_path: Path, syntax: str) -> None:
    tokens = count()
    ds = instance()
    inside = ds
    plant(ds, tokens)
    for sequence in ("SharedFunctionalGroupsSequence", "CTExposureSequence", "SourceImageSequence",
                     "PurposeOfReferenceCodeSequence", "AnatomicRegionSequence"):  # fmt: skip
        deeper = Dataset()
        plant(deeper, tokens)
        setattr(inside, sequence, Sequence([deeper]))
        inside = deeper
    path = write_file(tmp_path / "in.dcm", ds, syntax)
    path.write_bytes(b"CANARY" * 21 + b"XX" + path.read_bytes()[128:])
    made, output = rendered(path, rules(pseudonyms={"PatientID": "HX{key:12}", "PatientName": "{key:12}"}))
    assert isinstance(made, Rendered)
    assert next(tokens) > 3000
    left = sorted(set(re.findall(rb"CANARY[0-9]*", output)))
    assert not left, f"{len(left)} left, first {left[:3]}"


@pytest.mark.parametrize("vr", ["CS", "DS", "IS", "DA", "TM", "DT", "AS", "UI"])
def test_text_where_a_code_number_date_or_uid_belongs_is_removed(tmp_path: Path, vr: str) -> None:
    tags = [tag for word in keyword_dict if (tag := tag_for_keyword(word)) and dictionary_VR(tag) == vr]
    ds = instance()
    for tag in tags:
        if 0x0008 <= tag >> 16 < 0x7FE0 and not {w for w in SPARED if tag_for_keyword(w) == tag}:
            ds[tag] = DataElement(tag, "LO", "canary^joe")
    path = write_file(tmp_path / "in.dcm", ds, ImplicitVRLittleEndian)
    options = ["retain-uids", "retain-longitudinal-full-dates", "retain-patient-characteristics"]
    for made in (rules(), rules(*options), rules("retain-longitudinal-modified-dates")):
        _, output = rendered(path, made)
        assert b"canary" not in output
