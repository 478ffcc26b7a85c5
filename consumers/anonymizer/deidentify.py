"""De-identify one data set: a new data set comes out, the old one stays as it was read. No I/O, no clock, no globals.

Every element goes one way: the rules that nothing changes (`unlisted.removed_whole`), else the table with the profile's
options (`rules.Rules.actions`), else the general rules (`unlisted`). Values that stay keep their bytes. An option
keeps a value only when it is spelled as its VR demands; otherwise the Basic Profile acts. Sequences that stay are
treated item by item.

Source: PS3.15 E.1 to E.3; DESIGN.md section 3 for the pins that demand equal bytes from equal input.
"""

import unicodedata
from contextlib import suppress
from dataclasses import dataclass

from pydicom import Dataset
from pydicom.charset import decode_bytes
from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence

from consumers.anonymizer.pseudonyms import pseudonym, replacement_uid, shift_days, shifted
from consumers.anonymizer.rules import Profile, Rules, rules_of
from consumers.anonymizer.unlisted import (
    Action,
    constant_uid,
    removed_whole,
    standard_or_constant_uid,
    unlisted_action,
    vr_fits,
    well_spelled,
)
from shared.errors import DataSetError
from shared.forms import ENGINE_VERSION

__all__ = ["DEPTH_MAX", "Profile", "Rules", "deidentify", "rules_of"]

DEPTH_MAX = 64
METHOD = f"dcmrelay basic profile, engine {ENGINE_VERSION}"

Element = DataElement | RawDataElement
_PIXEL_GROUP = 0x7FE0
_PATIENT_ID = 0x00100020
_STUDY_INSTANCE_UID = 0x0020000D
_DUMMY_TEXT = "ANONYMIZED"
_DUMMIES: dict[str, str | int | bytes] = {
    "AS": "000Y",
    "DA": "19000101",
    "DS": "0",
    "DT": "19000101000000",
    "IS": "0",
    "TM": "000000",
    "UR": "urn:uuid:00000000-0000-0000-0000-000000000000",
}
_DUMMIES |= dict.fromkeys(("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UT"), _DUMMY_TEXT)
_DUMMIES |= dict.fromkeys(("AT", "SL", "SS", "SV", "UL", "US", "UV", "FD", "FL"), 0)
_DUMMIES |= dict.fromkeys(("OB", "OD", "OF", "OL", "OV", "OW", "UN"), bytes(8))


@dataclass(frozen=True, kw_only=True)
class _Subject:
    """Whose data set it is: what all its elements are treated with."""

    rules: Rules
    issuer: str
    days: int


def deidentify(ds: Dataset, rules: Rules, *, issuer: str) -> Dataset:
    """The de-identified data set.

    Args:
        ds: one instance's data set, without file meta; pixel data may be absent. Sequences in it get parsed, values
            are not changed.
        rules: the profile, from `rules_of`.
        issuer: the source's domain of patient IDs, from the configuration.

    Returns:
        A new data set in the encoding of `ds`; equal input, rules and issuer give equal output. An empty element stays
        empty: a pseudonym of nothing would be one for all.

    Raises:
        DataSetError: sequences nested more than DEPTH_MAX deep.
    """
    patient = _text(ds, _PATIENT_ID) or _text(ds, _STUDY_INSTANCE_UID)
    subject = _Subject(rules=rules, issuer=issuer, days=shift_days(rules.key, issuer=issuer, patient=patient))
    clean = _cleaned(ds, subject, depth=0)
    for tag, constant in rules.set_after.items():
        clean[tag] = DataElement(tag, dictionary_VR(tag), _written(constant, ds))
    _declare(clean, rules)
    return clean


def _declare(clean: Dataset, rules: Rules) -> None:
    """Say in the data set what was done to it. Source: PS3.15 E.1.1 steps 5 to 7, PS3.3 C.12.1, CID 7050."""
    clean.PatientIdentityRemoved = "YES"
    clean.DeidentificationMethod = METHOD
    clean.DeidentificationMethodCodeSequence = Sequence([_code(value, meaning) for value, meaning in rules.codes])
    clean.LongitudinalTemporalInformationModified = rules.dates


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
    return item


def _cleaned(ds: Dataset, subject: _Subject, *, depth: int, dummy: bool = False) -> Dataset:
    if depth > DEPTH_MAX:
        raise DataSetError(f"sequences are nested more than {DEPTH_MAX} deep")
    clean = Dataset(parent_encoding=ds.original_character_set)
    implicit, little = ds.original_encoding
    clean.set_original_encoding(implicit, little, ds.original_character_set)
    for tag in sorted(ds.keys()):
        if removed_whole(tag) or (depth and tag >> 16 == _PIXEL_GROUP):
            continue
        element = _treated(ds, tag, subject, depth=depth, dummy=dummy)
        if element is not None:
            clean[tag] = element
    return clean


