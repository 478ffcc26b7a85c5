"""Bytes on their way to a name, on the spool's own file system, hashed while they are written and synced.

A draft has no name until it is linked to its final one: nobody meets it, and it is gone with the process that made it.
Where the file system (or a missing /proc) does not allow that, it is a temporary file. Source: open(2), O_TMPFILE.
"""

import contextlib
import errno
import hashlib
import os
import secrets
import threading
from concurrent.futures import Executor, Future
from pathlib import Path

from shared import owner
from shared.errors import StorageError
from shared.spool import writeback

_LAG = 1 << 20
_STRETCH = 64 << 10
_BLOCK = 128 << 10
_LITTLE = 32 << 10
_MODE = os.O_RDWR | os.O_CLOEXEC
_NAMELESS: int | None = getattr(os, "O_TMPFILE", None)
_NOT_SUPPORTED = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL)
_OUR_DESCRIPTORS = "/proc/self/fd"


class Draft:
    """Bytes that will get a name.

    Args:
        folder: for temporary files.
        hashing: whose threads hash.

    Raises:
        StorageError: the file system refused; `discard` the draft, it cannot be used again.
    """

    def __init__(self, folder: Path, hashing: Executor) -> None:
        self.size = self._begun = 0
        self._folder, self._hashing = folder, hashing
        self._hash: _Hash | None = None
        self._is_synced = False
        try:
            self._fd, self._name = _create(folder)
        except OSError as error:
            raise storage_error("create a temporary file in", folder, error) from error

    @property
    def path(self) -> Path:
        """Where we and our child processes can read and write it until it is discarded."""
        return Path(f"/proc/{os.getpid()}/fd/{self._fd}") if self._name is None else self._name

    @property
    def sha256(self) -> str:
        """Hash of the bytes written since `hash_from_here`, hexadecimal; once it is synced."""
        if self._hash is None or not self._is_synced:
            raise RuntimeError("a draft was asked for its hash before it had one")
        return self._hash.hexdigest()

    def hash_from_here(self) -> None:
        """Hash what is written from now on."""
        self._hash = _Hash(self._fd, self.size, self._hashing)

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Append a chunk, whole."""
        rest = memoryview(chunk)
        try:
            while rest:
                written = os.write(self._fd, rest)
                self.size += written
                rest = rest[written:]
            if self.size - self._begun >= _STRETCH:
                self._begun = writeback.begin(self._fd, self._begun, self.size)
            if self._hash is not None and self.size - self._hash.end >= _LAG:
                self._hash.go_on(self.size)
        except OSError as error:
            raise storage_error("write to", self._folder, error) from error

    def sync(self) -> None:
        """Bring the bytes to stable storage, unless they are; a failed fsync is never tried again.

        The last of the bytes are hashed meanwhile: a disk takes longer to write them.
        """
        if self._is_synced:
            return
        try:
            if self._hash is not None:
                self._hash.go_on(self.size)
            os.fsync(self._fd)
            if self._hash is not None:
                self._hash.wait()
            self._is_synced = True
        except OSError as error:
            raise storage_error("fsync a file in", self._folder, error) from error
        finally:
            if not self._is_synced:
                self._close()

    def link(self, target: Path) -> None:
        """Give it a name besides.

        Raises:
            OSError: the file system refused; FileExistsError when the name is there.
        """
        if self._name is not None:
            os.link(self._name, target)
        else:  # the descriptors of a folder, which nothing is looked up in, make it linkat, which follows to the file
            os.link(self.path, target, src_dir_fd=self._fd, dst_dir_fd=self._fd, follow_symlinks=True)

    def discard(self) -> None:
        """Forget the bytes; harmless when they already have a name, and when done before."""
        self._close()
        if self._name is not None:
            with contextlib.suppress(FileNotFoundError):
                self._name.unlink()

    def _close(self) -> None:
        if self._fd >= 0:
            if self._hash is not None:
                self._hash.stop()
            fd, self._fd = self._fd, -1
            with contextlib.suppress(OSError):
                os.close(fd)


class _Hash:
    """SHA-256 of a file that grows, read back from the page cache by another thread; one stretch at a time."""

    def __init__(self, fd: int, begin: int, hashing: Executor) -> None:
        self.end = begin
        self._fd, self._hashing = fd, hashing
        self._sha256 = hashlib.sha256()
        self._stretch: Future[None] | None = None

    def go_on(self, end: int) -> None:
        """Hash up to here, once what was asked for before is done; raises OSError."""
        self.wait()
        begin, self.end = self.end, end
        if end - begin <= _LITTLE:  # quicker than to wake a thread
            self._take(begin, end)
            return
        self._stretch = self._hashing.submit(self._take, begin, end)

    def wait(self) -> None:
        """Until what was asked for is hashed; raises OSError."""
        if self._stretch is not None:
            self._stretch.result()

    def stop(self) -> None:
        """The file is about to be closed."""
        with contextlib.suppress(OSError):
            self.wait()

    def hexdigest(self) -> str:
        return self._sha256.hexdigest()

    def _take(self, begin: int, end: int) -> None:
        block = _block()
        while begin < end:
            count = os.preadv(self._fd, [block[: end - begin]], begin)
            if not count:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            self._sha256.update(block[:count])
            begin += count


_blocks = threading.local()


def _block() -> memoryview:
    """A buffer of this thread's."""
    if not hasattr(_blocks, "block"):
        _blocks.block = memoryview(bytearray(_BLOCK))
    block: memoryview = _blocks.block
    return block


def _create(folder: Path) -> tuple[int, Path | None]:
    """A new file's descriptor, and its name where it must have one."""
    if _NAMELESS is not None and os.access(_OUR_DESCRIPTORS, os.X_OK):
        try:
            return os.open(folder, _NAMELESS | _MODE, 0o600), None
        except OSError as error:
            if error.errno not in _NOT_SUPPORTED:
                raise
    name = folder / owner.draft_name(secrets.token_hex(8))
    return os.open(name, os.O_CREAT | os.O_EXCL | _MODE, 0o600), name


def storage_error(doing: str, place: Path, error: OSError) -> StorageError:
    """One line that says what could not be done, where, and why."""
    return StorageError(f"cannot {doing} {place}: {os.strerror(error.errno or 0)}")
