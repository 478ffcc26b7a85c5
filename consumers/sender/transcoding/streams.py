"""Where a data set comes from and goes to: forwards only, a block at a time, with bounds."""

import os
import zlib
from collections.abc import Callable
from typing import BinaryIO, Protocol

from shared.errors import DataSetError

BLOCK = 1 << 20
LARGEST_BYTES = (1 << 32) + (256 << 20)
"""Of a native data set: the length of pixel data has 32 bits (PS3.5 7.1); what stands before it is far smaller."""


class Source(Protocol):
    """Bytes of a data set, forwards."""

    @property
    def position(self) -> int:
        """How many bytes of the data set have been passed."""

    def read(self, size: int) -> bytes:
        """The next bytes; fewer only at the end."""

    def skip(self, size: int) -> None:
        """Pass over bytes; passing the end is found out by the next read."""


class Plain:
    """A data set as it lies in a file.

    Args:
        file: opened for reading.
        offset: where the data set begins, bytes.
        size: of the data set, bytes.
    """

    def __init__(self, file: BinaryIO, offset: int, size: int) -> None:
        self._file, self._offset, self._size = file, offset, size
        self.position = 0
        file.seek(offset)

    def read(self, size: int) -> bytes:
        """See Source."""
        content = self._file.read(max(0, min(size, self._size - self.position)))
        self.position += len(content)
        return content

    def skip(self, size: int) -> None:
        """See Source."""
        self.position += size
        self._file.seek(self._offset + self.position)


class Inflated:
    """A deflated data set (PS3.5 A.5), inflated on the way.

    Args:
        source: the deflated bytes.
    """

    def __init__(self, source: Source) -> None:
        self._source, self._inflater = source, zlib.decompressobj(-zlib.MAX_WBITS)
        self._ready = b""
        self.position = 0

    def read(self, size: int) -> bytes:
        """See Source.

        Raises:
            DataSetError: it cannot be inflated, or is cut short.
        """
        pieces: list[bytes] = []
        missing = size
        while missing and (self._ready or self._fill()):
            pieces.append(self._ready[:missing])
            self._ready = self._ready[missing:]
            missing -= len(pieces[-1])
        self.position += size - missing
        return b"".join(pieces)

    def skip(self, size: int) -> None:
        """See Source."""
        while size and (passed := len(self.read(min(size, BLOCK)))):
            size -= passed

    def _fill(self) -> bool:
        """Inflate some more; False at the end."""
        while not self._ready and not self._inflater.eof:
            deflated = self._inflater.unconsumed_tail or self._source.read(1 << 16)
            try:
                self._ready = self._inflater.decompress(deflated, 1 << 16)
            except zlib.error:
                raise DataSetError("its deflated data set cannot be inflated") from None
            if not deflated and not self._ready:
                raise DataSetError("its deflated data set is cut short")
        return bool(self._ready)


class Output:
    """The file that is written.

    Args:
        file: opened for writing.
        alive: called for each block, to say that the work goes on.

    Raises:
        DataSetError: more than any native data set has.
        OSError: ENOSPC when the file would take more than half of what is free.
    """

    def __init__(self, file: BinaryIO, alive: Callable[[], None]) -> None:
        self._file, self._alive = file, alive
        self._blocks = -1
        self.size = 0

    def write(self, content: bytes | bytearray | memoryview) -> None:
        """Append bytes."""
        self.size += len(content)
        if self.size > LARGEST_BYTES:
            raise DataSetError("it would be larger than a native data set can be (PS3.5 7.1)")
        if self.size // BLOCK != self._blocks:
            self._blocks = self.size // BLOCK
            self._alive()
            self.reserve(0)
        self._file.write(content)

    def reserve(self, size: int) -> None:
        """See that there is room for so many more bytes, and as many again for what is received meanwhile.

        Raises:
            OSError: ENOSPC.
        """
        there = os.fstatvfs(self._file.fileno())
        if there.f_bavail * there.f_frsize < 2 * size + (8 << 20):
            raise OSError(28, os.strerror(28))


class Nowhere:
    """An output that forgets, for a walk that only looks."""

    size = 0

    def write(self, content: bytes | bytearray | memoryview) -> None:
        """Forget bytes."""

    def reserve(self, size: int) -> None:
        """There is always room."""
