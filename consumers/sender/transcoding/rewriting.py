"""A data set written again, element by element, in another encoding and with its images decoded.

Values are copied a block at a time and only their byte order changes, so the memory is that of one frame. Sequences
get undefined lengths; group lengths (gggg,0000), which are retired and would be wrong, are left out.
Source: PS3.5 6.2.2, 7.1, 7.2, 7.5, Annex A.
"""

from collections.abc import Callable, Mapping
from struct import Struct
from typing import NamedTuple, Protocol

from consumers.sender.transcoding import elements
from consumers.sender.transcoding.elements import (
    IMPLICIT,
    ITEM,
    ITEM_END,
    LONG_VRS,
    PIXEL_DATA,
    SEQUENCE_END,
    UNDEFINED,
    Encoding,
)
from consumers.sender.transcoding.images import ALLOCATED, ATTRIBUTES, OFFSET_TABLES, SIGNED, Extent, Image, Plan
from consumers.sender.transcoding.streams import BLOCK, Source
from shared.errors import DataSetError

DEPTH_MAX = 64
ELEMENTS_MAX = 1_000_000
_ATTRIBUTE_MAX, _OFFSETS_MAX = 256, 4_000_000
_CUT = "its data set is cut short"


class Sink(Protocol):
    """Where the new data set goes."""

    def write(self, content: bytes | bytearray | memoryview) -> None:
        """Append bytes."""


class _Head(NamedTuple):
    tag: int
    vr: bytes
    length: int


class Rewriter:
    """One pass over a data set.

    Args:
        source: the data set.
        sink: where it goes.
        read: how it is written.
        write: how it shall be.
        plans: how each image is decoded, by where its data set begins; None to find the images instead.
        pixels: writes the frames of an image.

    Attributes:
        images: those found, likewise.
    """

    def __init__(
        self,
        source: Source,
        sink: Sink,
        *,
        read: Encoding,
        write: Encoding,
        plans: Mapping[int, Plan] | None,
        pixels: Callable[[Plan], None],
    ) -> None:
        self._source, self._sink, self._read, self._write = source, sink, read, write
        self._plans, self._pixels = plans, pixels
        self._count = 0
        self.images: dict[int, Image] = {}

    def run(self) -> None:
        """Write the whole data set.

        Raises:
            DataSetError: cut short, nested or filled beyond a bound, or not a data set.
        """
        _DataSet(self, self._read, self._write, signed=False, depth=0).run(None)

    def head(self, encoding: Encoding) -> _Head | None:
        """The next tag, VR and length; None at the end of the source."""
        self._count += 1
        if self._count > ELEMENTS_MAX:
            raise DataSetError(f"more than {ELEMENTS_MAX} elements and items")
        begin = self._source.read(8)
        if not begin:
            return None
        order = "<" if encoding.little else ">"
        group, element, length = Struct(f"{order}HHL").unpack(self._whole(begin, 8))
        tag = group << 16 | element
        if encoding.implicit or group == 0xFFFE:
            return _Head(tag, b"", length)
        vr = begin[4:6]
        if not (vr.isalpha() and vr.isupper()):
            raise DataSetError("an element has no value representation: not the transfer syntax it was sent in")
        if vr not in LONG_VRS:
            return _Head(tag, vr, int(Struct(f"{order}H").unpack(begin[6:8])[0]))
        return _Head(tag, vr, int(Struct(f"{order}L").unpack(self._exactly(4))[0]))

    def value(self, length: int, most: int) -> bytes:
        """A short value, whole."""
        if length > most:
            raise DataSetError("an element is longer than its kind can be")
        return self._exactly(length)

    def copy(self, length: int, swap: bytes) -> None:
        """A value into the sink, a block at a time; or past it, when only looking."""
        if self._plans is None:
            self._source.skip(length)
            return
        while length:
            block = self._exactly(min(length, BLOCK))
            length -= len(block)
            self._sink.write(elements.swapped(block, swap) if swap else block)

    def put(self, content: bytes) -> None:
        """Append bytes."""
        self._sink.write(content)

    def plan(self, begin: int) -> Plan | None:
        """How the image of the data set that begins here is decoded, if there is one."""
        return None if self._plans is None else self._plans.get(begin)

    @property
    def position(self) -> int:
        """In the source."""
        return self._source.position

    def image(self, begin: int, attributes: Mapping[int, bytes]) -> None:
        """Encapsulated pixel data: note where it lies, or write it decoded."""
        offsets, fragments, starts = self._fragments()
        if self._plans is None:
            self.images[begin] = Image(attributes=attributes, offsets=offsets, fragments=fragments, starts=starts)
            return
        plan = self._plans.get(begin)
        if plan is None:
            raise DataSetError("its pixel data is encapsulated, which its transfer syntax does not allow")
        # Implicit VR: OW always (PS3.5 A.1); it is not written there.
        vr = b"OB" if plan.shape.allocated == 8 else b"OW"
        self.put(elements.head(PIXEL_DATA, vr, plan.shape.native_bytes, self._write))
        self._pixels(plan)

    def _fragments(self) -> tuple[bytes, list[Extent], list[bytes]]:
        table = self._fragment()
        if table is None:
            raise DataSetError("its encapsulated pixel data has no offset table (PS3.5 A.4)")
        offsets = self.value(table, _OFFSETS_MAX)
        fragments: list[Extent] = []
        starts: list[bytes] = []
        while (length := self._fragment()) is not None:
            fragments.append((self.position, length))
            starts.append(self._exactly(min(2, length)))
            self._source.skip(length - len(starts[-1]))
        return offsets, fragments, starts

    def _fragment(self) -> int | None:
        """Length of the next fragment; None behind the last."""
        head = self.head(IMPLICIT)
        if head is None:
            raise DataSetError(_CUT)
        if head.tag == SEQUENCE_END:
            return None
        if head.tag != ITEM or head.length == UNDEFINED:
            raise DataSetError("its encapsulated pixel data holds something that is no fragment (PS3.5 A.4)")
        return head.length

    def _exactly(self, size: int) -> bytes:
        return self._whole(self._source.read(size), size)

    def _whole(self, content: bytes, size: int) -> bytes:
        if len(content) != size:
            raise DataSetError(_CUT)
        return content


