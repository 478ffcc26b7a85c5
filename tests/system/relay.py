"""A whole relay under test: `dcmrelay up` as a program of its own, watched from outside as an administrator would."""

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from shared.spool.deliveries import active_deliveries
from shared.spool.parts import active_parts
from shared.spool.spool import Spool
from shared.spool.states import State
from tests.peers import dcmsend, free_port
from tests.support import eventually
from tests.system import prompt

PROJECT = Path(__file__).parents[2]
READY_SECONDS, STOP_SECONDS = 60, 15
Row = dict[str, Any]

CONFIGURATION = """
[relay]
data_dir = "var"

[ingress]
listen = ["127.0.0.1:{port}"]
quiet = "2s"
quiet_after_release = "300ms"
min_free = "1MB"

[[source]]
name = "ct-1"
ae_title = "CT1"
hosts = ["127.0.0.0/8"]
{destinations}
{more}
"""
DESTINATION = """
[[destination]]
name = "{name}"
ae_title = "{title}"
host = "127.0.0.1"
port = {port}
{more}
  [destination.retry]
  first = "200ms"
  max = "1s"
"""


def destination(name: str, port: int, more: str = "") -> str:
    """A [[destination]] that is tried again soon; its AE title is its name in capitals."""
    return DESTINATION.format(name=name, title=name.upper(), port=port, more=more)


def route(name: str, *to: str, more: str = "") -> str:
    """A [[route]] to all of these for whatever `ct-1` sends."""
    names = ", ".join(f'"{one}"' for one in to)
    match = "" if "match =" in more else 'match = { source = "ct-1" }'
    return f'[[route]]\nname = "{name}"\n{match}\nto = [{names}]\n{more}\n'


PROFILE = '[profile.reading]\nbase = "basic"\nkey_file = "pseudonym.key"\n'


