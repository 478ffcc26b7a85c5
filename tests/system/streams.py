"""A modality that never stops: study after study, each instance again and again until it is acknowledged."""

import re
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.peers import storescu
from tests.system.images import ct_study, hash_of, uid_of
from tests.system.relay import Relay

_INSTANCES = 10


class Stream:
    """Sends studies from a thread of its own, from `with` to its end.

    Args:
        relay: to whom.
        folder: where the studies are made.

    Attributes:
        acknowledged: data set hash by SOP Instance UID of what was answered with success.
        associations_lost: how often it had to begin anew.
    """

    def __init__(self, relay: Relay, folder: Path) -> None:
        self.acknowledged: dict[str, str] = {}
        self.associations_lost = 0
        self._relay, self._folder = relay, folder
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """The study that is being sent is still brought to its end, unless the test failed."""
        self._enough.set()
        if error is not None:
            self._relay.end()
        self._thread.join(60)
        assert not self._thread.is_alive(), "the relay does not take what is sent"

    def _run(self) -> None:
        number = 0
        while not self._enough.wait(0.2):
            number += 1
            left = ct_study(self._folder / str(number), _INSTANCES, size=64)
            while left and (left := self._unacknowledged(left)):
                self.associations_lost += 1
                if self._enough.wait(0.3) and not self._relay.pids():
                    return

    def _unacknowledged(self, files: list[Path]) -> list[Path]:
        """Sends files in one association; returns those that no success came for."""
        said = storescu(self._relay.port, *files, calling="CT1", options=("--propose-little",))
        taken = re.findall(r"Sending file: (\S+)\n(?:(?!.*Sending file).*\n)*?.*Response \(Success\)", said.stderr)
        for name in taken:
            self.acknowledged[uid_of(Path(name))] = hash_of(Path(name))
        return [file for file in files if str(file) not in taken]
