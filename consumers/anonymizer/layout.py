"""Where header and pixel data of a data set lie. Reads tags and lengths, never values, and trusts none of them.

pydicom believes what a file says of itself: it reads cut files without an error and recurses without a bound. This walk
goes first and refuses what pydicom must not see.

Source: PS3.5 7.1 (elements), 7.5 (sequences), A.4 (fragments); PS3.10 7.1 (file meta); RELIABILITY H17 to H19.
"""

import struct
from dataclasses import dataclass
from typing import BinaryIO

from pydicom.datadict import dictionary_has_tag, dictionary_VR

from shared.editing.elements import Encoding
from shared.errors import DataSetError

__all__ = ["HEADER_MAX", "Encoding", "Extent", "extent_of"]

DEPTH_MAX = 64
ELEMENTS_MAX = 1_000_000
HEADER_MAX = 256 * 1024 * 1024

PIXEL_TAGS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_LONG_VRS = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))


@dataclass(frozen=True, kw_only=True)
class Extent:
    """Where a data set's parts lie in its stream, in bytes.

    Args:
        start: of the first element.
        header_end: of the last element before pixel data; where its header begins, or the end of the stream.
        pixel_end: end of the pixel data element with all its fragments; equal to `header_end` when there is none.
    """

    start: int
    header_end: int
    pixel_end: int


def extent_of(stream: BinaryIO, start: int, end: int, encoding: Encoding) -> Extent:
    """Walk a data set and say where its parts lie.

    Args:
        stream: holds the data set; its position changes.
        start: offset of the first element.
        end: offset behind the last byte.
        encoding: of the data set.

    Raises:
        DataSetError: cut short, nested or filled beyond a bound, or not a data set.
    """
    walk = _Walk(stream, encoding)
    header_end, pixels = walk.elements(start, end, encoding.implicit, depth=0)
    if header_end - start > HEADER_MAX:
        raise DataSetError(f"more than {HEADER_MAX >> 20} MiB of elements before the pixel data")
    return Extent(
        start=start, header_end=header_end, pixel_end=walk.pixel_end(header_end, end) if pixels else header_end
    )


@dataclass(frozen=True, kw_only=True)
class _Head:
    """Tag, VR (empty when implicit), length and where the value begins."""

    tag: int
    vr: bytes
    length: int
    value: int


class _Walk:
    """One pass over one data set; counts its elements."""

    def __init__(self, stream: BinaryIO, encoding: Encoding) -> None:
        self._stream = stream
        self._encoding = encoding
        order = "<" if encoding.little else ">"
        self._implicit = struct.Struct(f"{order}HHL")
        self._explicit = struct.Struct(f"{order}HH2sH")
        self._long = struct.Struct(f"{order}L")
        self._count = 0

    def elements(self, position: int, end: int, implicit: bool, *, depth: int) -> tuple[int, bool]:
        """Walk to `end`, an item's delimiter or the root's pixel data; where it stopped, and whether at pixel data."""
        if depth > DEPTH_MAX:
            raise DataSetError(f"sequences are nested more than {DEPTH_MAX} deep")
        while position < end:
            head = self._head(position, end, implicit)
            if depth == 0 and head.tag in PIXEL_TAGS:
                return position, True
            if head.tag == _ITEM_END:
                return head.value, False
            position = self._after(head, end, implicit, depth)
        return position, False

    def pixel_end(self, position: int, end: int) -> int:
        """Where the pixel data element at `position` ends."""
        head = self._head(position, end, self._encoding.implicit)
        return self._fragments(head.value, end) if head.length == _UNDEFINED else self._defined(head, end)

    def _after(self, head: _Head, end: int, implicit: bool, depth: int) -> int:
        """Where the next element begins."""
        if head.length == _UNDEFINED:
            if head.vr in (b"OB", b"OW"):
                return self._fragments(head.value, end)
            return self._items(head.value, end, implicit or head.vr == b"UN", depth, delimited=True)
        after = self._defined(head, end)
        if head.vr == b"SQ" or (not head.vr and dictionary_has_tag(head.tag) and dictionary_VR(head.tag) == "SQ"):
            return self._items(head.value, after, implicit, depth, delimited=False)
        return after

    def _items(self, position: int, end: int, implicit: bool, depth: int, *, delimited: bool) -> int:
        while position < end:
            item = self._head(position, end, implicit=True)
            if item.tag == _SEQUENCE_END:
                return item.value
            if item.tag != _ITEM:
                raise DataSetError("a sequence holds something that is no item")
            item_end = end if item.length == _UNDEFINED else self._defined(item, end)
            position, _ = self.elements(item.value, item_end, implicit, depth=depth + 1)
        if delimited:
            raise DataSetError("a sequence has no end: the file is cut short")
        return position

    def _fragments(self, position: int, end: int) -> int:
        while position < end:
            item = self._head(position, end, implicit=True)
            if item.tag == _SEQUENCE_END:
                return item.value
            if item.tag != _ITEM or item.length == _UNDEFINED:
                raise DataSetError("encapsulated data holds something that is no fragment")
            position = self._defined(item, end)
        raise DataSetError("encapsulated data has no end: the file is cut short")

    def _head(self, position: int, end: int, implicit: bool) -> _Head:
        self._count += 1
        if self._count > ELEMENTS_MAX:
            raise DataSetError(f"more than {ELEMENTS_MAX} elements and items")
        self._stream.seek(position)
        raw = self._stream.read(12)
        if len(raw) < 8 or position + 8 > end:
            raise DataSetError("ends within an element: the file is cut short")
        group, element, length = self._implicit.unpack_from(raw)
        tag = group << 16 | element
        if implicit or group == 0xFFFE:
            return _Head(tag=tag, vr=b"", length=length, value=position + 8)
        _, _, vr, short = self._explicit.unpack_from(raw)
        if not (vr.isalpha() and vr.isupper()):
            raise DataSetError(
                "an element has no value representation: not the transfer syntax that the file meta names"
            )
        if vr not in _LONG_VRS:
            return _Head(tag=tag, vr=vr, length=short, value=position + 8)
        if len(raw) < 12 or position + 12 > end:
            raise DataSetError("ends within an element: the file is cut short")
        return _Head(tag=tag, vr=vr, length=self._long.unpack_from(raw, 8)[0], value=position + 12)

    def _defined(self, head: _Head, end: int) -> int:
        if head.length == _UNDEFINED or head.value + head.length > end:
            raise DataSetError("an element is longer than what holds it: the file is cut short or broken")
        return head.value + head.length
