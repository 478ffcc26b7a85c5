"""A small valid image of nobody, for `dcmrelay test`. Source: PS3.3 A.8.1 (Secondary Capture), A.3, A.4 (CT, MR)."""

from datetime import date

from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import ImplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

_SIZE = 16


def trial_instance(relay: str, destination: str, sop_class_uid: str, day: date = date(2000, 1, 1)) -> Dataset:
    """An image whose UIDs are always the same for this relay and destination, so that a repetition adds nothing.

    It says that no patient can be known from it, so that a destination that takes nothing else may have it.

    Args:
        relay: AE title of the relay.
        destination: its name.
        sop_class_uid: what the destination takes.
        day: of the study.
    """
    ds = Dataset()
    ds.SOPClassUID = sop_class_uid
    for keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        setattr(ds, keyword, generate_uid(None, [relay, destination, sop_class_uid, keyword]))
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "DCMRELAY^TEST", "DCMRELAY-TEST", "", "O"
    ds.StudyDate, ds.StudyTime, ds.StudyID, ds.AccessionNumber = day.strftime("%Y%m%d"), "000000", "TEST", ""
    ds.ReferringPhysicianName, ds.SeriesNumber, ds.InstanceNumber = "", 1, 1
    ds.Modality = "OT" if sop_class_uid == SecondaryCaptureImageStorage else "CT"
    ds.ConversionType, ds.Manufacturer, ds.ImageType = "SYN", "dcmrelay", ["DERIVED", "SECONDARY"]
    ds.SeriesDescription = "dcmrelay test, may be deleted"
    ds.PatientIdentityRemoved, ds.DeidentificationMethod, ds.BurnedInAnnotation = "YES", "made without a patient", "NO"
    ds.Rows = ds.Columns = _SIZE
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    ds.PixelData = bytes(16 * (row ^ column) for row in range(_SIZE) for column in range(_SIZE))
    ds["PixelData"].VR = "OW"
    return ds


def encoded(ds: Dataset, transfer_syntax_uid: str) -> bytes:
    """A data set in one of the two little endian syntaxes."""
    stream = DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = True, transfer_syntax_uid == ImplicitVRLittleEndian
    write_dataset(stream, ds)
    return stream.getvalue()
