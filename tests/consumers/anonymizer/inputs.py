"""Data sets, files and profiles that the tests of the engine share."""

from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import pydicom
from pydicom import Dataset
from pydicom.data import get_testdata_file
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

from consumers.anonymizer.files import Rendered, Withheld, render
from consumers.anonymizer.recipe import Recipe
from consumers.anonymizer.rules import Rules, rules_of

KEY = b"k" * 32
CT = "CT_small.dcm"


@dataclass(frozen=True, kw_only=True)
class Profile:
    base: str = "basic"
    options: tuple[str, ...] = ()
    pseudonyms: dict[str, str] = field(default_factory=dict)
    set_after: dict[str, str] = field(default_factory=dict)
    objects: dict[str, str] = field(default_factory=dict)


def rules(*options: str, key: bytes = KEY, **sections: Any) -> Rules:
    return rules_of(Profile(options=options, **sections), key)


def wheel_file(name: str) -> Path:
    return Path(cast(str, get_testdata_file(name, download=False)))


def ct() -> Dataset:
    """A small CT without pixel data."""
    return pydicom.dcmread(wheel_file(CT), stop_before_pixels=True)


def instance(uid: str = "1.2.3.4.1", sop_class_uid: str = CTImageStorage) -> Dataset:
    """A data set made by hand: one image of one study."""
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class_uid, uid
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = "1.2.3.4", "1.2.3.5", "1.2.3.6"
    ds.PatientID, ds.PatientName, ds.StudyDate = "4711", "CANARY^PATIENT", "20240229"
    return ds


def write_file(path: Path, ds: Dataset, transfer_syntax: str = ExplicitVRLittleEndian) -> Path:
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = UID(transfer_syntax)
    ds.save_as(path, enforce_file_format=True)
    return path


def rendered(path: Path, made: Rules, issuer: str = "HX") -> tuple[Rendered | Withheld, bytes]:
    out = BytesIO()
    return render(path, Recipe(rules=made, issuer=issuer), write=out.write), out.getvalue()
