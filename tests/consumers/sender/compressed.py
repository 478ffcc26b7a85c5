"""Images in transfer syntaxes that a destination may not take, made by other programs from images that are known."""

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate, generate_fragments
from pydicom.filereader import read_dataset
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    RLELossless,
)

from consumers.sender.transcoding.transcoder import Transcoder
from shared.headers import read_meta
from shared.spool.parts import Instance
from tests.consumers.bench import data_set, write
from tests.peers import run_tool

RLE, JPEG_LOSSLESS, JPEG_LS = ("dcmcrle",), ("dcmcjpeg", "+e1"), ("dcmcjpls",)
DEFLATED, BIG_ENDIAN, IMPLICIT = ("dcmconv", "+td"), ("dcmconv", "+tb"), ("dcmconv", "+ti")
J2K, JPEG_LOSSLESS_BY_GDCM = ("gdcmconv", "--j2k"), ("gdcmconv", "--jpeg")
LOSSLESS = (RLE, JPEG_LOSSLESS, JPEG_LS, J2K, JPEG_LOSSLESS_BY_GDCM, DEFLATED, BIG_ENDIAN, IMPLICIT)
NATIVE = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
PIXELS = bytes(range(256)) * 36


def stored_as(program: tuple[str, ...], original: Path, file: Path) -> Path:
    """An image by one of the programs above."""
    name, *options = program
    if name == "gdcmconv":
        gdcmconv = Path(sys.executable).parent / name
        subprocess.run([gdcmconv, *options, "-i", original, "-o", file], check=True, capture_output=True)
    else:
        options += ["--uid-never"] if name.startswith("dcmcj") else []
        done = run_tool(name, *options, original, file)
        assert done.returncode == 0, done.stderr
    return file


def image(file: Path, transfer_syntax: str = ExplicitVRLittleEndian, **changed: Any) -> Path:
    """A colour image of three odd frames, 31 x 33, uncompressed; or as the elements that are changed say."""
    ds = data_set(7, sop_class_uid=MultiFrameTrueColorSecondaryCaptureImageStorage)
    ds.Rows, ds.Columns, ds.NumberOfFrames, ds.SamplesPerPixel = 31, 33, 3, 3
    ds.PhotometricInterpretation, ds.PlanarConfiguration = "RGB", 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    ds.PixelData = (PIXELS * 2)[: 31 * 33 * 3 * 3] + b"\0"
    ds["PixelData"].VR = "OB"
    for keyword, value in changed.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    if UID(transfer_syntax).is_encapsulated:
        ds["PixelData"].is_undefined_length = True
    return write(file, ds, transfer_syntax)


def broken(file: Path, fragments: Iterable[bytes], transfer_syntax: str = JPEGBaseline8Bit, **changed: Any) -> Path:
    """An image whose pixel data are these fragments, a frame each."""
    return image(file, transfer_syntax, PixelData=encapsulate(list(fragments)), **changed)


def fragments_of(file: Path) -> list[bytes]:
    """The fragments of an encapsulated image, without the offset table."""
    return list(generate_fragments(dcmread(file).PixelData))[1:]


def transcoded_by(transcoder: Transcoder, file: Path, target: str = ExplicitVRLittleEndian) -> Dataset:
    """A file's data set after transcoding, read back; as bytes it lies in a file `.out` beside it."""
    offset, transfer_syntax = read_meta(file)
    instance = Instance(
        file=str(file),
        sha256="",
        offset=offset,
        size=file.stat().st_size - offset,
        sop_class_uid="",
        sop_instance_uid="",
        transfer_syntax_uid=transfer_syntax,
    )
    with transcoder.transcoded(instance, target, lambda: None) as it:
        assert isinstance(it.content, Path)
        output = file.with_suffix(".out")
        output.write_bytes(it.content.read_bytes())
    with output.open("rb") as opened:
        return read_dataset(opened, target == ImplicitVRLittleEndian, True)


def others(ds: Dataset, *without: str) -> dict[int, Any]:
    """All elements of a data set by tag, but group lengths and those named; items likewise."""
    return {
        int(it.tag): [others(item) for item in it.value] if it.VR == "SQ" else it.value
        for it in ds
        if it.keyword not in without and it.tag.element
    }


def rle_frames(file: Path, count: int) -> Path:
    """A multi-frame RLE image, 512 x 512 of 16 bits: the frames share one content, so that making it is quick."""
    one = image(
        file.with_suffix(".one"), Rows=512, Columns=512, NumberOfFrames=1, SamplesPerPixel=1, BitsAllocated=16,
        BitsStored=16, HighBit=15, PhotometricInterpretation="MONOCHROME2", PlanarConfiguration=None,
        PixelData=PIXELS * 56 + bytes(512 * 512 * 2 - 56 * len(PIXELS)),
    )  # fmt: skip
    ds = dcmread(stored_as(RLE, one, file.with_suffix(".rle")))
    ds.NumberOfFrames = count
    ds.PixelData = encapsulate(list(generate_fragments(ds.PixelData))[1:] * count)
    ds["PixelData"].is_undefined_length = True
    return write(file, ds, RLELossless)