class _DataSet:
    """The root or an item: its elements in order.

    Args:
        rewriter: whose source and sink are used.
        read: how this data set is written.
        write: how it shall be.
        signed: Pixel Representation of what it lies in, until its own comes.
        depth: 0 for the root.
    """

    def __init__(self, rewriter: Rewriter, read: Encoding, write: Encoding, *, signed: bool, depth: int) -> None:
        if depth > DEPTH_MAX:
            raise DataSetError(f"sequences are nested more than {DEPTH_MAX} deep")
        self._io, self._read, self._write, self._depth = rewriter, read, write, depth
        self._signed = signed
        self._attributes: dict[int, bytes] = {}
        self._begin = rewriter.position
        self._plan = rewriter.plan(self._begin)
        self._pending = sorted(self._plan.changed.items()) if self._plan else []

    def run(self, end: int | None, *, delimited: bool = False) -> None:
        """Write the elements up to `end`, the delimiter, or the end of the source."""
        while end is None or self._io.position < end:
            head = self._io.head(self._read)
            if head is None:
                if end is not None or delimited:
                    raise DataSetError(_CUT)
                return
            if delimited and head.tag == ITEM_END:
                return
            if head.tag >> 16 == 0xFFFE:
                raise DataSetError("a delimiter stands where an element should (PS3.5 7.5)")
            self._element(head)
        if end is not None and self._io.position != end:
            raise DataSetError("an element is longer than what holds it")

    def _element(self, head: _Head) -> None:
        self._insert(head.tag)
        if head.tag == PIXEL_DATA and head.length == UNDEFINED:
            self._io.image(self._begin, self._attributes)
        elif self._is_sequence(head):
            self._sequence(head)
        elif head.length == UNDEFINED:
            raise DataSetError("an element that is neither a sequence nor pixel data has no length (PS3.5 7.1)")
        elif head.tag in ATTRIBUTES:
            self._attribute(head)
        elif head.tag & 0xFFFF == 0 or (self._plan and head.tag in OFFSET_TABLES):
            self._io.value(head.length, _OFFSETS_MAX * 2)
        else:
            self._plain(head)

    def _is_sequence(self, head: _Head) -> bool:
        if head.length == UNDEFINED:
            return head.vr in (b"", b"SQ", b"UN")
        return self._vr(head) == b"SQ"

    def _vr(self, head: _Head) -> bytes:
        return head.vr or elements.vr_of(head.tag, signed=self._signed)

    def _plain(self, head: _Head) -> None:
        vr = self._vr(head)
        swap = b"" if self._read.little else vr
        if swap == b"OW" and head.tag == PIXEL_DATA and self._attributes.get(ALLOCATED, b"\x10\0") > b"\x10\0":
            raise DataSetError("the relay does not turn big endian pixels of more than 16 bits around")
        self._io.put(elements.head(head.tag, vr, head.length, self._write))
        self._io.copy(head.length, swap)

    def _attribute(self, head: _Head) -> None:
        """An element of the Image Pixel module: remembered, and changed if decoding changes it."""
        vr = self._vr(head)
        raw = self._io.value(head.length, _ATTRIBUTE_MAX)
        value = raw if self._read.little else elements.swapped(raw, vr)
        self._attributes[head.tag] = value
        if head.tag == SIGNED:
            self._signed = value == b"\x01\0"
        if self._plan and head.tag in self._plan.changed:
            vr, value = self._plan.changed[head.tag]
            self._pending = [(tag, change) for tag, change in self._pending if tag != head.tag]
        self._io.put(elements.head(head.tag, vr, len(value), self._write) + value)

    def _insert(self, tag: int) -> None:
        """Changed elements that the data set does not have, before the first with a higher tag."""
        while self._pending and self._pending[0][0] < tag:
            missing, (vr, value) = self._pending.pop(0)
            self._io.put(elements.head(missing, vr, len(value), self._write) + value)

    def _sequence(self, head: _Head) -> None:
        """A sequence; one of unknown VR and undefined length is implicit inside, and stays so (PS3.5 6.2.2)."""
        is_unknown = head.vr == b"UN"
        read = IMPLICIT if is_unknown else self._read
        write = IMPLICIT if is_unknown else self._write
        end = None if head.length == UNDEFINED else self._io.position + head.length
        self._io.put(elements.head(head.tag, b"UN" if is_unknown else b"SQ", UNDEFINED, self._write))
        while end is None or self._io.position < end:
            item = self._io.head(read)
            if item is None or item.tag not in (ITEM, SEQUENCE_END) or (item.tag == SEQUENCE_END and end is not None):
                raise DataSetError("a sequence holds something that is no item, or is cut short")
            if item.tag == SEQUENCE_END:
                break
            self._item(item, read, write)
        self._io.put(elements.head(SEQUENCE_END, b"", 0, self._write))

    def _item(self, item: _Head, read: Encoding, write: Encoding) -> None:
        self._io.put(elements.head(ITEM, b"", UNDEFINED, write))
        inner = _DataSet(self._io, read, write, signed=self._signed, depth=self._depth + 1)
        if item.length == UNDEFINED:
            inner.run(None, delimited=True)
        else:
            inner.run(self._io.position + item.length)
        self._io.put(elements.head(ITEM_END, b"", 0, write))
