"""Which instances a profile sends, holds or drops as a whole, by kind of object. No I/O, no clock, no globals.

De-identifying elements is not enough where people write into pixels, documents or report trees. What is not plainly an
image of a modality is held unless the profile says otherwise, and what the engine cannot clean yet is never sent.

Source: PS3.4 B.5 (SOP classes), PS3.15 E.1; PS3.3 C.7.6.1 for (0028,0301) and C.9.2 for overlays inside pixel data.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydicom import Dataset

from shared.config.profiles import NEVER_SENT

Verdict = Literal["send", "hold", "drop"]

# Category of object: what happens to it when the profile is silent.
CATEGORIES: dict[str, Verdict] = {
    "image": "send",
    "ultrasound": "hold",  # machines burn the patient's name in; sent all the same when (0028,0301) says NO
    "visible_light": "hold",  # likewise
    "secondary_capture": "hold",
    "burned_in": "hold",  # (0028,0301) says YES, or overlay planes lie inside the pixel data
    "dose_sr": "hold",
    "structured_report": "hold",
    "presentation_state": "hold",
    "encapsulated": "hold",
    "waveform": "hold",
    "radiotherapy": "hold",
    "raw_data": "hold",
    "private": "hold",
    "other": "hold",
}
_UNLESS_DECLARED_CLEAN = frozenset(("ultrasound", "visible_light"))

_STANDARD = "1.2.840.10008."
_STORAGE = "1.2.840.10008.5.1.4.1.1."
# By what follows the storage root; the longest that fits wins. A number ends at a dot or at the end.
_KINDS: dict[str, str] = {
    "1": "image",
    "2": "image",
    "3": "ultrasound",
    "4": "image",
    "5": "image",
    "6": "ultrasound",
    "7": "secondary_capture",
    "9": "waveform",
    "11": "presentation_state",
    "12": "image",
    "13": "image",
    "14": "image",
    "20": "image",
    "30": "image",
    "66": "raw_data",
    "66.1": "other",
    "66.2": "other",
    "66.3": "other",
    "66.4": "image",
    "66.5": "other",
    "66.6": "other",
    "77": "visible_light",
    "88": "structured_report",
    "88.67": "dose_sr",
    "88.68": "dose_sr",
    "88.73": "dose_sr",
    "88.76": "dose_sr",
    "104": "encapsulated",
    "128": "image",
    "130": "image",
    "481": "radiotherapy",
}


@dataclass(frozen=True, kw_only=True)
class Withheld:
    """An instance that does not go.

    Args:
        outcome: held for a person, or dropped because the profile says so.
        reason: one line without any value of the data set.
    """

    outcome: Literal["held", "dropped"]
    reason: str


def objects_problems(objects: Mapping[str, str]) -> list[str]:
    """One line per problem of a profile's `objects`, each beginning with the key it is about."""
    problems = [
        f"objects.{name}: is no category; there are {', '.join(CATEGORIES)}" for name in objects.keys() - CATEGORIES
    ]
    problems += [
        f'objects.{name}: must be "send", "hold" or "drop"'
        for name, verdict in objects.items()
        if verdict not in ("send", "hold", "drop")
    ]
    return sorted(problems)


def category_of(sop_class_uid: str) -> str:
    """The category of a SOP class; `private` outside the standard's root, `other` for what this table does not know."""
    if not sop_class_uid.startswith(_STANDARD):
        return "private"
    if not sop_class_uid.startswith(_STORAGE):
        return "other"
    numbers = sop_class_uid.removeprefix(_STORAGE).split(".")
    candidates = (".".join(numbers[:count]) for count in range(len(numbers), 0, -1))
    return next((_KINDS[candidate] for candidate in candidates if candidate in _KINDS), "other")


def categories_of(ds: Dataset) -> list[str]:
    """Every category that applies to an instance, its SOP class's first."""
    found = [category_of(str(ds.get("SOPClassUID", "")))]
    burned_in = _coded(ds, "BurnedInAnnotation")
    if found[0] in _UNLESS_DECLARED_CLEAN and burned_in == ["NO"]:
        found.append("image")
    if any("SCREEN" in word for word in _coded(ds, "ImageType")) or "ConversionType" in ds:
        found.append("secondary_capture")
    if burned_in == ["YES"] or _overlay_in_pixels(ds):
        found.append("burned_in")
    return found


def withheld(ds: Dataset, objects: Mapping[str, str]) -> Withheld | None:
    """Why an instance does not go; None when it may, once de-identified. Of several categories the strictest decides.

    Args:
        ds: the instance as received.
        objects: the profile's verdict by category.
    """
    found = categories_of(ds)
    verdicts = {category: _verdict(category, objects, declared_clean=found[1:2] == ["image"]) for category in found}
    for category, verdict in verdicts.items():
        if verdict == "drop":
            return Withheld(outcome="dropped", reason=f"the profile drops objects of category {category}")
    for category, verdict in verdicts.items():
        if verdict == "hold":
            return Withheld(outcome="held", reason=_held_because(category, objects))
    return None


def _verdict(category: str, objects: Mapping[str, str], *, declared_clean: bool) -> str:
    default = "send" if declared_clean and category in _UNLESS_DECLARED_CLEAN else CATEGORIES[category]
    verdict = objects.get(category, default)
    return "hold" if verdict == "send" and category in NEVER_SENT else verdict


def _held_because(category: str, objects: Mapping[str, str]) -> str:
    if objects.get(category) == "send":
        return f"objects of kind {category} cannot be cleaned yet, so they are not sent; drop or hold them"
    return f'objects of kind {category} are held: see to them by hand; objects.{category} = "drop" drops new ones'


def _coded(ds: Dataset, keyword: str) -> list[str]:
    """The values of a CS element, in capitals without padding."""
    value = ds.get(keyword)
    values = [] if value is None else [value] if isinstance(value, str) else list(value)
    return [str(single).strip().upper() for single in values]


def _overlay_in_pixels(ds: Dataset) -> bool:
    """Whether an overlay plane has no data element of its own, so that it lies in unused bits of the pixel data."""
    groups = {tag >> 16 for tag in ds.keys() if 0x6000 <= tag >> 16 <= 0x601E and not tag >> 16 & 1}  # noqa: SIM118
    return any((group << 16) + 0x3000 not in ds and (group << 16) + 0x0102 in ds for group in groups)
