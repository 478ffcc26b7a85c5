"""The first elements of a stored instance, read with bounds; what pydicom raises becomes our error without its text."""

import os
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from pydicom import config as pydicom_config
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset, read_file_meta_info
from pydicom.tag import BaseTag
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from shared.errors import DataSetError, StorageError
from shared.uids import is_uid

# Validation warnings quote values; what is wrong with a value matters only to the rule that reads it.
pydicom_config.settings.reading_validation_mode = pydicom_config.IGNORE

LARGEST_INFLATED_BYTES = 4 << 20
LARGEST_ELEMENT_BYTES = 64 << 20
_BEFORE_PIXELS, _UNDEFINED = 0x7FDFFFFF, 0xFFFFFFFF
_IDENTITY = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")


@dataclass(frozen=True, kw_only=True)
class Identity:
    """The UIDs by which an instance is known (PS3.3 C.12.1, C.7.2.1, C.7.3.1); empty where there is none usable."""

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str


def read_identity(path: Path) -> Identity:
    """The UIDs of a Part 10 file.

    Raises:
        DataSetError: not readable as DICOM, or gone.
        StorageError: the disk refused.
    """
    header = read_header(path, _IDENTITY)
    return Identity(**dict(zip(Identity.__dataclass_fields__, (_uid(header, k) for k in _IDENTITY), strict=True)))


def read_header(path: Path, keywords: Iterable[str] | None) -> Dataset:
    """The named top-level elements of a Part 10 file, decoded; what the file does not have is absent.

    Args:
        path: the file.
        keywords: DICOM keywords; nothing behind the highest of their tags is read. None: all before the pixel data,
            or before an element of more than 64 MiB.

    Raises:
        DataSetError: not readable as DICOM, or gone.
        StorageError: the disk refused.
    """
    known = None if keywords is None else [tag for tag in map(tag_for_keyword, keywords) if tag is not None]
    tags: list[BaseTag | int] | None = None if known is None else [*map(BaseTag, known), BaseTag(0x00080005)]
    offset, transfer_syntax = read_meta(path)
    with _parsing("not readable as a DICOM data set"), path.open("rb") as file:
        file.seek(offset)
        return _read(file, transfer_syntax, tags)


def read_meta(path: Path) -> tuple[int, str]:
    """Where a Part 10 file's data set begins, in bytes, and its transfer syntax UID.

    Raises:
        DataSetError: no usable file meta information (PS3.10 7.1), or no file.
        StorageError: the disk refused.
    """
    with _parsing("not a DICOM file"):
        meta = read_file_meta_info(path)
        return 144 + int(meta.FileMetaInformationGroupLength), str(meta.TransferSyntaxUID)


@contextmanager
def _parsing(failed: str) -> Iterator[None]:
    """The parser boundary: pydicom raises what it meets, RecursionError too; a disk that refuses is another matter."""
    try:
        yield
    except FileNotFoundError:
        raise DataSetError("the file is gone") from None
    except Exception as error:  # noqa: BLE001  (parser boundary)
        # pydicom raises OSErrors of its own, about the bytes; they have no number.
        if isinstance(error, OSError) and error.errno is not None:
            raise StorageError(f"an instance cannot be read: {os.strerror(error.errno)}") from None
        raise DataSetError(f"{failed} ({type(error).__name__})") from None


def _read(file: BinaryIO, transfer_syntax: str, tags: list[BaseTag | int] | None) -> Dataset:
    if transfer_syntax == DeflatedExplicitVRLittleEndian:
        deflated = file.read(LARGEST_INFLATED_BYTES)  # deflating never makes it longer than it was, but for a few bytes
        file = BytesIO(zlib.decompressobj(-zlib.MAX_WBITS).decompress(deflated, LARGEST_INFLATED_BYTES))
    last, longest = (_BEFORE_PIXELS, LARGEST_ELEMENT_BYTES) if tags is None else (max(tags), _UNDEFINED)
    header = read_dataset(
        file,
        is_implicit_VR=transfer_syntax == ImplicitVRLittleEndian,
        is_little_endian=transfer_syntax != ExplicitVRBigEndian,
        stop_when=lambda tag, _vr, length: tag > last or longest < length < _UNDEFINED,
        specific_tags=tags,
    )
    header.decode()
    return header


def _uid(header: Dataset, keyword: str) -> str:
    value = str(header.get(keyword, "") or "").rstrip("\0 ")
    return value if is_uid(value) else ""
