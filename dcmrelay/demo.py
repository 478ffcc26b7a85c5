"""`make demo`: a relay and two receivers on this machine; real studies go through, and what became of them is shown."""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

from pydicom.data import get_testdata_file

from dcmrelay import demo_report as report
from dcmrelay import handing, reading
from dcmrelay.output import complain, say
from dcmrelay.ports import free_port
from dcmrelay.running import answers
from dcmrelay.tools import tool, tool_environment
from shared.config import Config, load
from shared.errors import DcmrelayError, StartError
from shared.spool.spool import Spool
from shared.spool.volume import attach

FOLDER = Path("var/demo")
STUDIES = ("CT_small.dcm", "MR_small.dcm", "dicomdirtests/98892003/MR700/4467")
_START_SECONDS, _ARRIVE_SECONDS = 120, 60
T = TypeVar("T")

_CONFIG = """\
# The demo's relay: every study goes to the archive as it is, and de-identified to an outside reading service.
[relay]
ae_title = "DCMRELAY"
data_dir = "relay"

[ingress]
listen = ["127.0.0.1:{ingress}"]
quiet = "2s"
quiet_after_release = "1s"
min_free = "100MB"

[[source]]
name = "modality"
ae_title = "MODALITY"

[[destination]]
name = "archive"
ae_title = "ARCHIVE"
host = "127.0.0.1"
port = {archive}

[[destination]]
name = "reading"
ae_title = "READING"
host = "127.0.0.1"
port = {reading}
deidentified_only = true

[profile.outside]
base = "basic"
key_file = "outside.key"
pseudonyms = {{ PatientID = "DEMO{{key:12}}", PatientName = "DEMO{{key:12}}" }}

[[route]]
name = "archive"
to = ["archive"]

[[route]]
name = "outside-reading"
profile = "outside"
to = ["reading"]
"""


def main(folder: Path = FOLDER) -> int:
    """Run the demo in a folder that is made anew; returns 1 when something did not arrive."""
    try:
        with ExitStack() as stack:
            return _run(folder, stack)
    except DcmrelayError as error:
        complain(f"demo: {error}")
        return 1


def _run(folder: Path, stack: ExitStack) -> int:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    config_path = folder / "dcmrelay.toml"
    ports = {name: free_port() for name in ("ingress", "archive", "reading")}
    config_path.write_text(_CONFIG.format(**ports), encoding="utf-8")
    config = load(config_path)
    report.introduce(config, config_path)
    for destination in config.destinations:
        stack.enter_context(_receiver(folder, destination.name, destination.port))
    stack.enter_context(_relay(config_path, folder / "relay.log"))
    files = studies()
    report.sent(files)
    if handing.hand_over(config, "modality", files):
        raise StartError(f"not everything could be sent to the relay; see {folder / 'relay.log'}")
    spool = attach(config)
    journeys = _wait(lambda: _arrived(spool, config, len(STUDIES)), _ARRIVE_SECONDS)
    if journeys is None:
        raise StartError(f"not everything arrived within {_ARRIVE_SECONDS} s; see {folder / 'relay.log'}")
    return report.explain(journeys, spool, folder)


def studies() -> list[Path]:
    """Public test studies that come with pydicom; the last one has several instances."""
    found = [get_testdata_file(name, download=False) for name in STUDIES]
    paths = [Path(path) for path in found if isinstance(path, str)]
    if len(paths) < len(STUDIES):
        raise StartError("pydicom's test files are not installed; run `make setup`")
    *single, last = paths
    return [*single, *sorted(last.parent.iterdir())]


def _arrived(spool: Spool, config: Config, studies: int) -> list[reading.Journey] | None:
    """The journeys once every study has all its deliveries, none of which is waiting or being worked on."""
    journeys = [reading.journey(spool, part) for part in reversed(reading.parts(spool))]
    settled = [unit.state.status in ("final", "held") for journey in journeys for unit, _ in journey.deliveries]
    return journeys if len(settled) == studies * len(config.destinations) and all(settled) else None


@contextmanager
def _receiver(folder: Path, name: str, port: int) -> Iterator[None]:
    """A DICOM receiver (DCMTK's storescp) that writes what it gets as it comes."""
    received = folder / "received" / name
    received.mkdir(parents=True)
    options = ("--disable-host-lookup", "--output-directory", str(received), "+xa", "+B", str(port))
    command = [str(tool("storescp")), *options]
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(command, env=tool_environment(), stdout=log, stderr=log, start_new_session=True)
    try:
        if _wait(lambda: answers("127.0.0.1", port), _START_SECONDS) is None:
            raise StartError(f"the receiver {name} did not start; see {folder / name}.log")
        yield
    finally:
        process.terminate()
        process.wait()


@contextmanager
def _relay(config_path: Path, log_path: Path) -> Iterator[None]:
    command = [sys.executable, "-m", "dcmrelay", "up", "--config", str(config_path)]
    with log_path.open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        say("Starting the relay: RabbitMQ and one process per worker ...")
        ready = _wait(lambda: process.poll() is not None or b"\nREADY" in log_path.read_bytes(), _START_SECONDS)
        if not ready or process.poll() is not None:
            raise StartError(f"the relay did not start; see {log_path}")
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _wait(fact: Callable[[], T | None], seconds: float) -> T | None:
    """What `fact` returns once it is true; None when that took too long."""
    deadline = time.monotonic() + seconds
    while not (value := fact()):
        if time.monotonic() > deadline:
            return None
        time.sleep(0.1)
    return value


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:2])))
