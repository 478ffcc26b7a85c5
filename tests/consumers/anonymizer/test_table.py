"""The table against the standard's data, where these are at hand, and what is left of every element it lists."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from pydicom.datadict import dictionary_has_tag, dictionary_VR, keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.sequence import Sequence

from consumers.anonymizer.deidentify import deidentify
from consumers.anonymizer.tables import TABLE
from tests.consumers.anonymizer.inputs import instance, rules

ORACLE = Path(__file__).parents[4] / "shared" / "ps3.15" / "t2026c.json"
COLUMNS = {
    "uids": "rtnUIDsOpt",
    "device": "rtnDevIdOpt",
    "institution": "rtnInstIdOpt",
    "patient": "rtnPatCharsOpt",
    "full_dates": "rtnLongFullDatesOpt",
    "modified_dates": "rtnLongModifDatesOpt",
    "descriptors": "cleanDescOpt",
    "structured": "cleanStructContOpt",
    "graphics": "cleanGraphOpt",
}
needs_oracle = pytest.mark.skipif(not ORACLE.exists(), reason="the standard's tables are not at hand")
CANARIES: dict[str, Any] = {
    "AE": "CANARY",
    "AS": "041Y",
    "CS": "CANARY",
    "DA": "20240229",
    "DS": "47.11",
    "DT": "20240229101500",
    "IS": "4711",
    "TM": "101500",
    "UI": "1.2.3.4711",
    "UR": "http://canary",
    "US": 4711,
    "OB": b"CANARY",
    "UN": b"CANARY",
}


def oracle() -> dict[int, dict[str, str]]:
    """Rows of the standard's table by tag; those for whole groups are left out."""
    rows = json.loads(ORACLE.read_text())
    tags = {row["tag"]: row["tag"][1:5] + row["tag"][6:10] for row in rows}
    return {int(tags[row["tag"]], 16): row for row in rows if all(c in "0123456789ABCDEF" for c in tags[row["tag"]])}


@needs_oracle
def test_every_row_says_what_the_standard_says() -> None:
    expected = oracle()
    wrong = []
    for tag, row in TABLE.items():
        theirs = expected.get(tag, {"basicProfile": "not listed"})
        options = {column: theirs[name] for column, name in COLUMNS.items() if theirs.get(name)}
        if (row.basic, row.options) != (theirs["basicProfile"], options):
            wrong.append(f"{keyword_for_tag(tag)}: {row}, the standard: {theirs['basicProfile']} {options}")
    assert not wrong, "\n".join(wrong)


@needs_oracle
def test_no_element_that_the_standard_touches_keeps_its_value() -> None:
    kept = []
    for tag, row in oracle().items():
        if row["basicProfile"] == "K" or tag >> 16 == 2:
            continue
        ds = instance()
        ds[tag] = planted(tag)
        clean = deidentify(ds, rules(), issuer="HX")
        if tag in clean and str(clean[tag].value) == str(ds[tag].value):
            kept.append(f"{row['tag']} {row['name']} {row['basicProfile']}")
    assert not kept, "\n".join(kept)


def planted(tag: int) -> DataElement:
    """The element with a value that must not be seen again; sequences hold a code."""
    vr = dictionary_VR(tag) if dictionary_has_tag(tag) else "LO"
    if vr != "SQ":
        return DataElement(tag, vr, CANARIES.get(vr, "CANARY"))
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "C47", "99CANARY", "canary"
    item.ReferencedSOPInstanceUID = "1.2.3.4711"
    return DataElement(tag, "SQ", Sequence([item]))


def test_the_table_lists_what_real_images_carry() -> None:
    assert len(TABLE) >= 500
