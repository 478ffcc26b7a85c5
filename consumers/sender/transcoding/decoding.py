"""One compressed frame into pixels, by the decoders of pydicom and GDCM.

A frame is decoded only when its codestream has the sizes that the data set declares, so that neither a bomb nor a
mix-up gets as far as a decoder.
Source: PS3.5 8.2 and Annex G (RLE), ISO/IEC 10918-1 B.2.2 (JPEG), 14495-1 C.2.2 (JPEG-LS), 15444-1 A.5.1 (JPEG 2000).
"""

from typing import Any

from consumers.sender.transcoding.images import Shape
from shared.errors import DataSetError

_JPEG = "1.2.840.10008.1.2.4."
_GDCM = tuple(f"{_JPEG}{n}" for n in (50, 51, 57, 70, 80, 81, 90, 91))
_HIGH_THROUGHPUT = tuple(f"{_JPEG}{n}" for n in (201, 202, 203))
_EXTENDED, _RLE = f"{_JPEG}51", "1.2.840.10008.1.2.5"
# One plug-in each: which decoder works must not depend on what else is installed, or repeats would differ.
PLUGINS = {**dict.fromkeys(_GDCM, "gdcm"), **dict.fromkeys(_HIGH_THROUGHPUT, "pylibjpeg"), _RLE: "pydicom"}

_NO_LENGTH = (0x01, *range(0xD0, 0xDA))
_FRAME_HEADERS = (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0), 0xF7)
_AS_DECODED = {"YBR_FULL_422": "YBR_FULL"}
_KNOWN = ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL")


def check_decoder(transfer_syntax_uid: str) -> None:
    """See that there is a decoder.

    Raises:
        DataSetError: none, or it is not installed; says what to install.
    """
    if transfer_syntax_uid not in PLUGINS:
        raise DataSetError("the relay has no decoder for it")
    from pydicom.pixels.decoders.base import get_decoder

    if PLUGINS[transfer_syntax_uid] not in get_decoder(transfer_syntax_uid).available_plugins:
        extra = "dcmrelay[htj2k]" if transfer_syntax_uid in _HIGH_THROUGHPUT else "python-gdcm"
        raise DataSetError(f"its decoder is not installed; pip install '{extra}'")


def decoded(frame: bytes, shape: Shape, transfer_syntax_uid: str) -> tuple[bytearray, str]:
    """The pixels of a frame, little endian, in the cells and the planar configuration that the data set declares.

    Args:
        frame: its fragments, joined.
        shape: what the data set declares.
        transfer_syntax_uid: one that `check_decoder` passed.

    Returns:
        The pixels, and their Photometric Interpretation (PS3.3 C.7.6.3.1.2).

    Raises:
        DataSetError: it cannot be decoded, or is not what is declared.
    """
    if transfer_syntax_uid == _EXTENDED and shape.allocated > 8:
        raise DataSetError("the relay has no decoder for lossy JPEG of more than 8 bits")
    if transfer_syntax_uid != _RLE:
        _check_codestream(frame, shape)
    pixels, found = _by_plugin(frame, shape, transfer_syntax_uid)
    photometric = _AS_DECODED.get(str(found["photometric_interpretation"]), str(found["photometric_interpretation"]))
    if photometric not in _KNOWN:
        raise DataSetError("its photometric interpretation has no native form that the relay knows")
    if len(pixels) != shape.frame_bytes or found["bits_allocated"] != shape.allocated:
        raise DataSetError("its decoded pixels are not of the sizes that it declares")
    if shape.samples > 1:
        pixels = _arranged(pixels, shape, int(found["planar_configuration"]))
    return pixels, photometric


def _by_plugin(frame: bytes, shape: Shape, transfer_syntax_uid: str) -> tuple[bytearray, dict[str, Any]]:
    from pydicom.encaps import encapsulate
    from pydicom.pixels.decoders.base import get_decoder

    options: dict[str, Any] = {"planar_configuration": shape.planar} if shape.samples > 1 else {}
    try:
        pixels, found = get_decoder(transfer_syntax_uid).as_buffer(
            encapsulate([frame], has_bot=False),
            index=0,
            decoding_plugin=PLUGINS[transfer_syntax_uid],
            rows=shape.rows,
            columns=shape.columns,
            samples_per_pixel=shape.samples,
            bits_allocated=shape.allocated,
            bits_stored=shape.stored,
            pixel_representation=int(shape.signed),
            photometric_interpretation=shape.photometric,
            number_of_frames=1,
            pixel_keyword="PixelData",
            **options,
        )
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001  (parser boundary)
        raise DataSetError(f"a frame of it cannot be decoded ({type(error).__name__})") from None
    return bytearray(pixels), dict(found)


def _arranged(pixels: bytearray, shape: Shape, planar: int) -> bytearray:
    """Colour by pixel or by plane, as declared; the decoder gave it as `planar` says."""
    wanted = 1 if shape.planar == 1 else 0
    if planar == wanted:
        return pixels
    width, area = shape.allocated // 8, shape.rows * shape.columns
    arranged = bytearray(len(pixels))
    for sample in range(3):
        for byte in range(width):
            by_pixel = slice(sample * width + byte, None, 3 * width)
            by_plane = slice(sample * area * width + byte, (sample + 1) * area * width, width)
            if wanted:
                arranged[by_plane] = pixels[by_pixel]
            else:
                arranged[by_pixel] = pixels[by_plane]
    return arranged


def _check_codestream(frame: bytes, shape: Shape) -> None:
    """See that a JPEG, JPEG-LS or JPEG 2000 codestream is of the declared sizes, and fits the declared cells."""
    if frame[:2] == b"\xff\x4f":
        sizes = _of_jpeg2000(frame)
    elif frame[:2] == b"\xff\xd8":
        sizes = _of_jpeg(frame)
    else:
        sizes = None
    if sizes is None:
        raise DataSetError("a frame of it does not begin as its transfer syntax says")
    rows, columns, samples, precision = sizes
    if (rows, columns, samples) != (shape.rows, shape.columns, shape.samples) or precision > shape.allocated:
        raise DataSetError("a frame of it is not of the sizes that it declares")


def _of_jpeg2000(frame: bytes) -> tuple[int, int, int, int] | None:
    """Rows, columns, components and precision of the SIZ segment, which comes first."""
    if frame[2:4] != b"\xff\x51" or len(frame) < 43:
        return None
    width, height, left, top = (int.from_bytes(frame[n : n + 4], "big") for n in (8, 12, 16, 20))
    components = int.from_bytes(frame[40:42], "big")
    return height - top, width - left, components, (frame[42] & 0x7F) + 1


def _of_jpeg(frame: bytes) -> tuple[int, int, int, int] | None:
    """Rows, columns, components and precision of the frame header, found by hopping over the segments before it."""
    position = 2
    while position + 10 <= len(frame) and frame[position] == 0xFF:
        marker = frame[position + 1]
        if marker in _FRAME_HEADERS:
            rows, columns = (int.from_bytes(frame[position + n : position + n + 2], "big") for n in (5, 7))
            return rows, columns, frame[position + 9], frame[position + 4]
        if marker == 0xFF:
            position += 1
        elif marker in _NO_LENGTH:
            position += 2
        else:
            position += 2 + int.from_bytes(frame[position + 2 : position + 4], "big")
    return None
