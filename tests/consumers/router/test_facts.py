"""What rules may ask about: facts of a part, values of an instance."""

from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from pydicom import Dataset

from consumers.router.facts import facts_of, sop_class_values, texts_at
from shared.spool.parts import Instance, Manifest
from tests.consumers.router.test_choice import PART

LISBON = ZoneInfo("Europe/Lisbon")
INSTANCE = Instance(
    file="f", sha256="", offset=0, size=1, sop_class_uid="1.2", sop_instance_uid="1.3", transfer_syntax_uid="1.4"
)


def test_the_facts_of_a_part_are_those_of_the_relays_clock() -> None:
    summer_night = datetime(2026, 6, 26, 23, 30, tzinfo=UTC)
    facts = facts_of(replace(PART, host="10.1.2.3"), Manifest(instances=(INSTANCE,) * 3), summer_night, LISBON)
    assert facts == {
        "source": "ct-1",
        "called": "DCMRELAY",
        "host": "10.1.2.3",
        "count": "3",
        "weekday": "sat",
        "time": "30",
    }


def test_a_part_of_an_older_version_has_no_host() -> None:
    assert "host" not in facts_of(PART, Manifest(instances=()), PART.opened_at, LISBON)


def test_a_sop_class_has_its_uid_and_its_name() -> None:
    assert sop_class_values("1.2.840.10008.5.1.4.1.1.2")["sop_class"] == ("1.2.840.10008.5.1.4.1.1.2", "CTImageStorage")
    assert sop_class_values("1.2.3")["sop_class"] == ("1.2.3",)
    assert sop_class_values("")["sop_class"] == ()


def nested() -> Dataset:
    ds, first, second, code = Dataset(), Dataset(), Dataset(), Dataset()
    ds.ImageType, ds.Modality, ds.StudyID = ["ORIGINAL", " PRIMARY "], "CT", ""
    code.CodeValue = "42"
    first.RequestedProcedureID, first.RequestedProcedureCodeSequence = "RP1", [code]
    second.RequestedProcedureID = "RP2"
    ds.RequestAttributesSequence = [first, second]
    return ds


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("Modality", ("CT",)),
        ("ImageType", ("ORIGINAL", "PRIMARY")),
        ("StudyID", ("",)),
        ("PatientID", ()),
        ("RequestAttributesSequence", ("1", "2")),
        ("RequestAttributesSequence.RequestedProcedureID", ("RP1", "RP2")),
        ("RequestAttributesSequence.RequestedProcedureCodeSequence.CodeValue", ("42",)),
        ("RequestAttributesSequence.PatientID", ()),
        ("OtherPatientIDsSequence.PatientID", ()),
    ],
)
def test_a_path_gives_the_values_of_all_items(path: str, values: tuple[str, ...]) -> None:
    assert texts_at(nested(), path) == values
