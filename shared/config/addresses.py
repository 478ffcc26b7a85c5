"""Where an element is: by keyword, tag, or private creator, in nested items by path.

    PatientID
    RequestAttributesSequence.RequestedProcedureID     of every item
    (0018,1030)                                        by tag
    (0009,xx10) ACME 1.0                               by private creator, as a conformance statement writes it

No I/O, no clock, no globals but a cache. Source: PS3.5 7.8.1 (private data elements).
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from shared.config.values import did_you_mean, shown
from shared.dictionary import keywords, vr_of_tag

_TAG = re.compile(r"\(([0-9A-Fa-f]{4}),([0-9A-Fa-f]{4})\)")
_PRIVATE = re.compile(r"\(([0-9A-Fa-f]{3}[13579BbDdFf]),[Xx]{2}([0-9A-Fa-f]{2})\) *(\S.{0,63})")
_STEP = re.compile(r"([A-Za-z0-9]+|\([0-9A-Fa-f]{4},[0-9A-Fa-f]{4}\))\.")
_CHARACTER_SET = 0x00080005
_ORIGINAL_ATTRIBUTES = 0x04000561


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where an element is.

    Args:
        text: as a person wrote it.
        way: tags of the sequences that lead to it, from the root.
        tag: of the element; by private creator its group and the last two digits.
        creator: private creator; empty when the tag is whole.
    """

    text: str
    way: tuple[int, ...]
    tag: int
    creator: str = ""

    @property
    def vr(self) -> str:
        """The data dictionary's VR; empty when it does not know the element, or knows several VRs."""
        vr = "" if self.creator else vr_of_tag(self.tag)
        return "" if " or " in vr else vr


@lru_cache(maxsize=4096)
def parse_address(text: str) -> Address:
    """Return the address of an element in a data set.

    Raises:
        ValueError: says what to write instead.
    """
    way, rest = [], text
    while step := _STEP.match(rest):
        way.append(_sequence(step[1]))
        rest = rest[step.end() :]
    if private := _PRIVATE.fullmatch(rest):
        tag = int(private[1], 16) << 16 | int(private[2], 16)
        return Address(text=text, way=tuple(way), tag=tag, creator=private[3].strip())
    return Address(text=text, way=tuple(way), tag=_tag(rest))


def _sequence(text: str) -> int:
    tag = _tag(text)
    if not tag >> 16 & 1 and vr_of_tag(tag) != "SQ":
        raise ValueError(f"{shown(text)} is no sequence, so nothing is in it; write the keyword of a sequence")
    return tag


def _tag(text: str) -> int:
    if found := _TAG.fullmatch(text):
        tag = int(found[1], 16) << 16 | int(found[2], 16)
    elif text in keywords() and text:
        tag = keywords()[text]
    else:
        near = did_you_mean(text, keywords())
        tags = "" if near else '; write a keyword, a tag as "(0018,1030)", or "(0009,xx10) CREATOR"'
        raise ValueError(f"{shown(text)} is not a DICOM keyword{near}{tags}")
    if tag >> 16 <= 0x0002 or tag >> 16 >= 0xFFFA:
        raise ValueError(f"{text} stands in the command or the file meta information, not in the data set; remove it")
    return tag


def unchangeable(address: Address) -> str:
    """Why no edit may ever change an element; empty when one may."""
    element = address.tag & 0xFFFF
    if address.tag == _CHARACTER_SET:
        return "says how the text is written; the relay keeps it right by itself"
    if address.tag == _ORIGINAL_ATTRIBUTES:
        return "is written with original_attributes = true"
    if address.tag in (0x00080016, 0x00080018) and not address.way:
        return "names the instance itself, and the relay sees to it; see correction in a route"
    if address.tag >> 16 == 0x7FE0:
        return "belongs to the pixel data, which no edit touches"
    if not address.creator and (element == 0 or (address.tag >> 16 & 1 and element <= 0xFF)):
        return "is a group length or a private creator; name the element that you mean"
    return ""


def protected(address: Address) -> bool:
    """Whether an edit may change an element only when `allow` names it: UIDs, and what describes the pixel data."""
    return address.vr == "UI" or address.tag in _PIXEL_DESCRIPTION


_KEYWORDS = """
    SamplesPerPixel PhotometricInterpretation PlanarConfiguration NumberOfFrames Rows Columns BitsAllocated BitsStored
    HighBit PixelRepresentation SmallestImagePixelValue LargestImagePixelValue PixelPaddingValue
    PixelPaddingRangeLimit PixelSpacing ImagerPixelSpacing PixelAspectRatio RescaleIntercept RescaleSlope RescaleType
    RedPaletteColorLookupTableDescriptor GreenPaletteColorLookupTableDescriptor BluePaletteColorLookupTableDescriptor
    RedPaletteColorLookupTableData GreenPaletteColorLookupTableData BluePaletteColorLookupTableData
    LossyImageCompression LossyImageCompressionRatio LossyImageCompressionMethod
    ImagePositionPatient ImageOrientationPatient SliceThickness SpacingBetweenSlices
    """
_PIXEL_DESCRIPTION = frozenset(keywords()[keyword] for keyword in _KEYWORDS.split())
