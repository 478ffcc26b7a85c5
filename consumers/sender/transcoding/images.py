"""An image in a data set: what its attributes claim, where its frames lie, what changes when they are decoded.

No I/O, no clock, no globals.
Source: PS3.3 C.7.6.3 (Image Pixel), PS3.5 8.2 and A.4 (encapsulated pixel data).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from struct import unpack
from typing import Literal

from shared.errors import DataSetError

LARGEST_FRAME_BYTES = 256 << 20
LARGEST_NATIVE_BYTES = 0xFFFFFFFE
SAMPLES, PHOTOMETRIC, PLANAR, FRAMES = 0x00280002, 0x00280004, 0x00280006, 0x00280008
ROWS, COLUMNS, ALLOCATED, STORED, SIGNED = 0x00280010, 0x00280011, 0x00280100, 0x00280101, 0x00280103
ATTRIBUTES = frozenset((SAMPLES, PHOTOMETRIC, PLANAR, FRAMES, ROWS, COLUMNS, ALLOCATED, STORED, SIGNED))
OFFSET_TABLES = frozenset((0x7FE00001, 0x7FE00002, 0x7FE00003))
"""Extended offset tables and the total length of encapsulated pixel data: meaningless beside native pixel data."""

Extent = tuple[int, int]
_STARTS = (b"\xff\xd8", b"\xff\x4f")


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a data set claims of its image; checked against bounds, so it can be believed for allocating.

    Args:
        rows: (0028,0010), at least 1.
        columns: (0028,0011), at least 1.
        samples: (0028,0002), 1 or 3.
        allocated: (0028,0100), bits: 8, 16 or 32.
        stored: (0028,0101), bits, at most `allocated`.
        signed: (0028,0103) is 1.
        photometric: (0028,0004).
        planar: (0028,0006), 0 when absent.
        frames: (0028,0008), 1 when absent.
    """

    rows: int
    columns: int
    samples: int
    allocated: int
    stored: int
    signed: bool
    photometric: str
    planar: int
    frames: int

    @property
    def frame_bytes(self) -> int:
        """Length of a decoded frame, bytes."""
        return self.rows * self.columns * self.samples * self.allocated // 8

    @property
    def native_bytes(self) -> int:
        """Length of native pixel data, bytes, even."""
        length = self.frame_bytes * self.frames
        return length + length % 2


def shape_of(attributes: Mapping[int, bytes]) -> Shape:
    """What the attributes claim.

    Args:
        attributes: little-endian values by tag.

    Raises:
        DataSetError: incomplete, contradictory, or larger than the relay decodes.
    """
    try:
        rows, columns, samples = (_number(attributes[tag]) for tag in (ROWS, COLUMNS, SAMPLES))
        allocated, stored = (_number(attributes[tag]) for tag in (ALLOCATED, STORED))
        shape = Shape(
            rows=rows,
            columns=columns,
            samples=samples,
            allocated=allocated,
            stored=stored,
            signed=_number(attributes.get(SIGNED, b"\0\0")) == 1,
            photometric=attributes[PHOTOMETRIC].decode("ascii").strip(" \0"),
            planar=_number(attributes.get(PLANAR) or b"\0\0"),
            frames=int(attributes.get(FRAMES, b"").strip(b" \0") or b"1"),
        )
    except (KeyError, ValueError):
        raise DataSetError("its image attributes are missing or have no proper values (PS3.3 C.7.6.3)") from None
    if not (rows and columns and samples in (1, 3) and allocated in (8, 16, 32) and 0 < stored <= allocated):
        raise DataSetError("its image attributes contradict each other (PS3.3 C.7.6.3)")
    if shape.frame_bytes > LARGEST_FRAME_BYTES:
        raise DataSetError(f"a frame of its image would be over {LARGEST_FRAME_BYTES >> 20} MiB")
    if shape.frames < 1 or shape.native_bytes > LARGEST_NATIVE_BYTES:
        raise DataSetError("its pixels would be more than native pixel data can hold, 4 GiB (PS3.5 7.1)")
    return shape


@dataclass(frozen=True, kw_only=True)
class Image:
    """An encapsulated image.

    Args:
        attributes: of its data set, raw.
        offsets: the basic offset table (PS3.5 A.4), bytes; empty when there is none.
        fragments: offset in the data set and length of each fragment's value, without the offset table.
        starts: the first two bytes of each.
    """

    attributes: Mapping[int, bytes]
    offsets: bytes
    fragments: Sequence[Extent]
    starts: Sequence[bytes]


def frames_of(image: Image, count: int) -> list[Sequence[Extent]]:
    """The fragments of each frame.

    Raises:
        DataSetError: they cannot be told apart, or are fewer than declared.
    """
    if count == 1 and image.fragments:
        return [image.fragments]
    if len(image.fragments) == count:
        return [(fragment,) for fragment in image.fragments]
    for begins in (_by_offsets(image), _by_starts(image)):
        if len(begins) == count and begins[0] == 0:
            ends = [*begins[1:], len(image.fragments)]
            return [image.fragments[begin:end] for begin, end in zip(begins, ends, strict=True)]
    raise DataSetError("its fragments are not those of as many frames as it declares (PS3.5 A.4)")


def _by_offsets(image: Image) -> list[int]:
    """Index of each frame's first fragment by the basic offset table; empty when that fits no fragments."""
    if not image.fragments or not image.offsets or len(image.offsets) % 4:
        return []
    first = image.fragments[0][0]
    known = {offset - first: index for index, (offset, _) in enumerate(image.fragments)}
    begins = [known.get(offset, -1) for offset in unpack(f"<{len(image.offsets) // 4}L", image.offsets)]
    return begins if begins == sorted(set(begins)) and begins[0] >= 0 else []


def _by_starts(image: Image) -> list[int]:
    """Index of each fragment that begins a codestream: JPEG's SOI or JPEG 2000's SOC."""
    return [index for index, start in enumerate(image.starts) if start in _STARTS]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How an image is written natively.

    Args:
        shape: of the image.
        frames: the fragments of each frame.
        photometric: what the decoder gives.
        planar: likewise, for colour.
        changed: VR and value of elements that become others; those that are not there are added.
    """

    shape: Shape
    frames: Sequence[Sequence[Extent]]
    photometric: str
    planar: Literal[0, 1]
    changed: Mapping[int, tuple[bytes, bytes]] = field(default_factory=dict)


def plan_of(shape: Shape, frames: Sequence[Sequence[Extent]], photometric: str) -> Plan:
    """Decide what changes; colour stays by pixel or by plane as it was declared, by pixel when it was not."""
    changed: dict[int, tuple[bytes, bytes]] = {}
    planar: Literal[0, 1] = 1 if shape.planar == 1 and shape.samples > 1 else 0
    if photometric != shape.photometric:
        changed[PHOTOMETRIC] = (b"CS", photometric.encode("ascii") + b" " * (len(photometric) % 2))
    if shape.samples > 1:
        changed[PLANAR] = (b"US", planar.to_bytes(2, "little"))
    return Plan(shape=shape, frames=frames, photometric=photometric, planar=planar, changed=changed)


def _number(value: bytes) -> int:
    if len(value) != 2:
        raise ValueError
    return int.from_bytes(value, "little")
