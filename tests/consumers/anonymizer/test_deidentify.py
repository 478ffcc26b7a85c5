"""The rules for one data set."""

from datetime import date
from io import BytesIO

import pytest
from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence

from consumers.anonymizer.deidentify import deidentify
from shared.errors import ConfigError, DataSetError
from tests.consumers.anonymizer.inputs import ct, instance, rules

FULL, MODIFIED = "retain-longitudinal-full-dates", "retain-longitudinal-modified-dates"


def encoded(ds: Dataset) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = False, True
    write_dataset(buffer, ds)
    return buffer.getvalue()


def test_the_same_input_profile_and_key_give_the_same_bytes() -> None:
    made = rules(MODIFIED, pseudonyms={"PatientID": "HX{key:12}"})
    assert encoded(deidentify(ct(), made, issuer="HX")) == encoded(deidentify(ct(), made, issuer="HX"))


def test_another_key_gives_other_uids_and_pseudonyms() -> None:
    first, second = (
        deidentify(instance(), rules(key=key, pseudonyms={"PatientID": "HX{key:12}"}), issuer="HX")
        for key in (b"a" * 16, b"b" * 16)
    )
    assert first.StudyInstanceUID != second.StudyInstanceUID
    assert first.PatientID != second.PatientID


def test_pseudonyms_follow_the_source_s_issuer_and_not_the_issuer_in_the_data_set() -> None:
    made = rules(pseudonyms={"PatientID": "HX{key:12}"})
    told = instance()
    told.IssuerOfPatientID = "ELSEWHERE"
    plain = deidentify(instance(), made, issuer="HX").PatientID
    assert deidentify(told, made, issuer="HX").PatientID == plain
    assert deidentify(instance(), made, issuer="HY").PatientID != plain
    assert plain.startswith("HX")
    assert len(plain) == 14


def test_an_empty_patient_id_gets_no_pseudonym_that_all_unknown_patients_would_share() -> None:
    ds = instance()
    ds.PatientID = ""
    assert not deidentify(ds, rules(pseudonyms={"PatientID": "HX{key:12}"}), issuer="HX").PatientID


def test_a_pseudonym_does_not_depend_on_padding_or_character_set() -> None:
    made = rules(pseudonyms={"PatientName": "{key:20}"})
    names = []
    for charset, padding in (("ISO_IR 100", ""), ("ISO_IR 192", "  ")):
        ds = instance()
        ds.SpecificCharacterSet, ds.PatientName = charset, f"São^João^^^{padding}"
        parsed = read_dataset(BytesIO(encoded(ds)), False, True)
        names.append(str(deidentify(parsed, made, issuer="HX").PatientName))
    assert names[0] == names[1]


def test_references_inside_a_study_still_meet() -> None:
    image, other = instance("1.2.3.4.1"), instance("1.2.3.4.2")
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
    other.ReferencedImageSequence = Sequence([reference])
    clean, clean_other = (deidentify(ds, rules(), issuer="HX") for ds in (image, other))
    assert clean.StudyInstanceUID == clean_other.StudyInstanceUID
    assert clean.FrameOfReferenceUID == clean_other.FrameOfReferenceUID != "1.2.3.6"
    assert clean_other.ReferencedImageSequence[0].ReferencedSOPInstanceUID == clean.SOPInstanceUID
    assert clean_other.ReferencedImageSequence[0].ReferencedSOPClassUID == image.SOPClassUID
    assert clean.SOPInstanceUID.startswith("2.25.")
    assert len(clean.SOPInstanceUID) <= 64


def test_uids_of_the_standard_stay_and_retained_uids_stay() -> None:
    ds = instance()
    ds.FrameOfReferenceUID = "1.2.840.10008.1.4.1.1"
    clean = deidentify(ds, rules(), issuer="HX")
    assert (clean.SOPClassUID, clean.FrameOfReferenceUID) == (ds.SOPClassUID, ds.FrameOfReferenceUID)
    assert deidentify(ds, rules("retain-uids"), issuer="HX").StudyInstanceUID == "1.2.3.4"


def test_an_instance_uid_under_the_standard_s_root_is_replaced_all_the_same() -> None:
    ds = instance("1.2.840.10008.4711.1")
    assert deidentify(ds, rules(), issuer="HX").SOPInstanceUID.startswith("2.25.")


def test_the_output_says_what_was_done_and_claims_no_option_that_is_not_built() -> None:
    clean = deidentify(ct(), rules("retain-device-identity", "clean-descriptors", "retain-safe-private"), issuer="HX")
    codes = [item.CodeValue for item in clean.DeidentificationMethodCodeSequence]
    assert codes == ["113100", "113109"]
    assert clean.PatientIdentityRemoved == "YES"
    assert clean.DeidentificationMethod.startswith("dcmrelay basic profile")


