"""Has the disk begin to write a file before fsync asks for it, so that fsync waits less; a hint, never a promise.

What goes wrong meanwhile is the file's, and fsync tells. Source: sync_file_range(2); there is no call of it in `os`.
"""

import ctypes
import sys

_PAGE = 4096
_WRITE = 2
_SYNC_FILE_RANGE = getattr(ctypes.CDLL(None), "sync_file_range", None) if sys.platform == "linux" else None
if _SYNC_FILE_RANGE is not None:
    _SYNC_FILE_RANGE.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)


def begin(fd: int, start: int, end: int) -> int:
    """Begin to write the whole pages of a stretch.

    Args:
        fd: the file.
        start: where the stretch begins, bytes; on a page's edge.
        end: where it ends, bytes.

    Returns:
        Where the next stretch begins: a page that is still to grow would be written twice.
    """
    end -= end % _PAGE
    if _SYNC_FILE_RANGE is not None and end > start:
        _SYNC_FILE_RANGE(fd, start, end - start, _WRITE)
    return end
