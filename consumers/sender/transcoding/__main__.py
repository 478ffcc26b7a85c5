"""The child process: one line of JSON in, one out, until its standard input ends.

It has no secrets in its environment and gets no connection; a decoder that crashes it, or takes too long or too much
memory, costs the one instance. It ends by itself when the sender does.
"""

import json
import os
import resource
import signal
import sys
from pathlib import Path

from consumers.sender.transcoding.transcode import Stored, transcode
from shared.errors import DataSetError

STALL_SECONDS = 60
MEMORY_BYTES = 3 << 30


def main() -> None:
    """Answer requests."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold an image
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the sender decides when to end
    with (
        os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8") as answers,
        Path(os.devnull).open("w") as nowhere,
    ):
        os.dup2(nowhere.fileno(), sys.stdout.fileno())  # decoders write what they like there
        for line in sys.stdin:
            answer = _answer(json.loads(line))
            signal.alarm(0)
            answers.write(json.dumps(answer) + "\n")
            answers.flush()


def _answer(asked: dict[str, str | int]) -> dict[str, str]:
    """What became of one request: nothing when it is done, else `refused` or `storage` with the reason."""
    stored = Stored(
        file=Path(str(asked["file"])),
        offset=int(asked["offset"]),
        size=int(asked["size"]),
        transfer_syntax_uid=str(asked["transfer_syntax_uid"]),
    )
    _alive()
    try:
        transcode(stored, str(asked["target"]), Path(str(asked["output"])), _alive)
    except DataSetError as error:
        return {"refused": error.reason}
    except MemoryError:
        return {"refused": f"more than {MEMORY_BYTES >> 30} GiB of memory would be needed"}
    except OSError as error:
        return {"storage": os.strerror(error.errno or 0)}
    except Exception as error:  # noqa: BLE001  (parser boundary)
        return {"refused": f"it cannot be read ({type(error).__name__})"}
    return {}


def _alive() -> None:
    """The work goes on: SIGALRM ends the process when this is not called again in time, whatever it is doing."""
    signal.alarm(STALL_SECONDS)


if __name__ == "__main__":
    main()
