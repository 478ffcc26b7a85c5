"""Generated studies: random pixel bytes, and new UIDs each time, so that no peer has them already."""

import os
import secrets
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import UID, CTImageStorage, EnhancedCTImageStorage, MRImageStorage

from tests.system.images import ct_instance


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


def study(folder: Path, kind: Kind, count: int, *, studies: int = 1) -> list[Path]:
    """Files of a new study, or of several with `count` instances each.

    The files are made once and given new UIDs in place: a file system that has just deleted thousands of files is slow
    to make new ones, which would be counted as somebody's. So nothing is deleted before the end.
    """
    place = folder / f"{kind.modality}-{kind.rows}-{count}-{studies}"
    if not place.exists():
        place.mkdir(parents=True)
        _fill(place, kind, count * studies)
    files = sorted(place.iterdir())
    for number in range(studies):
        _rename(files[number * count : (number + 1) * count], kind)
    return files


def multi_frame(folder: Path, frames: int) -> Path:
    """One Enhanced CT instance with so many frames of 512 KB: one noisy frame again and again."""
    ds = _instance(CT)
    ds.SOPClassUID, ds.NumberOfFrames = EnhancedCTImageStorage, str(frames)
    frame, file = ds.PixelData, folder / "multi-frame.dcm"
    with file.open("wb") as out:
        out.write(_encoded(ds).removesuffix(frame)[:-4] + (len(frame) * frames).to_bytes(4, "little"))
        for _ in range(frames):
            out.write(frame)
    return file


def _fill(place: Path, kind: Kind, count: int) -> None:
    head = _head(_instance(kind))
    for number in range(count):
        (place / f"{number:06}.dcm").write_bytes(head + os.urandom(kind.rows * kind.rows * 2))


def _rename(files: list[Path], kind: Kind) -> None:
    """Another study: the heads of all files anew, of the same length as before."""
    ds = _instance(kind)
    head, uid = _head(ds), str(ds.SOPInstanceUID).encode()
    for number, file in enumerate(files):
        with file.open("r+b") as out:
            out.write(head.replace(uid, uid[:-5] + f"{number:05}".encode()))


def _instance(kind: Kind) -> Dataset:
    ds = ct_instance(_new_uid(), _new_uid(), 1, kind.rows)
    ds.SOPClassUID, ds.Modality, ds.SOPInstanceUID = kind.sop_class_uid, kind.modality, UID(f"{_new_uid()}.100000")
    return ds


def _new_uid() -> str:
    """A UID nobody has, always of the same length."""
    return f"2.25.{secrets.randbelow(9 * 10**29) + 10**29}"


def _head(ds: Dataset) -> bytes:
    """All but the value of Pixel Data, which comes last."""
    return _encoded(ds).removesuffix(ds.PixelData)


def _encoded(ds: Dataset) -> bytes:
    buffer = BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
