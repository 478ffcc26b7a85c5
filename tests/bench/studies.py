"""Generated studies: random pixel bytes, new UIDs each time, so that no peer has them already."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import UID, CTImageStorage, EnhancedCTImageStorage, MRImageStorage, generate_uid

from tests.system.images import ct_instance

FRAME_ROWS = 512


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of study.

    Args:
        name: for people.
        modality: (0008,0060).
        sop_class_uid: of its instances.
        rows: rows and columns of 16 bits each.
    """

    name: str
    modality: str
    sop_class_uid: str
    rows: int


CT = Kind(name="CT, 525 KB", modality="CT", sop_class_uid=CTImageStorage, rows=512)
MR = Kind(name="MR, 132 KB", modality="MR", sop_class_uid=MRImageStorage, rows=256)
SMALL = Kind(name="small, 9 KB", modality="MR", sop_class_uid=MRImageStorage, rows=64)


@contextmanager
def study(folder: Path, kind: Kind, count: int, *, studies: int = 1) -> Iterator[list[Path]]:
    """Files of a new study, or of several with `count` instances each; gone afterwards, and on disk before."""
    with _folder(folder / f"study-{generate_uid()[-12:]}") as into:
        yield [file for number in range(studies) for file in _written(into, kind, count, f"{number:05}")]


@contextmanager
def multi_frame(folder: Path, frames: int) -> Iterator[Path]:
    """One Enhanced CT instance with so many frames of 512 KB: one noisy frame again and again."""
    ds = _instance(CT, generate_uid(), generate_uid(), 1)
    ds.SOPClassUID, ds.NumberOfFrames = EnhancedCTImageStorage, str(frames)
    frame = ds.PixelData
    with _folder(folder / "multi-frame") as into:
        file = into / "multi-frame.dcm"
        with file.open("wb") as out:
            head = _encoded(ds).removesuffix(frame)
            out.write(head[:-4] + (len(frame) * frames).to_bytes(4, "little"))
            for _ in range(frames):
                out.write(frame)
        os.sync()
        yield file


@contextmanager
def _folder(folder: Path) -> Iterator[Path]:
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _written(folder: Path, kind: Kind, count: int, prefix: str) -> Iterator[Path]:
    """One instance through pydicom, the others by putting another UID and other noise into its bytes."""
    uid = generate_uid()[:50]
    ds = _instance(kind, generate_uid(), generate_uid(), 1)
    ds.SOPInstanceUID = UID(f"{uid}.000001")
    encoded, size = _encoded(ds), len(ds.PixelData)
    for number in range(1, count + 1):
        mine = encoded[:-size].replace(f"{uid}.000001".encode(), f"{uid}.1{number:05}".encode())
        file = folder / f"{prefix}-{number:05}.dcm"
        file.write_bytes(mine + os.urandom(size))
        yield file


def _instance(kind: Kind, study_uid: str, series_uid: str, number: int) -> Dataset:
    ds = ct_instance(study_uid, series_uid, number, kind.rows)
    ds.SOPClassUID, ds.Modality = kind.sop_class_uid, kind.modality
    return ds


def _encoded(ds: Dataset) -> bytes:
    buffer = BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
