"""A stored data set in; the same data set in a native transfer syntax out. Runs in the child process only."""

import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from consumers.sender.transcoding.decoding import check_decoder, decoded
from consumers.sender.transcoding.elements import BIG_ENDIAN, DEFLATED, EXPLICIT_LITTLE_ENDIAN, encoding_of
from consumers.sender.transcoding.elements import IMPLICIT_LITTLE_ENDIAN as IMPLICIT
from consumers.sender.transcoding.images import LARGEST_FRAME_BYTES, Extent, Image, Plan, frames_of, plan_of, shape_of
from consumers.sender.transcoding.rewriting import Rewriter
from consumers.sender.transcoding.streams import Inflated, Nowhere, Output, Plain, Source
from shared.errors import DataSetError

_NATIVE = (IMPLICIT, EXPLICIT_LITTLE_ENDIAN, DEFLATED, BIG_ENDIAN)

# pydicom logs and warns with element values; nothing of this process may write them anywhere.
logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)
warnings.simplefilter("ignore")


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A data set in the spool.

    Args:
        file: where it lies.
        offset: where it begins there, bytes.
        size: bytes.
        transfer_syntax_uid: in which it is written.
    """

    file: Path
    offset: int
    size: int
    transfer_syntax_uid: str


def transcode(stored: Stored, target: str, output: Path, alive: Callable[[], None]) -> None:
    """Write a data set in another transfer syntax; the same bytes each time.

    Args:
        stored: the data set.
        target: Explicit or Implicit VR Little Endian.
        output: an existing file, overwritten.
        alive: called again and again while the work goes on.

    Raises:
        DataSetError: it cannot be done; says why, without values.
        OSError: the disk refused, or has no room.
    """
    with stored.file.open("rb") as file, output.open("wb") as out:
        written = Output(out, alive)
        if stored.transfer_syntax_uid in _NATIVE:
            plans: dict[int, Plan] = {}
        else:
            check_decoder(stored.transfer_syntax_uid)
            plans = {begin: _planned(file, stored, image) for begin, image in _images(file, stored).items()}
            written.reserve(sum(plan.shape.native_bytes for plan in plans.values()))
        Rewriter(
            _source(file, stored),
            written,
            read=encoding_of(stored.transfer_syntax_uid),
            write=encoding_of(target),
            plans=plans,
            pixels=lambda plan: _write_pixels(file, stored, plan, written, alive),
        ).run()


def _source(file: BinaryIO, stored: Stored) -> Source:
    plain = Plain(file, stored.offset, stored.size)
    return Inflated(plain) if stored.transfer_syntax_uid == DEFLATED else plain


def _images(file: BinaryIO, stored: Stored) -> dict[int, Image]:
    """The encapsulated images by where their data sets begin: the root's, and icons in items."""
    encoding = encoding_of(stored.transfer_syntax_uid)
    looking = Rewriter(
        _source(file, stored), Nowhere(), read=encoding, write=encoding, plans=None, pixels=lambda _plan: None
    )
    looking.run()
    return looking.images


def _planned(file: BinaryIO, stored: Stored, image: Image) -> Plan:
    """How an image will be written, known from its first frame."""
    shape = shape_of(image.attributes)
    frames = frames_of(image, shape.frames)
    _, photometric = decoded(_joined(file, stored, frames[0]), shape, stored.transfer_syntax_uid)
    return plan_of(shape, frames, photometric)


def _write_pixels(file: BinaryIO, stored: Stored, plan: Plan, output: Output, alive: Callable[[], None]) -> None:
    here = file.tell()
    for fragments in plan.frames:
        alive()
        pixels, photometric = decoded(_joined(file, stored, fragments), plan.shape, stored.transfer_syntax_uid)
        if photometric != plan.photometric:
            raise DataSetError("its frames are of different colour spaces")
        output.write(pixels)
    output.write(bytes(plan.shape.frame_bytes * plan.shape.frames % 2))
    file.seek(here)


def _joined(file: BinaryIO, stored: Stored, fragments: Sequence[Extent]) -> bytes:
    if sum(length for _, length in fragments) > LARGEST_FRAME_BYTES:
        raise DataSetError(f"a compressed frame of it is over {LARGEST_FRAME_BYTES >> 20} MiB")
    pieces = []
    for offset, length in fragments:
        file.seek(stored.offset + offset)
        pieces.append(file.read(length))
    return b"".join(pieces)