@dataclass
class Relay:
    """One relay in a folder of its own.

    Args:
        folder: holds dcmrelay.toml, var/ and up.log.
        broker_url: the RabbitMQ it uses; empty for the private node that `up` runs.
        port: where its ingress listens.
        clock: a file with the seconds by which its clock is shifted; None: it is right.
    """

    folder: Path
    broker_url: str = ""
    port: int = field(default_factory=free_port)
    clock: Path | None = None
    _up: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def config(self) -> Path:
        """Its configuration file."""
        return self.folder / "dcmrelay.toml"

    @property
    def data(self) -> Path:
        """Its data folder."""
        return self.folder / "var"

    @property
    def log(self) -> str:
        """What `up` and all workers printed, on stdout and stderr, since the first start."""
        return (self.folder / "up.log").read_text(encoding="utf-8", errors="replace")

    def configure(self, destinations: str, more: str) -> None:
        """Writes the configuration: one source `ct-1` and what is given."""
        text = CONFIGURATION.format(port=self.port, destinations=destinations, more=more)
        self.config.write_text(text, encoding="utf-8")

    def launch(self) -> subprocess.Popen[bytes]:
        """Starts `up` and does not wait."""
        with (self.folder / "up.log").open("ab") as log:
            self._up = subprocess.Popen(
                self._command("up"), env=self._environment(), cwd=PROJECT, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log,
            )  # fmt: skip
        return self._up

    def start(self) -> None:
        """Starts `up` and waits for READY."""
        before = self.log.count("READY: DICOM") if (self.folder / "up.log").exists() else 0
        up = self.launch()
        eventually(lambda: up.poll() is not None or self.log.count("READY: DICOM") > before, READY_SECONDS)
        assert up.poll() is None, self.log

    def set_clock(self, to: datetime) -> None:
        """Moves its clock so that it is this time now; at once, for all that runs."""
        self.clock = self.clock or self.folder / "clock"
        new = self.clock.with_suffix(".new")
        new.write_text(str((to - datetime.now(UTC)).total_seconds()), encoding="ascii")
        new.replace(self.clock)

    def stop(self) -> float:
        """Stops `up` as a service manager does; returns the seconds it took. Exit 0, in time, nothing left running."""
        assert self._up is not None
        begun = time.monotonic()
        self._up.send_signal(signal.SIGTERM)
        code = self._up.wait(STOP_SECONDS)
        took = time.monotonic() - begun
        self._up = None
        assert code == 0, self.log
        assert not self.pids(), "a process is left"
        return took

    def end(self) -> None:
        """Whatever still runs is gone afterwards; for the end of a test that failed as well."""
        if self._up is not None:
            self._up.send_signal(signal.SIGTERM)
            try:
                self._up.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._up.kill()
                self._up.wait()
            self._up = None
        for pid in self.pids():
            os.kill(pid, signal.SIGKILL)

    def ended(self, seconds: float) -> int:
        """Exit code of an `up` that ends by itself."""
        assert self._up is not None
        return self._up.wait(seconds)

    def kill_up(self) -> None:
        """Kills `up` itself; its workers and its broker have to find out."""
        assert self._up is not None
        self._up.kill()
        self._up.wait()
        self._up = None

    def pids(self, *words: str) -> list[int]:
        """Processes of this relay whose command line holds these words: `router`, or `sender` and a destination."""
        return sorted(pid for pid, line in _command_lines() if self._is_mine(line) and set(words) <= set(line))

    def _is_mine(self, line: list[str]) -> bool:
        return "dcmrelay" in line and str(self.config) in line

    def kill(self, *words: str) -> int:
        """Kills the one worker that these words name; returns its process id."""
        (pid,) = self.pids(*words)
        os.kill(pid, signal.SIGKILL)
        return pid

    def node_pid(self) -> int:
        """Process id of the private RabbitMQ node; 0 while there is none."""
        try:
            return int((self.data / "broker/pid").read_text(encoding="ascii"))
        except (OSError, ValueError):
            return 0

    def start_worker(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Starts one more worker beside those of `up`."""
        with (self.folder / "up.log").open("ab") as log:
            return subprocess.Popen(
                self._command(*arguments), env=self._environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """Starts one command of the command line, to be read to its end; files' modes bind it."""
        return subprocess.Popen(
            self._command(*arguments), env=self._environment(), cwd=PROJECT,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=_obey,  # noqa: PLW1509
        )  # fmt: skip

    def run(self, *arguments: str | Path, obeying_modes: bool = False) -> subprocess.CompletedProcess[str]:
        """Runs one command of the command line to its end.

        Args:
            arguments: the command and what follows it.
            obeying_modes: files' modes bind `up` even when the tests run as root.
        """
        line = self._command(*arguments)
        if self.clock is None and arguments[0] != "up":
            return prompt.run(line[3:], self._environment(), PROJECT, 30)
        return subprocess.run(
            line, env=self._environment(), cwd=PROJECT,
            capture_output=True, text=True, timeout=30, check=False, preexec_fn=_obey if obeying_modes else None,
        )  # fmt: skip

    def send(self, files: list[Path], calling: str = "CT1", called: str = "DCMRELAY") -> None:
        """Sends it files with dcmsend; each must be answered with success."""
        sent = dcmsend(self.port, *files, calling=calling, called=called)
        assert f"with status SUCCESS  : {len(files)}\n" in sent.stderr, sent.stderr

    def studies(self) -> list[Row]:
        """Parts with their deliveries, as `studies --json` lists them."""
        rows: list[Row] = json.loads(self.run("studies", "--json").stdout)
        return rows

    def deliveries(self, destination_name: str) -> list[Row]:
        """Deliveries to one destination, of all parts."""
        return [row for part in self.studies() for row in part["deliveries"] if row["destination"] == destination_name]

    def unfinished(self, destination_name: str = "") -> list[State | None]:
        """Newest records of what is neither final nor a dead letter, from the spool; None of a part being received.

        Args:
            destination_name: parts, and deliveries to this one; to all when empty.
        """
        spool = Spool(self.data / "spool")
        parts = [spool.parts.newest(part) for part in active_parts(spool)]
        units = [unit for id_ in active_deliveries(spool) if (unit := spool.deliveries.outline(id_))]
        deliveries = [unit.state for unit in units if destination_name in ("", unit.order["destination"])]
        return [state for state in (*parts, *deliveries) if state is None or state.status in ("waiting", "working")]

    def comes_to_rest(self, destination_name: str = "", seconds: float = 20) -> None:
        """Waits until nothing is unfinished; a test's other questions can then be asked once."""
        eventually(lambda: not self.unfinished(destination_name), seconds)

    def status(self) -> Row:
        """What `status --json` says."""
        facts: Row = json.loads(self.run("status", "--json").stdout)
        return facts

    def metrics(self) -> dict[str, str]:
        """The text of /metrics of every worker, by its name."""
        targets = json.loads((self.data / "run/prometheus-targets.json").read_text(encoding="utf-8"))
        return {target["labels"]["worker"]: _fetched(target["targets"][0]) for target in targets}

    def _command(self, *arguments: str | Path) -> list[str]:
        command, *rest = map(str, arguments)
        words = [command, rest.pop(0)] if command in ("dead", "ledger") and rest else [command]
        shifted = [] if self.clock is None else ["tests.campaign.clock", str(self.clock)]
        return [sys.executable, "-m", *shifted, "dcmrelay", *words, "--config", str(self.config), *rest]

    def _environment(self) -> dict[str, str]:
        ours = {key: value for key, value in os.environ.items() if not key.startswith("DCMRELAY_BROKER")}
        return ours | ({"DCMRELAY_BROKER_URL": self.broker_url} if self.broker_url else {})


@contextmanager
def relay_in(folder: Path, broker_url: str = "") -> Iterator[Relay]:
    """A relay to configure and start; nothing of it runs afterwards."""
    folder.mkdir(parents=True, exist_ok=True)
    relay = Relay(folder, broker_url)
    try:
        yield relay
    finally:
        relay.end()


def _obey() -> None:
    """Gives up the capability by which root passes over modes (prctl: PR_CAPBSET_DROP, CAP_DAC_OVERRIDE)."""
    ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)


def _command_lines() -> Iterator[tuple[int, list[str]]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                yield int(entry.name), (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue


def _fetched(address: str) -> str:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        return bytes(answer.read()).decode()
