"""The sender's side of transcoding: asks the child process, and lives on when that dies.

Nothing of numpy, pydicom's pixels or a decoder is imported here.
"""

import json
import os
import select
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from signal import SIGALRM

from shared.errors import DataSetError, StorageError
from shared.spool.parts import Instance
from shared.spool.store import Store

EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
TARGETS = (EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN)
"""What instances are transcoded to: the first that is accepted; explicit keeps the VR of every element."""

WAITING_SECONDS = 5
COMMAND = (sys.executable, "-m", "consumers.sender.transcoding")
_KEPT = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "OPENBLAS_CORETYPE")
_LONGEST_REASON = 200


@dataclass(frozen=True, kw_only=True)
class Sendable:
    """A data set as it goes out: its bytes, or where it begins in which file, and its length, bytes."""

    content: memoryview | Path
    offset: int
    size: int


class Transcoder:
    """Writes instances in a native transfer syntax, to temporary files of the spool.

    Args:
        store: the spool's; the files lie in its file system, and nowhere else.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._child: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    @contextmanager
    def transcoded(self, instance: Instance, target: str, waiting: Callable[[], None]) -> Iterator[Sendable]:
        """An instance in another transfer syntax, for as long as the block runs.

        Args:
            instance: whose bytes in the spool were found intact.
            target: one of TARGETS.
            waiting: called every few seconds meanwhile; what it raises passes through.

        Raises:
            DataSetError: this instance cannot be transcoded; says why, without values.
            StorageError: the disk refused.
        """
        draft = self._store.draft()
        try:
            with self._lock:
                self._ask(instance, target, draft.path, waiting)
            yield Sendable(content=draft.path, offset=0, size=draft.path.stat().st_size)
        finally:
            draft.discard()

    def close(self) -> None:
        """End the child, if there is one; the next instance starts another."""
        with self._lock:
            self._end()

    def _end(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            with suppress(BrokenPipeError), child:
                pass

    def _ask(self, instance: Instance, target: str, output: Path, waiting: Callable[[], None]) -> None:
        asked = {
            "file": str(self._store.path(instance.file).absolute()),
            "offset": instance.offset,
            "size": instance.size,
            "transfer_syntax_uid": instance.transfer_syntax_uid,
            "target": target,
            "output": str(output.absolute()),
        }
        try:
            answer = self._exchange(json.dumps(asked), waiting)
        except BaseException:
            self._end()
            raise
        if "storage" in answer:
            raise StorageError(f"cannot write a transcoded instance in {output.parent}: {answer['storage']}")
        if "refused" in answer:
            raise DataSetError(answer["refused"])

    def _exchange(self, asked: str, waiting: Callable[[], None]) -> dict[str, str]:
        """One line there, one back."""
        child = self._running()
        assert child.stdin is not None  # noqa: S101  (for mypy: both are pipes)
        assert child.stdout is not None  # noqa: S101
        with suppress(BrokenPipeError):  # it crashed at its start; its end of file says so
            child.stdin.write(asked + "\n")
            child.stdin.flush()
        poll = select.poll()
        poll.register(child.stdout, select.POLLIN)
        while not poll.poll(WAITING_SECONDS * 1000):
            waiting()
        return _understood(child.stdout.readline(), child)

    def _running(self) -> "subprocess.Popen[str]":
        if self._child is not None and self._child.poll() is not None:
            self._end()  # killed while it had nothing to do, which says nothing about the next instance
        if self._child is None:
            environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
            self._child = subprocess.Popen(
                COMMAND,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                encoding="utf-8",
                errors="replace",
            )
        return self._child


def _understood(line: str, child: "subprocess.Popen[str]") -> dict[str, str]:
    """The child's answer; a child that died, or says what it never does, refused the instance."""
    if not line:
        with suppress(subprocess.TimeoutExpired):
            child.wait(timeout=WAITING_SECONDS)
        took_too_long = child.returncode == -SIGALRM
        raise DataSetError("decoding it takes too long" if took_too_long else "a decoder crashed on it")
    try:
        answer = json.loads(line)
        words = {str(key): str(value)[:_LONGEST_REASON] for key, value in answer.items()}
    except (ValueError, AttributeError):
        words = {"": ""}
    if not all(word.isprintable() for word in words.values()) or not words.keys() <= {"refused", "storage"}:
        raise DataSetError("a decoder crashed on it")
    return words
