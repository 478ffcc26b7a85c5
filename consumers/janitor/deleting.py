"""Deletes a folder of the spool with all that is in it."""

import contextlib

from shared.spool.spool import Spool


def delete_all(spool: Spool, folder: str) -> None:
    """Delete everything below a folder, highest names first: what the others are found by goes last.

    Raises:
        StorageError: the disk refused; some of it may be there.
    """
    for name in reversed(spool.store.list(folder)):
        path = f"{folder}/{name}"
        if spool.store.path(path).is_dir():
            delete_all(spool, path)
        else:
            spool.store.delete(path)
    with contextlib.suppress(OSError):
        spool.store.path(folder).rmdir()
