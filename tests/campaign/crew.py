"""The workers of one relay, each a process, started again at once when it ends: what a service manager does.

`dcmrelay up` waits longer and longer between starts of a worker that dies again and again; a campaign has no time.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.peers import tool
from tests.system.relay import PROJECT, Relay

WORKERS = ("ingress", "router", "anonymizer", "janitor", "ledger", "sender archive neuro", "sender reading backup")
# As with a disk that says that it has written and has not: what a power cut then takes is the control of that trial.
UNSYNCED = (
    "-f",
    "--seccomp-bpf",
    "-o",
    "/dev/null",
    "-e",
    "trace=fsync,fdatasync",
    "-e",
    "inject=fsync,fdatasync:retval=0",
)


class Crew:
    """Runs the workers from `with` to its end.

    Args:
        relay: whose configuration and broker.
        clock: a file with the seconds by which their wall clock is shifted.
        enter: what is put before a command, so that it runs on the workers' host.
        synced: False lets no fsync reach the kernel.

    Attributes:
        ended: how often each worker was found ended.
        codes: their exit codes; negative when a signal ended them.
        since: when each was last started, monotonic seconds.
    """

    def __init__(self, relay: Relay, clock: Path, enter: tuple[str, ...], *, synced: bool = True) -> None:
        self.ended: dict[str, int] = dict.fromkeys(WORKERS, 0)
        self.codes: list[tuple[str, int]] = []
        self._relay, self._clock, self._enter, self._synced = relay, clock, enter, synced
        self.since: dict[str, float] = {}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._off = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look_after)

    def __enter__(self) -> Self:
        for worker in WORKERS:
            self._running[worker] = self.start(worker)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        for program in self._running.values():  # all is accounted for: how they end shows nothing any more
            program.kill()
            program.wait()
        for pid in self._relay.pids():  # what ran under strace
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def pid(self, worker: str) -> int:
        """Process id of a worker."""
        return self._running[worker].pid

    def kill(self, worker: str) -> None:
        """kill -9 of a worker."""
        self._running[worker].kill()

    def signal_all(self, number: int) -> None:
        """The same signal to every worker, as near to at once as can be."""
        for program in list(self._running.values()):
            program.send_signal(number)

    def start(self, worker: str) -> subprocess.Popen[bytes]:
        """Starts one more such worker, which nobody looks after."""
        self.since[worker] = time.monotonic()
        command, *names = worker.split()
        strace = () if self._synced else (str(tool("strace")), *UNSYNCED)
        line = (
            *self._enter,
            *strace,
            sys.executable,
            "-m",
            "tests.campaign.clock",
            str(self._clock),
            "dcmrelay",
            command,
        )
        with (self._relay.folder / "crew.log").open("ab") as log:
            return subprocess.Popen(
                (*line, "--config", str(self._relay.config), *names), cwd=PROJECT, stdin=subprocess.DEVNULL,
                env=os.environ | {"DCMRELAY_BROKER_URL": self._relay.broker_url}, stdout=log, stderr=log,
            )  # fmt: skip

    @contextlib.contextmanager
    def off(self) -> Iterator[None]:
        """kill -9 of every worker; none runs until the end."""
        with self._off:
            self.signal_all(signal.SIGKILL)
            for program in self._running.values():
                program.wait()
            yield

    def _look_after(self) -> None:
        while not self._over.wait(0.03):
            with self._off:
                self._start_again()

    def _start_again(self) -> None:
        for worker, program in self._running.items():
            if (code := program.poll()) is not None:
                self.ended[worker] += 1
                self.codes.append((worker, code))
                self._running[worker] = self.start(worker)
