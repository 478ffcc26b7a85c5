"""Room on the spool's disk that nothing uses, given up so that state can still be written when the disk is full.

Instances never get it: they are refused, and it is for the records that say what became of them. It is made again when
there is room.
"""

import contextlib
import errno
import os
from pathlib import Path

from shared.errors import StorageError

NAME = "reserve"
_BYTES = 16 << 20
_MOST_OF_DISK = 100
_SPARE = 4


def keep(root: Path) -> bool:
    """Make the reserve if it is not there: 16 MiB, at most 1 % of the disk.

    Returns:
        Whether it is there; False while the disk has not four times as much room.
    """
    path = root / NAME
    try:
        disk = os.statvfs(root)
        size = min(_BYTES, disk.f_frsize * disk.f_blocks // _MOST_OF_DISK)
        if path.exists() and path.stat().st_size >= size:
            return True
        if disk.f_frsize * disk.f_bavail < _SPARE * size:
            return False
        _allocate(path, size)
    except OSError:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        return False
    return True


def give_up(root: Path) -> None:
    """Make its room free; harmless when somebody did before."""
    with contextlib.suppress(OSError):
        (root / NAME).unlink(missing_ok=True)


def is_needed(error: StorageError) -> bool:
    """Whether a write failed for want of room."""
    return isinstance(error.__cause__, OSError) and error.__cause__.errno in (errno.ENOSPC, errno.EDQUOT)


def _allocate(path: Path, size: int) -> None:
    fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(fd, 0, size)
    finally:
        os.close(fd)