def _treated(ds: Dataset, tag: int, subject: _Subject, *, depth: int, dummy: bool) -> Element | None:
    """One element after its action; None when it goes."""
    element = ds.get_item(tag)
    vr = element.VR if element.VR not in (None, "UN") else dictionary_VR(tag)
    action = subject.rules.actions.get(tag) or unlisted_action(tag, vr)
    if action in ("K", "shift") and not _may_stay(tag, element, vr):
        action = subject.rules.basic.get(tag, "X")
    if dummy and action in ("K", "shift", "D"):
        action = "D"
    if dictionary_VR(tag) == "SQ":
        return _treated_sequence(ds, tag, action, subject, depth=depth, dummy=dummy)
    return _replaced(ds, tag, element, action, subject)


def _may_stay(tag: int, element: Element, vr: str) -> bool:
    return vr_fits(tag, vr) and (vr == "SQ" or well_spelled(vr, _latin(element)))


def _treated_sequence(
    ds: Dataset, tag: int, action: Action, subject: _Subject, *, depth: int, dummy: bool
) -> Element | None:
    """A sequence after its action; D keeps the items' shape and makes every value in them a dummy."""
    if action == "X":
        return None
    if action == "Z":
        return DataElement(tag, "SQ", Sequence())
    items = ds[tag].value if ds[tag].VR == "SQ" else None
    if items is None:
        return None
    inside = [_cleaned(item, subject, depth=depth + 1, dummy=dummy or action == "D") for item in items]
    return DataElement(tag, "SQ", Sequence(inside))


def _replaced(ds: Dataset, tag: int, element: Element, action: Action, subject: _Subject) -> Element | None:
    """A plain element after its action."""
    if action == "X":
        return None
    vr = dictionary_VR(tag).split(" or ")[0]
    if action == "K" or (action == "shift" and vr in ("TM", "SH")):
        return element
    if action == "Z" or _empty(element):
        return DataElement(tag, vr, None)
    if action == "shift":
        moved = shifted(_latin(element), subject.days) if vr in ("DA", "DT") else None
        basic = subject.rules.basic.get(tag, "X")
        return DataElement(tag, vr, moved) if moved else _replaced(ds, tag, element, basic, subject)
    return DataElement(tag, vr, _value(ds, tag, vr, element, action, subject))


def _value(ds: Dataset, tag: int, vr: str, element: Element, action: Action, subject: _Subject) -> object:
    if action == "U" or vr == "UI":
        return _uids(tag, _latin(element), subject.rules)
    if action == "pseudonym":
        rules, keyword = subject.rules, keyword_for_tag(tag)
        template = _written(rules.templates[tag], ds)
        return pseudonym(rules.key, template, keyword=keyword, issuer=subject.issuer, original=_text(ds, tag))
    return _DUMMIES[vr]


def _uids(tag: int, text: str, rules: Rules) -> list[str]:
    """Each UID replaced, but for constants; under an element that Table E.1-1 lists only those of the registry are."""
    uids = [uid.strip(" \0") for uid in text.split("\\")]
    constant = constant_uid if tag in rules.basic else standard_or_constant_uid
    return [uid if not uid or constant(uid) else replacement_uid(rules.key, uid) for uid in uids]


def _empty(element: Element) -> bool:
    return not element.value if isinstance(element, RawDataElement) else element.is_empty


def _latin(element: Element) -> str:
    """The value as text for VRs that are ASCII by nature; every byte gives one letter."""
    value = element.value
    if isinstance(value, bytes):
        return value.decode("latin-1")
    values = value if isinstance(value, MultiValue | list | tuple) else [value]
    return "\\".join("" if single is None else str(single) for single in values)


def _written(text: str, ds: Dataset) -> str:
    """A constant as the data set's character set can hold it: without its accents where it cannot hold them."""
    charset = ds.original_character_set or "iso8859"
    names = [charset] if isinstance(charset, str) else list(charset)
    if len(names) == 1 and names[0] != "iso8859":
        with suppress(UnicodeEncodeError):
            text.encode(names[0])
            return text
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()


def _text(ds: Dataset, tag: int) -> str:
    """The value of a text element as letters, in whatever character set it came, without padding; empty when absent."""
    if tag not in ds:
        return ""
    element = ds.get_item(tag)
    if isinstance(element, RawDataElement):
        charset = ds.original_character_set or "iso8859"
        text = decode_bytes(element.value or b"", [charset] if isinstance(charset, str) else list(charset), set())
    else:
        text = _latin(element)
    return text.strip(" \0").rstrip("^ ")
