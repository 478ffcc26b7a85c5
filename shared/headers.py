"""The first elements of a stored instance, read with bounds; what pydicom raises becomes our error without its text."""

import zlib
from collections.abc import Iterable
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

from shared.dimse import is_uid
from shared.errors import DataSetError

# Validation warnings quote values; what is wrong with a value matters only to the rule that reads it.
pydicom_config.settings.reading_validation_mode = pydicom_config.IGNORE

LARGEST_INFLATED_BYTES = 4 << 20
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
        DataSetError: not readable as DICOM.
    """
    header = read_header(path, _IDENTITY)
    return Identity(**dict(zip(Identity.__dataclass_fields__, (_uid(header, k) for k in _IDENTITY), strict=True)))


def read_header(path: Path, keywords: Iterable[str]) -> Dataset:
    """The named top-level elements of a Part 10 file, decoded; what the file does not have is absent.

    Args:
        path: the file.
        keywords: DICOM keywords; nothing behind the highest of their tags is read.

    Raises:
        DataSetError: not readable as DICOM.
    """
    tags: list[BaseTag | int] = [BaseTag(tag) for tag in map(tag_for_keyword, keywords) if tag is not None]
    offset, transfer_syntax = read_meta(path)
    with path.open("rb") as file:
        file.seek(offset)
        try:
            return _read(file, transfer_syntax, [*tags, BaseTag(0x00080005)])
        except Exception as error:  # noqa: BLE001  (parser boundary: pydicom raises what it meets, RecursionError too)
            raise DataSetError(f"not readable as a DICOM data set ({type(error).__name__})") from None


def read_meta(path: Path) -> tuple[int, str]:
    """Where a Part 10 file's data set begins, in bytes, and its transfer syntax UID.

    Raises:
        DataSetError: no usable file meta information (PS3.10 7.1).
    """
    try:
        meta = read_file_meta_info(path)
        return 144 + int(meta.FileMetaInformationGroupLength), str(meta.TransferSyntaxUID)
    except OSError:
        raise
    except Exception as error:  # noqa: BLE001  (parser boundary)
        raise DataSetError(f"not a DICOM file ({type(error).__name__})") from None


def _read(file: BinaryIO, transfer_syntax: str, tags: list[BaseTag | int]) -> Dataset:
    if transfer_syntax == DeflatedExplicitVRLittleEndian:
        file = BytesIO(zlib.decompressobj(-zlib.MAX_WBITS).decompress(file.read(), LARGEST_INFLATED_BYTES))
    last = max(tags)
    header = read_dataset(
        file,
        is_implicit_VR=transfer_syntax == ImplicitVRLittleEndian,
        is_little_endian=transfer_syntax != ExplicitVRBigEndian,
        stop_when=lambda tag, _vr, _length: tag > last,
        specific_tags=tags,
    )
    header.decode()
    return header


def _uid(header: Dataset, keyword: str) -> str:
    value = str(header.get(keyword, "") or "").rstrip("\0 ")
    return value if is_uid(value) else ""
