"""Render one DICOM file: read its header, edit or de-identify it, write it out with the pixel data as it stands.

The only module of the engine that reads files. pydicom meets nothing that `layout` has not walked, and whatever it
raises becomes a `DataSetError` without its text, which may hold patient data.

Source: PS3.10 7.1 (file meta), PS3.5 A.5 (deflated), RELIABILITY facts 8 and 9, H17 to H19, H23.
"""

import logging
import os
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.uid import UID

from consumers.anonymizer.deidentify import deidentify
from consumers.anonymizer.layout import HEADER_MAX, Encoding, Extent, extent_of
from consumers.anonymizer.objects import Withheld, withheld
from consumers.anonymizer.recipe import Recipe
from shared.dimse import part10_header
from shared.editing.elements import Level
from shared.errors import DataSetError, StorageError

__all__ = ["Rendered", "Withheld", "headers", "render"]

Write = Callable[[bytes | memoryview], object]

CHUNK = 1024 * 1024
META_MAX = 64 * 1024
INFLATED_MAX = 256 * 1024 * 1024
INFLATED_FREE = 4 * 1024 * 1024
INFLATED_RATIO = 100

_STORED_MAX = 0xFFFF
_EXPLICIT_LITTLE = Encoding(implicit=False, little=True)
_SIGNATURES = 0xFFFAFFFA
_DEFLATED = "1.2.840.10008.1.2.1.99"

# pydicom logs element values; nothing of this package may reach a log through it.
logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """What was written: the identity of the new instance and the transfer syntax it is in."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str


@dataclass(frozen=True, kw_only=True)
class _Source:
    """An opened instance: its stream, how it is written, and where its parts lie."""

    stream: BinaryIO
    transfer_syntax_uid: str
    encoding: Encoding
    extent: Extent
    end: int


def render(source: Path, recipe: Recipe, *, write: Write) -> Rendered | Withheld:
    """Write the edited or de-identified form of one file through `write`, or say why it is withheld and write nothing.

    Args:
        source: a DICOM file as received, with preamble and file meta.
        recipe: what is done to it.
        write: takes the next bytes of the output, at most 1 MiB at a time; what it raises passes through.

    Raises:
        DataSetError: the file cannot be read as what it says it is.
        StorageError: the file cannot be opened or read.
    """
    try:
        file = source.open("rb")
    except OSError as error:
        raise _unreadable(error) from None
    with file:
        opened = _opened(file)
        with _parser():
            made = _made(opened, recipe)
            if isinstance(made, Withheld):
                return made
            rendered, head = made
            meta = part10_header(
                sop_class_uid=rendered.sop_class_uid,
                sop_instance_uid=rendered.sop_instance_uid,
                transfer_syntax_uid=rendered.transfer_syntax_uid,
            )
        tail = _tail(opened) if recipe.rules is None else b""
        for chunk in _output(opened, meta, head, tail):
            write(chunk)
        return rendered


def headers(source: Path, recipe: Recipe) -> tuple[Dataset, Dataset] | Withheld:
    """The elements before the pixel data as received, and as they would leave; raises as `render`, writes nothing."""
    try:
        file = source.open("rb")
    except OSError as error:
        raise _unreadable(error) from None
    with file:
        opened = _opened(file)
        with _parser():
            before, made = _dataset(_header(opened), opened.encoding), _made(opened, recipe)
            return made if isinstance(made, Withheld) else (before, _dataset(made[1], opened.encoding))


def _made(opened: _Source, recipe: Recipe) -> tuple[Rendered, bytes] | Withheld:
    """The new header and whose it is."""
    head = _header(opened)
    if recipe.edits:
        head = recipe.edited(head, opened.encoding)
    ds = _dataset(head, opened.encoding)
    if not (ds.get("SOPClassUID") and ds.get("SOPInstanceUID")):
        raise DataSetError("has no SOP Class UID or no SOP Instance UID")
    if recipe.rules is None:
        return _identity(ds, opened.transfer_syntax_uid), head
    stopped = withheld(ds, recipe.rules.objects)
    if stopped:
        return stopped
    clean = deidentify(ds, recipe.rules, issuer=recipe.issuer)
    return _identity(clean, opened.transfer_syntax_uid), _encoded(clean, opened.encoding)


@contextmanager
def _parser() -> Iterator[None]:
    """Around every use of pydicom: whatever it raises becomes a DataSetError that quotes nothing."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (DataSetError, NameError, AssertionError):
        raise  # ours, the latter two a fault in the code and not in the data
    except Exception as error:  # noqa: BLE001 - the parser boundary
        raise DataSetError(
            f"cannot be read as a DICOM data set ({type(error).__name__}); look at the original"
        ) from None


def _unreadable(error: OSError) -> StorageError:
    return StorageError(f"an instance in the spool cannot be read ({type(error).__name__}); check the spool's disk")


def _read(stream: BinaryIO, start: int, length: int) -> bytes:
    try:
        stream.seek(start)
        value = stream.read(length)
    except OSError as error:
        raise _unreadable(error) from None
    if len(value) < length:
        raise DataSetError("the file is cut short")
    return value


