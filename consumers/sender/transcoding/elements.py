"""How an element is written in each encoding. No I/O, no clock, no globals.

Source: PS3.5 6.2 (VRs), 7.1 (elements), 7.3 (byte order), Annex A (transfer syntaxes).
"""

from array import array
from dataclasses import dataclass
from struct import Struct

from pydicom.datadict import dictionary_VR

IMPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2"
EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"

UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
PIXEL_DATA = 0x7FE00010
LONG_VRS = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))

_SWAPPED = {b"AT": "H", b"US": "H", b"SS": "H", b"OW": "H", b"UL": "I", b"SL": "I", b"FL": "I", b"OF": "I", b"OL": "I"}
_SWAPPED |= {b"FD": "Q", b"OD": "Q", b"SV": "Q", b"UV": "Q", b"OV": "Q"}
_IMPLICIT, _SHORT, _LONG = Struct("<HHL"), Struct("<HH2sH"), Struct("<HH2sxxL")


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """How a data set is written: implicit or explicit VR, little or big endian."""

    implicit: bool = False
    little: bool = True


IMPLICIT = Encoding(implicit=True)


def encoding_of(transfer_syntax_uid: str) -> Encoding:
    """The encoding of a transfer syntax of the standard; of a deflated one, when inflated."""
    return Encoding(implicit=transfer_syntax_uid == IMPLICIT_LITTLE_ENDIAN, little=transfer_syntax_uid != BIG_ENDIAN)


def head(tag: int, vr: bytes, length: int, encoding: Encoding) -> bytes:
    """Tag, VR and length of an element or item, little endian; UN when too long for its VR (PS3.5 6.2.2)."""
    group, element = tag >> 16, tag & 0xFFFF
    if encoding.implicit or group == 0xFFFE:
        return _IMPLICIT.pack(group, element, length)
    if vr in LONG_VRS or length > 0xFFFF:
        return _LONG.pack(group, element, vr if vr in LONG_VRS else b"UN", length)
    return _SHORT.pack(group, element, vr, length)


def vr_of(tag: int, *, signed: bool) -> bytes:
    """The VR of an element that was written without one; UN when only its maker knows (PS3.5 6.2.2).

    Args:
        tag: of the element.
        signed: whether Pixel Representation (0028,0103) of its image is 1.
    """
    if tag >> 16 & 1:
        return b"LO" if 0x10 <= tag & 0xFFFF <= 0xFF else b"UN"
    try:
        vr = dictionary_VR(tag)
    except KeyError:
        return b"UN"
    if vr == "US or SS":
        return b"SS" if signed else b"US"
    return b"OW" if " or " in vr else vr.encode("ascii")


def swapped(value: bytes, vr: bytes) -> bytes:
    """A value of whole words in the other byte order.

    Args:
        value: as stored; a last incomplete word stays as it is.
        vr: whose words are swapped; text and bytes stay as they are.
    """
    code = _SWAPPED.get(vr)
    if code is None:
        return value
    words = array(code)
    whole = len(value) - len(value) % words.itemsize
    words.frombytes(value[:whole])
    words.byteswap()
    return words.tobytes() + value[whole:]
