"""Generated CT instances, and what arrived of them."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, generate_uid

from shared.headers import read_meta


def ct_study(
    folder: Path, count: int, *, size: int = 64, study: str = "", modality: str = "CT", first: int = 1
) -> list[Path]:
    """Writes CT instances of one study with noise for pixels; returns their files in order.

    Args:
        folder: made; the files are `<number>.dcm` in it.
        count: instances.
        size: rows and columns of 16 bit each.
        study: Study Instance UID; a new one when empty.
        modality: (0008,0060).
        first: number of the first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    study, series = study or generate_uid(), generate_uid()
    files = []
    for number in range(first, first + count):
        ds = ct_instance(study, series, number, size)
        ds.Modality = modality
        files.append(folder / f"{number:04}.dcm")
        ds.save_as(files[-1], enforce_file_format=True)
    return files


def ct_instance(study: str, series: str, number: int, size: int = 64) -> Dataset:
    """One CT image, ready to be saved."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = CTImageStorage
    ds.SOPInstanceUID = generate_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID = UID(study), UID(series)
    ds.FrameOfReferenceUID = series
    ds.PatientName, ds.PatientID = "Test^Patient", "12345678"
    ds.PatientBirthDate, ds.PatientSex = "19700101", "O"
    ds.StudyDate, ds.StudyTime, ds.AccessionNumber = "20260304", "120000", "A1"
    ds.Modality, ds.InstanceNumber = "CT", number
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows = ds.Columns = size
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation = 15, 0
    ds.PixelData = os.urandom(size * size * 2)
    return ds


def uid_of(file: Path) -> str:
    """SOP Instance UID in the data set."""
    return str(dcmread(file, specific_tags=["SOPInstanceUID"], stop_before_pixels=True).SOPInstanceUID)


def hash_of(file: Path) -> str:
    """SHA-256 of the data set, as it lies in the file."""
    with file.open("rb") as stream:
        stream.seek(read_meta(file)[0])
        return hashlib.file_digest(stream, "sha256").hexdigest()


def hashes(files: Iterable[Path]) -> dict[str, str]:
    """Data set hashes by SOP Instance UID, each UID once."""
    return {uid: one for uid, (one,) in all_hashes(files).items()}


def all_hashes(files: Iterable[Path]) -> dict[str, set[str]]:
    """Every different data set that came under each SOP Instance UID."""
    found: dict[str, set[str]] = defaultdict(set)
    for file in files:
        found[uid_of(file)].add(hash_of(file))
    return dict(found)
