"""Whether a Part 10 file holds its whole data set: pydicom reads one cut inside the pixel data without complaint.

Only lengths are looked at, never values. Source: PS3.5 7.1 (elements), 7.5 (items), A.4 (encapsulated pixel data).
"""

import os
import zlib
from pathlib import Path
from struct import Struct
from typing import BinaryIO

from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from shared.errors import DataSetError

_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_SHORT_VRS = frozenset((b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US").split())
_DEEPEST = 64
_CHUNK = 1 << 20


class _CutError(Exception):
    """The bytes end before an element does."""


class _Reader:
    """A data set's bytes, and how its lengths are written."""

    def __init__(self, file: BinaryIO, end: int, *, explicit: bool, big_endian: bool) -> None:
        self.file, self.end, self.explicit = file, end, explicit
        order = ">" if big_endian else "<"
        self._tag, self._long, self._short = Struct(order + "HH"), Struct(order + "L"), Struct(order + "H")

    def take(self, length: int) -> bytes:
        got = self.file.read(length)
        if len(got) < length:
            raise _CutError
        return got

    def skip(self, length: int) -> None:
        if self.file.tell() + length > self.end:
            raise _CutError
        self.file.seek(length, os.SEEK_CUR)

    def tag(self) -> int:
        group, element = self._tag.unpack(self.take(4))
        return int(group) << 16 | int(element)

    def item_length(self) -> int:
        return int(self._long.unpack(self.take(4))[0])

    def length(self) -> tuple[bytes, int]:
        """VR (empty when implicit) and length of an element whose tag was read."""
        if not self.explicit:
            return b"", self.item_length()
        vr, rest = (head := self.take(4))[:2], head[2:]
        if vr in _SHORT_VRS:
            return vr, int(self._short.unpack(rest)[0])
        if not (vr.isalpha() and vr.isupper()):  # an element without VR in an explicit data set: met, and readable
            return b"", int(self._long.unpack(head)[0])
        return vr, self.item_length()


def is_whole(path: Path, offset: int, transfer_syntax_uid: str) -> bool:
    """Whether every element of a file's data set is there to its end.

    Args:
        path: a Part 10 file.
        offset: where its data set begins, bytes.
        transfer_syntax_uid: how it is encoded.

    Raises:
        DataSetError: nested too deep to tell.
    """
    with path.open("rb") as file:
        file.seek(offset)
        if transfer_syntax_uid == DeflatedExplicitVRLittleEndian:
            return _stream_ends(file)
        explicit, big_endian = transfer_syntax_uid != ImplicitVRLittleEndian, transfer_syntax_uid == ExplicitVRBigEndian
        reader = _Reader(file, path.stat().st_size, explicit=explicit, big_endian=big_endian)
        try:
            _walk(reader, until=None, depth=0)
        except _CutError:
            return False
        return file.tell() > offset


def _stream_ends(file: BinaryIO) -> bool:
    """Whether a deflated data set (PS3.5 A.5) has its stream's end; what is inflated is not kept."""
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        while not stream.eof and (chunk := stream.unconsumed_tail or file.read(_CHUNK)):
            stream.decompress(chunk, _CHUNK)
    except zlib.error:
        return False
    return stream.eof


def _walk(reader: _Reader, *, until: int | None, depth: int) -> None:
    """Pass over elements up to a delimiter, or (None) the end of the bytes, where padding of zeros is let pass."""
    if depth > _DEEPEST:
        raise DataSetError(f"sequences are nested more than {_DEEPEST} deep")
    while not (until is None and _at_end(reader)):
        tag = reader.tag()
        if tag == until:
            reader.skip(4)
            return
        vr, length = reader.length()
        if length != _UNDEFINED:
            reader.skip(length)
        else:
            _walk_items(reader, depth, implicit=vr == b"UN")


def _walk_items(reader: _Reader, depth: int, *, implicit: bool) -> None:
    """Pass over the items of a sequence, or fragments of pixel data, of undefined length; UN ones are implicit."""
    explicit, reader.explicit = reader.explicit, reader.explicit and not implicit
    while reader.tag() == _ITEM:
        length = reader.item_length()
        if length == _UNDEFINED:
            _walk(reader, until=_ITEM_END, depth=depth + 1)
        else:
            reader.skip(length)
    reader.skip(4)
    reader.explicit = explicit


def _at_end(reader: _Reader) -> bool:
    left = reader.end - reader.file.tell()
    return left == 0 or (left < 8 and not any(reader.file.read(left)))
