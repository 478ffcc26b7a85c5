"""A spool's names seen through: what is put is kept in memory, what is there is read, and nothing is written.

For who asks what the relay would do, by having it done. Source: ADR 0024.
"""

from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from shared.errors import StorageError
from shared.spool.drafts import Draft
from shared.spool.store import Store


class Overlay(Store):
    """A store over a directory that it leaves alone, and that need not exist.

    Args:
        root: the spool's directory.
        files: paths of names that lie elsewhere.
        hides: whether a name of the directory is to be seen as absent.
    """

    def __init__(
        self, root: Path, files: Mapping[str, Path] | None = None, hides: Callable[[str], bool] = lambda _: False
    ) -> None:
        self.root = root
        self._prefix = f"{root}/"
        self._files, self._hides = dict(files or {}), hides
        self._put: dict[str, bytes] = {}

    def draft(self) -> Draft:
        """Refused: nothing is written."""
        raise StorageError("nothing is written to a spool that is only looked at")

    def put_new(self, name: str, content: bytes | Draft) -> bool:
        """As `Store.put_new`, in memory."""
        if isinstance(content, Draft):
            raise StorageError("nothing is written to a spool that is only looked at")
        if self.read(name) is not None:
            return False
        self._put[name] = content
        return True

    def put_all_new(self, drafts: Mapping[str, Draft]) -> None:  # noqa: ARG002
        """Refused: nothing is written."""
        self.draft()

    def open(self, name: str) -> BinaryIO:
        """As `Store.open`."""
        if name in self._put:
            return BytesIO(self._put[name])
        if name in self._files:
            return self._files[name].open("rb")
        if self._hides(name):
            raise FileNotFoundError(name)
        return super().open(name)

    def path(self, name: str) -> Path:
        """As `Store.path`."""
        return self._files.get(name) or super().path(name)

    def list(self, prefix: str) -> list[str]:
        """As `Store.list`."""
        below = f"{prefix}/"
        ours = {name.removeprefix(below).partition("/")[0] for name in self._put if name.startswith(below)}
        theirs = {name for name in super().list(prefix) if not self._hides(below + name)}
        return sorted(ours | theirs)

    def delete(self, name: str) -> None:
        """Take away what was put; what lies in the directory stays."""
        self._put.pop(name, None)
