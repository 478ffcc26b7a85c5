"""The next instance in memory, its hash checked, while the destination works on the present one.

Each file is read once, and the bytes that leave are the very bytes that were checked.
"""

import hashlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from shared.spool.drafts import storage_error
from shared.spool.parts import Instance, is_damage, is_intact

# Larger ones are hashed, then read again while they are sent.
LARGEST = 8 << 20
Content = memoryview | Path | None


class Ahead:
    """Reads instances in their order, one ahead of what is sent.

    Args:
        instances: those that will be taken.
        path_of: where a name of the spool lies.
    """

    def __init__(self, instances: Iterable[Instance], path_of: Callable[[str], Path]) -> None:
        self._instances, self._path_of = iter(instances), path_of
        self._buffers = [bytearray(), bytearray()]
        self._read: tuple[Instance, Content] | None = None

    def read(self) -> None:
        """Read the next instance unless that is done; to be called while there is nothing else to do."""
        instance = next(self._instances, None) if self._read is None else None
        if instance is not None:
            self._read = instance, self._checked(instance)

    def take(self, instance: Instance) -> Content:
        """An instance's data set, valid until the second next `read`; its file, when it is too large for memory.

        None when the bytes on disk are not those that were stored.
        """
        self.read()
        ahead, self._read = self._read, None
        return ahead[1] if ahead is not None and ahead[0] is instance else self._checked(instance)

    def _checked(self, instance: Instance) -> Content:
        path = self._path_of(instance.file)
        if instance.size > LARGEST:
            return path if is_intact(path, instance) else None
        content = self._room(instance.size)
        return content if _filled(content, path, instance) else None

    def _room(self, size: int) -> memoryview:
        """A buffer that is not the one being sent."""
        buffer, other = self._buffers
        if len(buffer) < size:
            buffer = bytearray(size)
        self._buffers = [other, buffer]
        return memoryview(buffer)[:size]


def _filled(room: memoryview, path: Path, instance: Instance) -> bool:
    """Whether the data set could be read whole, with the hash it was stored under.

    Raises:
        StorageError: that cannot be seen now; it is no damage.
    """
    count = 0
    try:
        with path.open("rb", buffering=0) as file:
            while count < len(room):
                more = os.preadv(file.fileno(), [room[count:]], instance.offset + count)
                if not more:
                    return False
                count += more
    except OSError as error:
        if is_damage(error):
            return False
        raise storage_error("read an instance in", path.parent, error) from error
    return hashlib.sha256(room).hexdigest() == instance.sha256
