"""Which kinds of object go, wait or fall."""

import pytest
from pydicom import Dataset

from consumers.anonymizer.objects import CATEGORIES, NEVER_SENT, category_of, withheld
from tests.consumers.anonymizer.inputs import instance

STORAGE = "1.2.840.10008.5.1.4.1.1."
US, SC, CT = STORAGE + "6.1", STORAGE + "7", STORAGE + "2"


def outcome(ds: Dataset, **objects: str) -> str:
    stopped = withheld(ds, objects)
    return stopped.outcome if stopped else "sent"


@pytest.mark.parametrize(
    ("sop_class_uid", "category"),
    [
        (CT, "image"),
        (STORAGE + "1.2.1", "image"),
        (STORAGE + "4.1", "image"),
        (STORAGE + "128", "image"),
        (STORAGE + "66.4", "image"),
        (US, "ultrasound"),
        (STORAGE + "77.1.1.1", "visible_light"),
        (STORAGE + "7.4", "secondary_capture"),
        (STORAGE + "9.1.1", "waveform"),
        (STORAGE + "11.1", "presentation_state"),
        (STORAGE + "88.67", "dose_sr"),
        (STORAGE + "88.33", "structured_report"),
        (STORAGE + "104.1", "encapsulated"),
        (STORAGE + "66", "raw_data"),
        (STORAGE + "481.3", "radiotherapy"),
        (STORAGE + "999", "other"),
        ("1.2.840.10008.1.3.10", "other"),
        ("1.2.840.113619.4.26", "private"),
        ("", "private"),
    ],
)
def test_a_sop_class_has_a_category(sop_class_uid: str, category: str) -> None:
    assert category_of(sop_class_uid) == category


def test_what_is_not_plainly_an_image_is_held_unless_the_profile_says_otherwise() -> None:
    assert outcome(instance()) == "sent"
    for sop_class_uid in (US, SC, STORAGE + "88.33", STORAGE + "104.1", STORAGE + "999", "1.2.3"):
        assert outcome(instance(sop_class_uid=sop_class_uid)) == "held"
    assert outcome(instance(sop_class_uid=SC), secondary_capture="send") == "sent"
    assert outcome(instance(sop_class_uid="1.2.3"), private="drop") == "dropped"


@pytest.mark.parametrize("category", sorted(NEVER_SENT))
def test_what_cannot_be_cleaned_yet_is_held_even_when_the_profile_says_send(category: str) -> None:
    examples = {"dose_sr": "88.67", "structured_report": "88.11", "presentation_state": "11.1", "encapsulated": "104.1"}
    assert outcome(instance(sop_class_uid=STORAGE + examples[category]), **{category: "send"}) == "held"


def test_burned_in_annotation_and_screen_saves_hold_an_image() -> None:
    burned, saved, captured = instance(), instance(), instance()
    burned.BurnedInAnnotation = "YES"
    saved.ImageType = ["DERIVED", "SECONDARY", "SCREEN SAVE"]
    captured.ConversionType = "WSD"
    assert [outcome(ds) for ds in (burned, saved, captured)] == ["held", "held", "held"]
    assert outcome(burned, burned_in="drop") == "dropped"


def test_ultrasound_goes_when_it_declares_itself_clean() -> None:
    ds = instance(sop_class_uid=US)
    ds.BurnedInAnnotation = "NO"
    assert outcome(ds) == "sent"
    assert outcome(ds, ultrasound="hold") == "held"


def test_overlays_inside_the_pixel_data_hold_an_image() -> None:
    ds = instance()
    ds.add_new(0x60000102, "US", 12)
    assert outcome(ds) == "held"
    ds.add_new(0x60003000, "OW", b"\0\0")
    assert outcome(ds) == "sent"


def test_every_category_but_plain_images_waits_by_default() -> None:
    assert [category for category, verdict in CATEGORIES.items() if verdict == "send"] == ["image"]
