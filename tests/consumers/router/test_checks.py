"""What fails a check, by table."""

from datetime import date
from typing import Any

import pytest

from consumers.router.checks import Constant, Failure, applying, constants_of, failures_of, patient_of, reason_of
from consumers.router.rules import Header
from shared.config.rules import Check

TODAY = date(2026, 3, 4)
CT: Header = {
    "Modality": ("CT",),
    "PatientID": ("4711",),
    "PatientName": ("CANARY^PATIENT",),
    "StationName": ("CT-A",),
    "StudyDate": ("20260304",),
    "PatientBirthDate": ("19650101",),
    "AccessionNumber": ("",),
    "ImageType": ("ORIGINAL", "PRIMARY"),
}


def failed(headers: list[Header], **asked: Any) -> list[tuple[str, str, int]]:
    check = Check.model_validate({"name": "c", **asked})
    return [(it.element, it.what, it.instances) for it in failures_of(check, headers, TODAY)]


@pytest.mark.parametrize(
    ("asked", "failures"),
    [
        ({"require": ["PatientID"]}, []),
        ({"require": ["AccessionNumber"]}, ["AccessionNumber has no value"]),
        ({"require": ["InstitutionName", "PatientID"]}, ["InstitutionName has no value"]),
        ({"pattern": {"PatientID": "^[0-9]+$"}}, []),
        ({"pattern": {"PatientID": "^[0-9]{5,10}$"}}, ["PatientID does not fit its pattern"]),
        ({"pattern": {"AccessionNumber": "^A"}}, ["AccessionNumber does not fit its pattern"]),
        ({"pattern": {"AccessionNumber": "^(A.*)?$"}}, []),
        ({"pattern": {"InstitutionName": "."}}, ["InstitutionName does not fit its pattern"]),
        ({"pattern": {"ImageType": "^(ORIGINAL|PRIMARY)$"}}, []),
        ({"pattern": {"ImageType": "^ORIGINAL$"}}, ["ImageType does not fit its pattern"]),
        ({"values": {"StationName": ["CT-A", "CT-B"]}}, []),
        ({"values": {"StationName": ["CT-B"]}}, ["StationName is not one of the listed values"]),
        ({"values": {"AccessionNumber": ["A"]}}, ["AccessionNumber is not one of the listed values"]),
        ({"values": {"AccessionNumber": ["A", ""]}}, []),
        ({"dates": ["StudyDate", "PatientBirthDate", "SeriesDate"]}, []),
    ],
)
def test_an_instance_fails_what_does_not_hold_for_it(asked: dict[str, Any], failures: list[str]) -> None:
    assert [f"{element} {what}" for element, what, _ in failed([CT], **asked)] == failures


@pytest.mark.parametrize(
    ("study", "birth", "failures"),
    [
        ("20260305", "19650101", []),  # tomorrow: another zone
        ("20260306", "19650101", ["StudyDate lies in the future"]),
        ("20260230", "19650101", ["StudyDate is not a date"]),
        ("2026-03-04", "19650101", ["StudyDate is not a date"]),
        ("２０２６0304", "19650101", ["StudyDate is not a date"]),
        ("2026.03.04", "19650101", []),
        ("18491231", "18400101", ["StudyDate lies before 1850", "PatientBirthDate lies before 1850"]),
        ("18500101", "18500101", []),
        ("20260304", "20260305", ["PatientBirthDate lies after StudyDate"]),
        ("20260304", "20260304", []),
        ("", "19650101", []),
        ("20260304", "", []),
    ],
)
def test_a_date_is_plausible_or_fails(study: str, birth: str, failures: list[str]) -> None:
    header = {**CT, "StudyDate": (study,), "PatientBirthDate": (birth,)}
    found = failed([header], dates=["StudyDate", "PatientBirthDate"])
    assert [f"{element} {what}" for element, what, _ in found] == failures


def test_the_match_of_a_check_says_which_instances_it_looks_at() -> None:
    sr = {**CT, "Modality": ("SR",), "PatientID": ()}
    assert failed([CT, sr, sr], require=["PatientID"]) == [("PatientID", "has no value", 2)]
    assert failed([CT, sr, sr], require=["PatientID"], match={"Modality": "CT"}) == []
    assert failed([CT, sr], require=["InstitutionName"], match={"Modality": "SR"})[0][2] == 1


def test_a_check_of_another_source_does_not_look() -> None:
    checks = (Check(name="a", match={"source": ("ct-*",)}), Check(name="b", match={"source": ("mr-1",)}))
    assert [check.name for check in applying(checks, {"source": "ct-1"})] == ["a"]


def test_two_patients_in_a_part_are_a_failure_and_one_is_what_the_study_is_known_by() -> None:
    check = Check(name="c", one_patient_per_study=True)
    (constant,) = constants_of(check, [CT, CT], "ct-1")
    assert isinstance(constant, Constant)
    assert (constant.name, constant.text) == ("ct-1.patient", "ID 4711")
    (failure,) = constants_of(check, [CT, CT, {**CT, "PatientID": ("4712",)}], "ct-1")
    assert isinstance(failure, Failure)
    assert (failure.element, failure.instances) == ("PatientID", 1)


def test_what_has_no_value_contradicts_nothing() -> None:
    check = Check(name="c", unchanged=("AccessionNumber", "PatientID"))
    found = constants_of(check, [CT, {**CT, "PatientID": ()}], "ct-1")
    assert [(it.name, it.text) for it in found if isinstance(it, Constant)] == [("PatientID", "4711")]


def test_a_patient_without_an_id_is_known_by_the_name() -> None:
    assert patient_of({**CT, "PatientID": ("",)}) == patient_of({"PatientName": ("CANARY^PATIENT^^",)})
    assert patient_of({}) == ""


def test_no_failure_tells_a_value() -> None:
    check = Check(name="c", pattern={"PatientID": "x"}, dates=("StudyDate",), one_patient_per_study=True)
    header = {**CT, "StudyDate": ("CANARY",)}
    said = reason_of(failures_of(check, [header], TODAY)) + repr(constants_of(check, [header], "ct-1"))
    assert "StudyDate is not a date in 1 of the instances" in said
    assert not any(value in said for value in ("4711", "CANARY"))
