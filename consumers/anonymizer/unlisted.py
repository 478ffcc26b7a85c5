"""What happens to an element that Table E.1-1 does not list. No I/O, no clock, no globals.

The table names what identifies; the standard keeps the rest. A relay cannot be so trusting: vendors write names into
elements that nobody listed. Hence, for elements without a row:

- private elements, elements unknown to the data dictionary, groups 0000, 0002, 0004, 50xx (curves) and 60xx (overlays),
  and group lengths are removed;
- PN, LO and SH are emptied, unless SAFE_TEXT names them;
- UI is replaced unless it is a constant of the standard (1.2.840.10008.…) or of its registry of UIDs;
- DA, DT, TM, AS, AE, UR, LT, ST, UT, UC, UN are removed, unless SAFE_TEXT names them;
- CS, DS and IS stay when every value is spelled as its VR allows, else they are removed;
- numbers (US, FD, AT …) stay; OF, OD, OL, OV stay; OB and OW stay when SAFE_BULK names them;
- sequences stay and the rules apply inside;
- an element whose VR is not the dictionary's is removed.

Source: PS3.15 E.1.1 and E.2; PS3.5 6.2 for what a value may hold.
"""

import re
from typing import Literal

from pydicom._uid_dict import UID_dictionary
from pydicom.datadict import dictionary_has_tag, dictionary_VR, tag_for_keyword

Action = Literal["X", "Z", "D", "K", "U", "shift", "pseudonym"]

_SAFE_TEXT_KEYWORDS = """
    AcquisitionDeviceProcessingCode AlgorithmName AlgorithmVersion ApplicationManufacturer ApplicationName
    ApplicationVersion AttenuationCorrectionMethod CodeMeaning CodeValue CodingSchemeDesignator CodingSchemeVersion
    ConvolutionKernel DetectorManufacturerModelName DetectorManufacturerName DimensionDescriptionLabel
    EnergyWindowName FilterType ImagedNucleus LUTExplanation LongCodeValue Manufacturer ManufacturerModelName
    ManufacturerModelVersion MappingResourceName MaterialID ModalityLUTType MultiCoilConfiguration
    MultiCoilElementName OpticalPathIdentifier PhosphorType PlateType PositionReferenceIndicator PulseSequenceName
    Radiopharmaceutical ReceiveCoilManufacturerName ReceiveCoilName ReconstructionMethod RescaleType
    ScatterCorrectionMethod SegmentAlgorithmName SegmentLabel SequenceName SoftwareVersions StackID StageName
    TransducerData TransmitCoilManufacturerName TransmitCoilName TriggerSourceOrType ViewName
    WindowCenterWidthExplanation
    """
_SAFE_BULK_KEYWORDS = """
    AlphaPaletteColorLookupTableData BluePaletteColorLookupTableData GreenPaletteColorLookupTableData ICCProfile LUTData
    PixelData RedPaletteColorLookupTableData SegmentedAlphaPaletteColorLookupTableData
    SegmentedBluePaletteColorLookupTableData SegmentedGreenPaletteColorLookupTableData
    SegmentedRedPaletteColorLookupTableData WaveformData WaveformPaddingValue ChannelMinimumValue ChannelMaximumValue
    """


def _tags(keywords: str) -> frozenset[int]:
    return frozenset(tag for tag in map(tag_for_keyword, keywords.split()) if tag is not None)


SAFE_TEXT = _tags(_SAFE_TEXT_KEYWORDS)
SAFE_BULK = _tags(_SAFE_BULK_KEYWORDS)

_REMOVED_GROUPS = (0x0000, 0x0002, 0x0004)
_BY_VR: dict[str, Action] = {"PN": "Z", "LO": "Z", "SH": "Z", "UI": "U"}
_BY_VR |= dict.fromkeys(
    ("SQ", "AT", "FD", "FL", "SL", "SS", "SV", "UL", "US", "UV", "CS", "DS", "IS", "OF", "OD", "OL", "OV"), "K"
)
_SPELLING: dict[str, re.Pattern[str]] = {
    "CS": re.compile(r"[A-Z0-9_ ]{0,16}"),
    "DS": re.compile(r" *[0-9+\-.eE]{0,16} *"),
    "IS": re.compile(r" *[0-9+\-]{0,12} *"),
    "DA": re.compile(r"[0-9]{4}(0[1-9]|1[0-2])([0-2][0-9]|3[01]) *|"),
    "TM": re.compile(r"([01][0-9]|2[0-3])([0-5][0-9]([0-6][0-9](\.[0-9]{1,6})?)?)? *|"),
    "DT": re.compile(r"[0-9]{4}([0-9]{2}){0,5}(\.[0-9]{1,6})?([+-][0-9]{4})? *|"),
    "AS": re.compile(r"[0-9]{3}[DWMY] *|"),
    "UI": re.compile(r"[0-9.]{0,64}"),
}


def removed_whole(tag: int) -> bool:
    """Whether the tag goes whatever the table says: private, unknown, curve, overlay, meta, group length."""
    group, element = tag >> 16, tag & 0xFFFF
    if group & 1 or group in _REMOVED_GROUPS or element == 0 or 0x5000 <= group <= 0x501E or 0x6000 <= group <= 0x601E:
        return True
    return not dictionary_has_tag(tag)


def unlisted_action(tag: int, vr: str) -> Action:
    """What to do with an element that is known and has no row: keep, empty, replace the UID or remove."""
    if tag in SAFE_TEXT or tag in SAFE_BULK:
        return "K"
    return _BY_VR.get(vr, "X")


def vr_fits(tag: int, vr: str) -> bool:
    """Whether a VR is the data dictionary's for this tag; `UN` fits where the sender did not know better."""
    return vr == "UN" or vr in dictionary_VR(tag).split(" or ")


def well_spelled(vr: str, text: str) -> bool:
    """Whether every value of a text reads as its VR demands; VRs without a spelling of their own always do."""
    spelling = _SPELLING.get(vr)
    return spelling is None or all(spelling.fullmatch(value.rstrip("\0")) for value in text.split("\\"))


def constant_uid(uid: str) -> bool:
    """Whether the UID names a thing that is the same for everybody: a SOP class, a transfer syntax, a coding scheme."""
    return uid in UID_dictionary


def standard_or_constant_uid(uid: str) -> bool:
    """Whether the UID is such a constant or lies under the root that only the standard hands out."""
    return constant_uid(uid) or (uid.startswith("1.2.840.10008.") and well_spelled("UI", uid))