def _opened(file: BinaryIO) -> _Source:
    size = os.fstat(file.fileno()).st_size
    uid, start = _transfer_syntax(file, size)
    stream, end = file, size
    if uid == _DEFLATED:
        inflated = _inflated(_read(file, start, size - start))
        stream, start, end = BytesIO(inflated), 0, len(inflated)
    with _parser():
        syntax = UID(uid)
        if syntax.is_private or not syntax.is_transfer_syntax:
            raise DataSetError("its transfer syntax is none of the standard's")
        encoding = Encoding(implicit=syntax.is_implicit_VR, little=syntax.is_little_endian)
    try:
        extent = extent_of(stream, start, end, encoding)
    except OSError as error:
        raise _unreadable(error) from None
    return _Source(stream=stream, transfer_syntax_uid=uid, encoding=encoding, extent=extent, end=end)


def _transfer_syntax(file: BinaryIO, size: int) -> tuple[str, int]:
    """The transfer syntax that the file meta names, and where the data set begins."""
    if size < 144 or _read(file, 128, 4) != b"DICM":
        raise DataSetError("no DICOM file: preamble and prefix are missing")
    start = _read(file, 132, 12)
    if start[:8] != b"\x02\x00\x00\x00UL\x04\x00":
        raise DataSetError("no DICOM file: its file meta does not begin with the group length")
    length = int.from_bytes(start[8:], "little")
    if length > META_MAX:
        raise DataSetError(f"more than {META_MAX} bytes of file meta")
    meta = _read(file, 144, length)
    with _parser():
        extent_of(BytesIO(meta), 0, length, _EXPLICIT_LITTLE)
        ds = read_dataset(BytesIO(meta), False, True)
        uid = str(ds.get("TransferSyntaxUID", ""))
    return uid, 144 + length


def _inflated(deflated: bytes) -> bytes:
    limit = min(INFLATED_MAX, max(INFLATED_FREE, INFLATED_RATIO * len(deflated)))
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated = inflater.decompress(deflated, limit)
    except zlib.error:
        raise DataSetError("its deflated data set cannot be inflated") from None
    if not inflater.eof:
        raise DataSetError("its deflated data set is cut short, or larger than the relay inflates")
    return inflated


def _header(source: _Source) -> bytes:
    extent = source.extent
    return _read(source.stream, extent.start, extent.header_end - extent.start)


def _dataset(header: bytes, encoding: Encoding) -> Dataset:
    return read_dataset(BytesIO(header), encoding.implicit, encoding.little, at_top_level=False)


def _tail(source: _Source) -> bytes:
    """What stands behind the pixel data, without signatures, which are not of what leaves. Source: PS3.3 C.12.1.1.3."""
    start, end = source.extent.pixel_end, source.end
    if end - start > HEADER_MAX:
        raise DataSetError(f"more than {HEADER_MAX >> 20} MiB of elements behind the pixel data")
    root = Level(body=_read(source.stream, start, end - start), encoding=source.encoding)
    return b"".join(it.raw for it in root.elements if it.tag != _SIGNATURES)


def _encoded(ds: Dataset, encoding: Encoding) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = encoding.implicit, encoding.little
    write_dataset(buffer, ds)
    return buffer.getvalue()


def _identity(clean: Dataset, transfer_syntax_uid: str) -> Rendered:
    return Rendered(
        sop_class_uid=str(clean.SOPClassUID),
        sop_instance_uid=str(clean.SOPInstanceUID),
        transfer_syntax_uid=transfer_syntax_uid,
    )


def _output(source: _Source, meta: bytes, head: bytes, tail: bytes) -> Iterator[bytes | memoryview]:
    """The whole new file, in pieces."""
    yield meta
    data_set = _pieces(source, head, tail)
    yield from _stored(data_set) if source.transfer_syntax_uid == _DEFLATED else data_set


def _pieces(source: _Source, head: bytes, tail: bytes) -> Iterator[bytes | memoryview]:
    """The new header, then the pixel data element byte for byte, then what follows it."""
    view = memoryview(head)
    for start in range(0, len(head), CHUNK):
        yield view[start : start + CHUNK]
    for start in range(source.extent.header_end, source.extent.pixel_end, CHUNK):
        yield _read(source.stream, start, min(CHUNK, source.extent.pixel_end - start))
    if tail:
        yield tail


def _stored(pieces: Iterator[bytes | memoryview]) -> Iterator[bytes]:
    """A deflate stream of stored blocks: the same bytes with every version of every library. Source: RFC 1951 3.2.4."""
    length = 0
    for piece in pieces:
        for start in range(0, len(piece), _STORED_MAX):
            block = bytes(piece[start : start + _STORED_MAX])
            length += 5 + len(block)
            yield _block_head(len(block), last=False) + block
    yield _block_head(0, last=True) + bytes((length + 5) % 2)


def _block_head(length: int, *, last: bool) -> bytes:
    return bytes([last]) + length.to_bytes(2, "little") + (length ^ 0xFFFF).to_bytes(2, "little")