@pytest.mark.parametrize(("option", "said"), [("retain-uids", "REMOVED"), (FULL, "UNMODIFIED"), (MODIFIED, "MODIFIED")])
def test_the_output_says_whether_dates_were_changed(option: str, said: str) -> None:
    assert deidentify(instance(), rules(option), issuer="HX").LongitudinalTemporalInformationModified == said


def test_full_dates_stay_and_a_date_that_is_none_does_not() -> None:
    ds = instance()
    assert deidentify(ds, rules(FULL), issuer="HX").StudyDate == "20240229"
    broken = read_dataset(BytesIO(encoded(ds).replace(b"20240229", b"SMITH JO")), False, True)
    assert deidentify(broken, rules(FULL), issuer="HX")["StudyDate"].is_empty


def test_modified_dates_move_by_the_same_whole_days_for_every_study_of_a_patient() -> None:
    first, second, stranger = instance(), instance(), instance()
    first.StudyDate, first.AcquisitionDateTime, first.StudyTime = "20240301", "20240301101500.123+0100", "101500"
    second.StudyDate, stranger.StudyDate, stranger.PatientID = "20240308", "20240301", "9999"
    made = rules(MODIFIED)
    a, b, c = (deidentify(ds, made, issuer="HX") for ds in (first, second, stranger))
    assert a.StudyDate not in ("20240301", "")
    assert a.AcquisitionDateTime == f"{a.StudyDate}101500.123+0100"
    assert a.StudyTime == "101500"
    assert c.StudyDate != a.StudyDate
    assert (_day(b.StudyDate) - _day(a.StudyDate)) == 7


def _day(value: str) -> int:
    return date.fromisoformat(f"{value[:4]}-{value[4:6]}-{value[6:]}").toordinal()


def test_options_keep_what_they_name_and_nothing_else() -> None:
    ds = instance()
    ds.PatientAge, ds.PatientWeight, ds.StationName, ds.InstitutionName = "041Y", "70", "CT-A", "Hospital"
    patient = deidentify(ds, rules("retain-patient-characteristics"), issuer="HX")
    device = deidentify(ds, rules("retain-device-identity"), issuer="HX")
    place = deidentify(ds, rules("retain-institution-identity"), issuer="HX")
    assert (patient.PatientAge, patient.StationName) == ("041Y", "ANONYMIZED")
    assert (device.StationName, "PatientAge" in device) == ("CT-A", False)
    assert (place.InstitutionName, place.StationName) == ("Hospital", "ANONYMIZED")


def test_constants_are_set_last_and_spelled_as_the_character_set_can() -> None:
    made = rules(set_after={"InstitutionName": "Hospital São João"})
    ascii_only, latin = instance(), instance()
    latin.SpecificCharacterSet = "ISO_IR 100"
    parsed = read_dataset(BytesIO(encoded(latin)), False, True)
    assert deidentify(ascii_only, made, issuer="HX").InstitutionName == "Hospital Sao Joao"
    assert "Hospital São João".encode("latin-1") in encoded(deidentify(parsed, made, issuer="HX"))


def test_nesting_beyond_the_bound_is_refused() -> None:
    ds = instance()
    for _ in range(66):
        outer = instance()
        outer.SourceImageSequence = Sequence([ds])
        ds = outer
    with pytest.raises(DataSetError, match="nested"):
        deidentify(ds, rules(), issuer="HX")


@pytest.mark.parametrize(
    ("sections", "key", "named"),
    [
        ({"pseudonyms": {"PatientID": "HX"}}, b"k" * 16, "pseudonyms.PatientID"),
        ({"pseudonyms": {"AccessionNumber": "{key:40}"}}, b"k" * 16, "pseudonyms.AccessionNumber"),
        ({"set_after": {"Rows": "1"}}, b"k" * 16, "set_after.Rows"),
        ({"set_after": {"NoSuchThing": "1"}}, b"k" * 16, "set_after.NoSuchThing"),
        ({"objects": {"images": "send"}}, b"k" * 16, "objects.images"),
        ({"objects": {"image": "keep"}}, b"k" * 16, "objects.image"),
        ({}, b"short", "key_file"),
    ],
)
def test_a_profile_that_cannot_be_is_refused(sections: dict[str, dict[str, str]], key: bytes, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        rules(key=key, **sections)


def test_full_and_modified_dates_together_are_refused() -> None:
    with pytest.raises(ConfigError, match="exclude"):
        rules(FULL, MODIFIED)


def test_the_key_shows_in_no_description_of_the_rules() -> None:
    assert "kkkk" not in repr(rules())
