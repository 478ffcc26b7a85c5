"""A worker process that a parent started: it ends with its parent, and says in one line why it ended."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping

_PARENT = "DCMRELAY_PARENT"
_LAST_WORDS = "DCMRELAY_LAST_WORDS"
_PR_SET_PDEATHSIG = 1
_LONGEST_LAST_WORDS = 4096


class Child:
    """One worker as a process of its own.

    Args:
        name: for people: `router`, `sender archive`.
        arguments: what follows `python -m dcmrelay`.
        environment: asked at each start: what is added to this program's environment.
    """

    def __init__(self, name: str, arguments: tuple[str, ...], environment: Callable[[], Mapping[str, str]]) -> None:
        self.name = name
        self._arguments = arguments
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._words = -1

    @property
    def pid(self) -> int:
        """Process id since the last start; 0 before the first."""
        return self._process.pid if self._process else 0

    def start(self) -> None:
        """Start it. Call from the main thread: the kernel ends it with the thread that started it."""
        self._words, writing = os.pipe()
        os.set_blocking(self._words, False)
        ours = {_PARENT: str(os.getpid()), _LAST_WORDS: str(writing)}
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "dcmrelay", *self._arguments],
                env={**os.environ, **self._environment(), **ours},
                stdin=subprocess.DEVNULL,
                pass_fds=(writing,),
                start_new_session=True,
            )
        finally:
            os.close(writing)

    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def terminate(self) -> None:
        """Ask it to finish or abandon its work and go."""
        if self._process is not None and self.alive():
            self._process.send_signal(signal.SIGTERM)

    def end(self, deadline: float) -> None:
        """Wait until it is gone; by force after the deadline (of `time.monotonic`)."""
        if self._process is None:
            return
        try:
            self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def why(self) -> str:
        """Why it ended, in its own words or by its exit code; asked once after each end."""
        words = b""
        with contextlib.suppress(OSError):
            words = os.read(self._words, _LONGEST_LAST_WORDS)
        os.close(self._words)
        return words.decode(errors="replace").strip() or self._exit_text()

    def _exit_text(self) -> str:
        code = self._process.returncode if self._process else 0
        return f"signal {-code}" if code < 0 else f"exit code {code}"


def end_with_parent() -> None:
    """In a worker at its start: receive SIGTERM when the parent that started it dies; go now if it has already."""
    parent = os.environ.pop(_PARENT, "")
    if not parent:
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != int(parent):
        sys.exit(0)


class Overheard:
    """In a worker: standard error, whose last line the parent is told when the worker ends with an error.

    Args:
        kind: of the worker; its name before the line is left out, the parent knows it.
    """

    def __init__(self, kind: str) -> None:
        self._stream = sys.stderr
        self._prefix = f"dcmrelay {kind}: "
        self._last = ""

    def write(self, text: str) -> int:
        """Pass on, and remember."""
        self._last = text.strip() or self._last
        return self._stream.write(text)

    def flush(self) -> None:
        """Pass on."""
        self._stream.flush()

    def tell_parent(self) -> None:
        """Tell the parent the last line, if there is one that listens."""
        pipe = os.environ.pop(_LAST_WORDS, "")
        if pipe:
            with contextlib.suppress(OSError):
                os.write(int(pipe), self._last.removeprefix(self._prefix).encode()[:_LONGEST_LAST_WORDS])
