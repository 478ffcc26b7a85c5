"""Elements of a small data set, with bounds: what a peer says of storage commitment. No I/O, no clock, no globals.

Explicit and implicit VR little endian; sequences and items of any length, defined or not, are passed over without
recursion deeper than `_DEEPEST`.
Source: PS3.5 7.1 (elements), 7.5 (sequences), Annex A.1, A.2.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from struct import Struct

from shared.errors import ProtocolError

_ITEM, _END_OF_ITEM, _END_OF_SEQUENCE = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_UNDEFINED = 0xFFFFFFFF
_DEEPEST = 8
_IMPLICIT, _EXPLICIT, _LONG = Struct("<HHL"), Struct("<HH2sH"), Struct("<L")
_LONG_VRS = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))


@dataclass(frozen=True)
class Value:
    """Where the value of an element lies in a data set, delimiters and all; `is_open`: its length is undefined."""

    begin: int
    end: int
    is_open: bool


@dataclass(frozen=True)
class Elements:
    """A data set that can be walked.

    Args:
        encoded: its bytes.
        explicit: whether VRs are written.
    """

    encoded: bytes
    explicit: bool

    def of_data_set(self) -> Mapping[int, Value]:
        """The elements of the data set itself, by tag.

        Raises:
            ProtocolError: it cannot be read.
        """
        return dict(self._elements(0, len(self.encoded), depth=0))

    def items_of(self, sequence: Value) -> Iterator[Mapping[int, Value]]:
        """The elements of each item of a sequence, by tag. Raises as `of_data_set`."""
        for begin, end in self._items(sequence.begin, sequence.end, depth=1):
            yield dict(self._elements(begin, end, depth=1))

    def text(self, value: Value) -> str:
        """A UID or another text of ASCII characters, without its padding."""
        return self.encoded[value.begin : value.end].rstrip(b"\0 ").decode("ascii", errors="replace")

    def _elements(self, at: int, end: int, depth: int) -> Iterator[tuple[int, Value]]:
        """Elements up to `end`, or to the delimiter of the item that they stand in."""
        while at < end:
            tag, begin, length = self._header(at, end)
            if tag == _END_OF_ITEM:
                return
            stop = self._end_of_sequence(begin, end, depth + 1) if length == _UNDEFINED else begin + length
            if stop > end:
                raise ProtocolError("an element is longer than what holds it")
            yield tag, Value(begin, stop, length == _UNDEFINED)
            at = stop

    def _items(self, at: int, end: int, depth: int) -> Iterator[tuple[int, int]]:
        """Where the content of each item begins and ends, up to the delimiter of the sequence."""
        while at < end:
            tag, length = self._item_header(at, end)
            if tag == _END_OF_SEQUENCE:
                return
            if tag != _ITEM:
                raise ProtocolError("something else stands in a sequence where an item must be")
            begin = at + _IMPLICIT.size
            at = self._end_of_item(begin, end, depth) if length == _UNDEFINED else begin + length
            if at > end:
                raise ProtocolError("an item is longer than its sequence")
            yield begin, at

    def _end_of_sequence(self, at: int, end: int, depth: int) -> int:
        """Where a sequence of undefined length ends, behind its delimiter."""
        if depth > _DEEPEST:
            raise ProtocolError("sequences stand in each other too deep")
        for _, behind in self._items(at, end, depth):
            at = behind
        if self._item_header(at, end)[0] != _END_OF_SEQUENCE:
            raise ProtocolError("a sequence does not end")
        return at + _IMPLICIT.size

    def _end_of_item(self, at: int, end: int, depth: int) -> int:
        """Where an item of undefined length ends, behind its delimiter."""
        for _, value in self._elements(at, end, depth):
            at = value.end
        if self._item_header(at, end)[0] != _END_OF_ITEM:
            raise ProtocolError("an item does not end")
        return at + _IMPLICIT.size

    def _item_header(self, at: int, end: int) -> tuple[int, int]:
        if at + _IMPLICIT.size > end:
            raise ProtocolError("a sequence ends inside an item")
        group, element, length = _IMPLICIT.unpack_from(self.encoded, at)
        return group << 16 | element, length

    def _header(self, at: int, end: int) -> tuple[int, int, int]:
        """Tag, where the value begins, and its length as written."""
        if at + _IMPLICIT.size > end:
            raise ProtocolError("a data set ends inside an element")
        group, element, length = _IMPLICIT.unpack_from(self.encoded, at)
        if not self.explicit or group == _ITEM >> 16:
            return group << 16 | element, at + _IMPLICIT.size, length
        _, _, vr, short = _EXPLICIT.unpack_from(self.encoded, at)
        if vr not in _LONG_VRS:
            return group << 16 | element, at + _EXPLICIT.size, short
        if at + 12 > end:
            raise ProtocolError("a data set ends inside an element")
        return group << 16 | element, at + 12, int(_LONG.unpack_from(self.encoded, at + 8)[0])
