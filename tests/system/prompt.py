"""Commands of the command line without the second that Python takes to load it: each a fork of a process that has.

A command is a process of its own as ever, with its own environment, output and exit code.
"""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from functools import cache
from pathlib import Path

_one_at_a_time = threading.Lock()


def run(
    words: list[str], environment: dict[str, str], folder: Path, seconds: float
) -> subprocess.CompletedProcess[str]:
    """Runs a command that starts no other to its end.

    Args:
        words: what follows `dcmrelay`.
        environment: all of it.
        folder: where it runs.
        seconds: how long it may take.

    Raises:
        subprocess.TimeoutExpired: it took longer.
    """
    asked = json.dumps({"words": words, "environment": environment, "folder": str(folder)}).encode()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, socket.socket(socket.AF_UNIX) as line:
        line.settimeout(seconds)
        line.connect(_ready())
        socket.send_fds(line, [len(asked).to_bytes(4, "big")], [out.fileno(), err.fileno()])
        line.sendall(asked)
        try:
            code = line.recv(16)
        except TimeoutError:
            raise subprocess.TimeoutExpired(words, seconds) from None
        said, complained = (os.pread(it.fileno(), os.fstat(it.fileno()).st_size, 0).decode() for it in (out, err))
    return subprocess.CompletedProcess(words, int(code or -signal.SIGKILL), said, complained)


def load() -> None:
    """Begins to load the command line, for one who will soon need it and has something else to wait for."""
    with _one_at_a_time:
        _program(os.getpid())


def _ready() -> str:
    load()
    program, address = _program(os.getpid())
    assert program.stdout is not None
    if not program.stdout.peek(1):
        raise AssertionError("the command line does not load")
    return address


@cache
def _program(of: int) -> tuple[subprocess.Popen[bytes], str]:
    """The process that forks, and its address; it ends with the one it is of, whose end its standard input is."""
    name = f"dcmrelay-prompt-{of}-{os.urandom(8).hex()}"
    line = [sys.executable, "-m", __name__, name]
    return subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE), f"\0{name}"


def _serve(name: str) -> None:
    import dcmrelay.cli  # noqa: F401  what takes its time

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"\0{name}")
        listening.listen()
        print("ready", flush=True)
        while sys.stdin not in select.select([listening, sys.stdin], [], [])[0]:
            line, _ = listening.accept()
            with line:
                if not os.fork():
                    listening.close()
                    _become(line)


def _become(line: socket.socket) -> None:
    """The command; tells its exit code when it is over."""
    from dcmrelay.__main__ import main

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    length, files, _, _ = socket.recv_fds(line, 4, 2)
    asked = json.loads(line.recv(int.from_bytes(length, "big"), socket.MSG_WAITALL))
    with Path(os.devnull).open("rb") as nothing:
        for number, file in enumerate((nothing.fileno(), *files)):
            os.dup2(file, number)
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])
    sys.argv = ["dcmrelay", *asked["words"]]
    code: object = 1
    try:
        main()
        code = 0
    except SystemExit as ended:
        code = ended.code or 0
    except BaseException:  # noqa: BLE001  as Python does at the end of a program
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        line.sendall(str(code if isinstance(code, int) else 1).encode())
        os._exit(0)


if __name__ == "__main__":
    _serve(sys.argv[1])
