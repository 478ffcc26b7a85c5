"""A small valid image of nobody, for `dcmrelay test`. Source: PS3.3 A.8.1 (Secondary Capture), A.3 (CT), A.4 (MR)."""

import hashlib
from collections.abc import Mapping
from datetime import date
from typing import Any

from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import CTImageStorage, ImplicitVRLittleEndian, MRImageStorage, SecondaryCaptureImageStorage

PATIENT_NAME, PATIENT_ID = "DCMRELAY^TEST", "DCMRELAY-TEST"
_SIZE = 16
_OF_ALL: Mapping[str, Any] = {
    "PatientName": PATIENT_NAME,
    "PatientID": PATIENT_ID,
    "PatientBirthDate": "",
    "PatientSex": "O",
    # A destination that takes only what is de-identified may have it.
    "PatientIdentityRemoved": "YES",
    "DeidentificationMethod": "made without a patient",
    "BurnedInAnnotation": "NO",
    "StudyTime": "000000",
    "StudyID": "TEST",
    "AccessionNumber": "",
    "ReferringPhysicianName": "",
    "SeriesNumber": 1,
    "SeriesDescription": "dcmrelay test, may be deleted",
    "Laterality": "",
    "Manufacturer": "dcmrelay",
    "InstanceNumber": 1,
    "PatientOrientation": "",
    "Rows": _SIZE,
    "Columns": _SIZE,
    "SamplesPerPixel": 1,
    "PhotometricInterpretation": "MONOCHROME2",
    "BitsAllocated": 16,
    "BitsStored": 16,
    "HighBit": 15,
    "PixelRepresentation": 0,
}
_PLANE: Mapping[str, Any] = {
    "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
    "PatientPosition": "HFS",
    "PositionReferenceIndicator": "",
    "PixelSpacing": [1, 1],
    "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
    "ImagePositionPatient": [0, 0, 0],
    "SliceThickness": 1,
}
_BY_SOP_CLASS: Mapping[str, Mapping[str, Any]] = {
    CTImageStorage: {
        **_PLANE,
        "Modality": "CT",
        "RescaleIntercept": 0,
        "RescaleSlope": 1,
        "KVP": None,
        "AcquisitionNumber": None,
    },
    MRImageStorage: {
        **_PLANE,
        "ImageType": ["ORIGINAL", "PRIMARY", "OTHER"],
        "Modality": "MR",
        "ScanningSequence": "RM",
        "SequenceVariant": "NONE",
        "ScanOptions": "",
        "MRAcquisitionType": "2D",
        "RepetitionTime": None,
        "EchoTime": None,
        "EchoTrainLength": None,
    },
    SecondaryCaptureImageStorage: {"Modality": "OT", "ConversionType": "SYN"},
}
_UIDS = ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")


def trial_instance(relay: str, destination: str, sop_class_uid: str, day: date = date(2000, 1, 1)) -> Dataset:
    """An image whose UIDs are always the same for this relay and destination, so that a repetition adds nothing.

    Args:
        relay: AE title of the relay.
        destination: its name.
        sop_class_uid: CT, MR or Secondary Capture Image Storage.
        day: of the study.
    """
    ds = Dataset()
    with_plane = sop_class_uid in (CTImageStorage, MRImageStorage)
    uids = {it: _uid(relay, destination, sop_class_uid, it) for it in _UIDS}
    frame = {"FrameOfReferenceUID": _uid(relay, destination, "FrameOfReferenceUID")} if with_plane else {}
    dates = {"StudyDate": day.strftime("%Y%m%d"), "SOPClassUID": sop_class_uid}
    for keyword, value in {**_OF_ALL, **_BY_SOP_CLASS[sop_class_uid], **uids, **frame, **dates}.items():
        setattr(ds, keyword, value)
    gradient = (4096 * (row ^ column) for row in range(_SIZE) for column in range(_SIZE))
    ds.PixelData = b"".join(value.to_bytes(2, "little") for value in gradient)
    ds["PixelData"].VR = "OW"
    return ds


def encoded(ds: Dataset, transfer_syntax_uid: str) -> bytes:
    """A data set in Explicit or Implicit VR Little Endian."""
    stream = DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = True, transfer_syntax_uid == ImplicitVRLittleEndian
    write_dataset(stream, ds)
    return stream.getvalue()


def _uid(*names: str) -> str:
    """The same UID for the same names, below 2.25 (PS3.5 B.2)."""
    return f"2.25.{int.from_bytes(hashlib.sha256('/'.join(names).encode()).digest()[:16])}"
