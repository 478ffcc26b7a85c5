"""DCMTK as it comes and with TCP_NODELAY=1: sender, receiver, and the two tied together by a script."""

import os
import re
import stat
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from tests.peers import StoreScp, peer_environment, store_scp, tool
from tests.support import eventually

_LOG = """log4cplus.rootLogger = INFO, console
log4cplus.appender.console = log4cplus::ConsoleAppender
log4cplus.appender.console.logToStdErr = true
log4cplus.appender.console.layout = log4cplus::PatternLayout
log4cplus.appender.console.layout.ConversionPattern = %D{%s.%q} %m%n
"""


@dataclass(frozen=True, kw_only=True)
class Sent:
    """One association of dcmsend's.

    Args:
        begun: when it was asked for, seconds since 1970.
        ended: when the last response was there.
        count: instances answered with success.
    """

    begun: float
    ended: float
    count: int

    @property
    def rate(self) -> float:
        """Instances a second."""
        return self.count / (self.ended - self.begun)


@contextmanager
def nagle(*, off: bool) -> Iterator[None]:
    """Programs of DCMTK (and Orthanc) that are started here leave Nagle's algorithm on, or turn it off."""
    with patch.dict(os.environ):
        os.environ.pop("TCP_NODELAY", None)
        if off:
            os.environ["TCP_NODELAY"] = "1"
        yield


def send(
    folder: Path,
    port: int,
    files: Sequence[Path],
    *,
    tuned: bool,
    calling: str = "CT1",
    called: str = "DCMRELAY",
    secured: Sequence[str] = (),
) -> Sent:
    """Sends files in one association and times it by the sender's own log; all must be answered with success.

    dcmsend does it, or storescu when options for TLS are given, which dcmsend does not know.
    """
    log = folder / "dcmsend.cfg"
    log.write_text(_LOG, encoding="ascii")
    titles = ("--aetitle", calling, "--call", called)
    program = ("storescu", "--required", *secured) if secured else ("dcmsend", "--decompress-never")
    options = (*program[1:], "--log-config", log)
    with nagle(off=tuned):
        command: list[str | Path] = [tool(program[0]), *options, *titles, "127.0.0.1", str(port), *files]
        done = subprocess.run(command, env=peer_environment(), capture_output=True, text=True, timeout=600, check=False)
    sent = Sent(begun=_time(done.stderr, "Requesting"), ended=_time(done.stderr, "Releasing"), count=len(files))
    answered = f"with status SUCCESS  : {len(files)}\n" in done.stderr
    assert answered or done.stderr.count("Received Store Response (Success)") == len(files), done.stderr[-500:]
    return sent


@contextmanager
def receiver(folder: Path, name: str, *options: str, tuned: bool) -> Iterator[StoreScp]:
    """A storescp that keeps what it gets, bit by bit."""
    with nagle(off=tuned), store_scp(folder, *options, ae_title=name) as scp:
        yield scp


@contextmanager
def script(folder: Path, name: str, to_port: int, *, tuned: bool) -> Iterator[StoreScp]:
    """The ancestor's relay: a storescp that hands each study to dcmsend when nothing came for a second."""
    hand_on = folder / f"{name}.sh"
    hand_on.write_text(f'#!/bin/sh\nexec {tool("dcmsend")} --scan-directories 127.0.0.1 {to_port} "$1"\n')
    hand_on.chmod(stat.S_IRWXU)
    options = ("--sort-on-study-uid", "S", "--eostudy-timeout", "1", "--exec-on-eostudy", f"{hand_on} #p")
    with nagle(off=tuned), store_scp(folder, *options, ae_title=name, accept=("+xa",)) as scp:
        yield scp


def arrived(scp: StoreScp, count: int, seconds: float = 300) -> float:
    """When the last of so many instances came to a receiver, seconds since 1970; then it has none again."""
    eventually(lambda: len(os.listdir(scp.directory)) >= count and not _writes(scp), seconds)  # noqa: PTH208  (quick)
    last = max(file.stat().st_mtime for file in scp.directory.iterdir())
    empty(scp)
    return last


def empty(scp: StoreScp) -> None:
    """Forget what a receiver has."""
    for file in scp.files():
        file.unlink()


def _writes(scp: StoreScp) -> bool:
    """Whether it has a file open among those it received."""
    opened = [entry.readlink() for entry in Path(f"/proc/{scp.pid}/fd").iterdir() if entry.is_symlink()]
    return any(name.is_relative_to(scp.directory) for name in opened)


def version() -> str:
    """DCMTK's version."""
    done = subprocess.run([tool("dcmsend"), "--version"], env=peer_environment(), capture_output=True, check=True)
    found = re.search(rb"dcmsend v(\S+)", done.stdout + done.stderr)
    return found[1].decode() if found else "unknown"


def _time(log: str, word: str) -> float:
    found = re.search(rf"^([\d.]+) {word} Association", log, re.MULTILINE)
    assert found, log[-500:]
    return float(found[1])
