"""Names and bytes that are safe once said to be: put-new, open, list, delete, and nothing else.

A name is made once and never changed, so there is no rename, no append and no half-written file to meet. On a
directory, put-new is: a draft in the same file system, fsync, link (fails when the name is there), fsync of the
directory; the one order that survives a power cut. On an object store it would be a put with if-none-match.
Source: ADR 0002.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

from shared import owner
from shared.errors import StorageError
from shared.spool import reserve
from shared.spool.drafts import Draft, storage_error

Step = Callable[[str], None]


class Store:
    """A directory of immutable names.

    Args:
        root: the spool's directory; must exist.
        step: called with a sentence before and after each durable step; tests kill there.
    """

    def __init__(self, root: Path, step: Step = lambda _: None) -> None:
        self.root = root
        self._step = step
        self._prefix = f"{root}/"
        self._temporary = root / "tmp"
        self._locks = tuple(threading.Lock() for _ in range(64))
        self._temporary.mkdir(mode=0o700, exist_ok=True)
        self._hashing = ThreadPoolExecutor(os.cpu_count() or 1, "hashing")  # starts a thread when one is needed

    def draft(self) -> Draft:
        """Begin bytes that `put_new` will give a name."""
        return Draft(self._temporary, self._hashing)

    def put_new(self, name: str, content: bytes | Draft) -> bool:
        """Give a name to bytes if nobody has; either way the name is on stable storage on return.

        Args:
            name: relative, with `/`; made of our own ids only, never of something a peer sent.
            content: the bytes, or a draft, which is used up.

        Returns:
            True when this call made the name; False when it was there before (its bytes stand, ours are forgotten).

        Raises:
            StorageError: refused; nothing stands under the name by this call. Bytes, which are state, are refused for
                want of room only when the reserve is used up too.
        """
        if isinstance(content, Draft):
            return self._put_draft(name, content)
        try:
            return self._put_draft(name, self._drafted(content))
        except StorageError as error:
            if not reserve.is_needed(error):
                raise
        reserve.give_up(self.root)
        return self._put_draft(name, self._drafted(content))

    def put_all_new(self, drafts: Mapping[str, Draft]) -> None:
        """Give names in one folder to drafts, as `put_new` does to each, but with one fsync of the folder for all.

        Raises:
            StorageError: refused; none of the names was made by this call.
        """
        self._put_drafts(drafts)

    def _put_draft(self, name: str, draft: Draft) -> bool:
        return self._put_drafts({name: draft}) == 1

    def _put_drafts(self, drafts: Mapping[str, Draft]) -> int:
        """Returns how many of the names this call made."""
        try:
            for name, draft in drafts.items():
                draft.sync()
                self._step(f"before {name}")
            made = self._link({self.root / name: draft for name, draft in drafts.items()})
        finally:
            for draft in drafts.values():
                draft.discard()
        for name in drafts:
            self._step(f"after {name}")
        return made

    def open(self, name: str) -> BinaryIO:
        """Open a name for reading.

        Raises:
            FileNotFoundError: nobody made it, or it was deleted.
            StorageError: refused.
        """
        try:
            return open(self._prefix + name, "rb")  # noqa: PTH123  (no Path per name: thousands are opened)
        except (FileNotFoundError, NotADirectoryError):
            raise
        except OSError as error:
            raise storage_error("open", self.root / name, error) from error

    def has(self, name: str) -> bool:
        """Whether a name is there; a folder's counts too."""
        return os.access(self._prefix + name, os.F_OK)

    def path(self, name: str) -> Path:
        """Where the name lies on this machine, for what reads by file descriptor."""
        return self.root / name

    def list(self, prefix: str) -> list[str]:
        """Names (and folders) directly below a prefix, without it, sorted; empty when there is none.

        Raises:
            StorageError: refused.
        """
        try:
            return sorted(os.listdir(self._prefix + prefix))  # noqa: PTH208  (names only: no Path per entry)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise storage_error("list", self.root / prefix, error) from error

    def delete(self, name: str) -> None:
        """Take a name away; its folder goes too when that leaves it empty. Harmless when it is not there.

        Raises:
            StorageError: refused; the name may still be there.
        """
        path = self.root / name
        self._step(f"before delete {name}")
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise storage_error("delete", path, error) from error
        with contextlib.suppress(OSError):
            path.parent.rmdir()
        self._step(f"after delete {name}")

    def read(self, name: str) -> bytes | None:
        """The bytes under a name, or None when there is no such name.

        Raises:
            StorageError: refused.
        """
        try:
            with self.open(name) as file:
                return file.read()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise storage_error("read", self.root / name, error) from error

    def clear_drafts(self) -> int:
        """Delete temporary files of processes that ended; returns how many."""
        left = [path for path in self._temporary.iterdir() if owner.is_left_behind(path.name)]
        for path in left:
            path.unlink(missing_ok=True)
        return len(left)

    def _drafted(self, content: bytes) -> Draft:
        draft = self.draft()
        try:
            draft.write(content)
        except StorageError:
            draft.discard()
            raise
        return draft

    def _link(self, drafts: Mapping[Path, Draft]) -> int:
        """Link and sync the folder; one at a time in a folder, so that nobody relies on a name that is taken back."""
        (folder,) = {target.parent for target in drafts}
        made: list[Path] = []
        with self._locks[hash(folder) % len(self._locks)]:
            doing = "make a name in"
            try:
                for target, draft in drafts.items():
                    if self._linked(draft, target):
                        made.append(target)
                doing = "fsync the folder"
                sync_folder(folder)
            except OSError as error:
                for target in made:
                    with contextlib.suppress(OSError):
                        target.unlink()
                raise storage_error(doing, folder, error) from error
        return len(made)

    def _linked(self, source: Draft, target: Path) -> bool:
        try:
            try:
                source.link(target)
            except FileNotFoundError:
                self._make_folder(target.parent)
                source.link(target)
        except FileExistsError:
            return False
        return True

    def _make_folder(self, folder: Path) -> None:
        if not folder.parent.is_dir():
            self._make_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Bring a directory's entries to stable storage (fsync of the file alone leaves its name in doubt)."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
