"""Real DICOM applications to test against: DCMTK's tools and Orthanc, each on a port of its own."""

import json
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from dcmrelay import ports
from dcmrelay.tools import tool as installed_tool
from dcmrelay.tools import tool_environment
from shared.errors import StartError

_SETUP = Path(__file__).parents[1] / "ops/setup/tools"
_PACKAGES = {
    "rabbitmq-server": "rabbitmq-server",
    "Orthanc": "orthanc",
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "dciodvfy": "dicom3tools",
    "strace": "strace",
    "openssl": "openssl",
}


def tool(name: str) -> Path:
    """Returns the program `name`, fetching its package first when it is not there; DCMTK's unless listed above."""
    try:
        return installed_tool(name)
    except StartError:
        subprocess.run([_SETUP, _PACKAGES.get(name, "dcmtk")], check=True)
        return installed_tool(name)


def peer_environment() -> dict[str, str]:
    """Returns the environment in which such programs find their libraries and dictionaries."""
    return tool_environment()


def run_tool(name: str, *arguments: str | Path, seconds: float = 60) -> subprocess.CompletedProcess[str]:
    """Runs a program to its end and returns its exit code and text; does not judge the exit code."""
    command = [tool(name), *arguments]
    return subprocess.run(command, env=peer_environment(), capture_output=True, text=True, timeout=seconds, check=False)


def dcmsend(
    port: int, *paths: Path, called: str = "DCMRELAY", calling: str = "MODALITY", options: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Sends files, or folders with all that is in them, to 127.0.0.1 as they are (nothing is decompressed)."""
    titles = ("--aetitle", calling, "--call", called)
    return run_tool(
        "dcmsend", "--verbose", "--decompress-never", "--scan-directories", "--recurse",
        *titles, *options, "127.0.0.1", str(port), *paths,
    )  # fmt: skip


def storescu(
    port: int, *paths: Path, called: str = "DCMRELAY", calling: str = "MODALITY", options: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Sends files or folders to 127.0.0.1 in one association, uncompressed unless options say otherwise."""
    titles = ("--aetitle", calling, "--call", called)
    return run_tool(
        "storescu", "--verbose", "--scan-directories", "--recurse",
        *titles, *options, "127.0.0.1", str(port), *paths,
    )  # fmt: skip


def echoscu(port: int, called: str = "DCMRELAY", calling: str = "MODALITY") -> subprocess.CompletedProcess[str]:
    """Sends one C-ECHO to 127.0.0.1."""
    return run_tool("echoscu", "--verbose", "--aetitle", calling, "--call", called, "127.0.0.1", str(port))


@dataclass
class StoreScp:
    """DCMTK's storescp; it takes every called AE title and writes each instance as it came."""

    ae_title: str
    directory: Path
    options: tuple[str, ...]
    host: str = "127.0.0.1"
    port: int = 0
    _running: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self) -> None:
        """Starts it: on a free port the first time, on the same port later."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self._running, self.port = _listening(self._command, self.directory.with_suffix(".log"), self.port)

    def stop(self) -> None:
        """Ends it at once, in the middle of whatever it does."""
        if self._running is not None:
            self._running.kill()
            self._running.wait()
            self._running = None

    @property
    def pid(self) -> int:
        """Its process id while it runs."""
        assert self._running is not None, "this storescp is stopped"
        return self._running.pid

    def files(self) -> list[Path]:
        """Returns the instances it has received, sorted by name (modality and SOP Instance UID)."""
        return sorted(path for path in self.directory.iterdir() if path.is_file())

    def _command(self, port: int) -> list[str | Path]:
        folder = ("--output-directory", self.directory)
        return [tool("storescp"), "--aetitle", self.ae_title, *folder, *self.options, str(port)]


@contextmanager
def store_scp(
    tmp_path: Path, *options: str, ae_title: str = "ARCHIVE", accept: tuple[str, ...] = ("+xa", "+B")
) -> Iterator[StoreScp]:
    """Runs a storescp whose instances land in tmp_path/<AE title>, its log beside them.

    Args:
        tmp_path: a folder of the test's.
        options: more of storescp's options, such as `--fork` or `--abort-after`.
        ae_title: its AE title, 1–16 characters.
        accept: options for transfer syntaxes and writing; by default everything is accepted and kept bit by bit.
    """
    scp = StoreScp(ae_title, tmp_path / ae_title, ("--disable-host-lookup", *accept, *options))
    try:
        scp.start()
        yield scp
    finally:
        scp.stop()


@dataclass(frozen=True)
class Orthanc:
    """A running Orthanc server without plug-ins that stores whatever it is sent."""

    ae_title: str
    port: int
    http_port: int
    pid: int
    host: str = "127.0.0.1"

    def get(self, path: str) -> bytes:
        """Returns the body of one HTTP GET, for example `/instances`."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}{path}", timeout=20) as answer:
            return bytes(answer.read())

    def instances(self) -> list[str]:
        """Returns Orthanc's identifiers of what it holds; `/instances/<id>/file` is the DICOM file."""
        return [str(name) for name in json.loads(self.get("/instances"))]

    def ask(self, method: str, path: str, body: bytes) -> bytes:
        """Returns the body of the answer to another HTTP request."""
        url = f"http://127.0.0.1:{self.http_port}{path}"
        with urllib.request.urlopen(urllib.request.Request(url, body, method=method), timeout=20) as answer:
            return bytes(answer.read())

    def stores_to(self, port: int, instances: list[str], *, tls: bool = False) -> None:
        """Has it store instances at DCMRELAY on a port of 127.0.0.1; each must be answered with success."""
        modality = {"AET": "DCMRELAY", "Host": "127.0.0.1", "Port": port, "UseDicomTls": tls}
        self.ask("PUT", "/modalities/relay", json.dumps(modality).encode())
        order = {"Resources": instances, "Synchronous": True}
        answer = json.loads(self.ask("POST", "/modalities/relay/store", json.dumps(order).encode()))
        assert answer["FailedInstancesCount"] == 0


@contextmanager
def orthanc(tmp_path: Path, ae_title: str = "ORTHANC", *, lua: str = "", **settings: object) -> Iterator[Orthanc]:
    """Runs an Orthanc whose storage is in tmp_path/<AE title>, with more settings and a Lua script."""
    directory = tmp_path / ae_title
    directory.mkdir()
    chosen = settings.get("DicomPort")
    dicom_port = chosen if isinstance(chosen, int) else free_port()

    def command(http_port: int) -> list[str | Path]:
        file = directory / "orthanc.json"
        configuration = _orthanc_configuration(directory, ae_title, dicom_port, http_port) | settings
        file.write_text(json.dumps(configuration), encoding="utf-8")
        (directory / "filter.lua").write_text(lua, encoding="utf-8")
        return [tool("Orthanc"), file]

    server, http_port = _listening(command, directory / "orthanc.log", 0, also=dicom_port)
    try:
        yield Orthanc(ae_title, dicom_port, http_port, server.pid)
    finally:
        server.kill()
        server.wait()


def free_port() -> int:
    """A TCP port that nobody has at this moment, at any address: peers listen at all of them."""
    return ports.free_port("")


def _orthanc_configuration(directory: Path, ae_title: str, dicom_port: int, http_port: int) -> dict[str, object]:
    return {
        "StorageDirectory": str(directory / "storage"),
        "IndexDirectory": str(directory / "storage"),
        "Plugins": [],
        "HttpPort": http_port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomAet": ae_title,
        "DicomPort": dicom_port,
        "DicomAlwaysAllowEcho": True,
        "DicomAlwaysAllowStore": True,
        "DicomAlwaysAllowFind": True,
        "LuaScripts": [str(directory / "filter.lua")],
        "UnknownSopClassAccepted": True,
    }


def _listening(
    command: Callable[[int], list[str | Path]], log: Path, port: int, also: int | None = None
) -> tuple[subprocess.Popen[bytes], int]:
    """Starts a server and returns it with its port once it listens; without a given port, tries a few free ones."""
    for candidate in [port] if port else [free_port() for _ in range(5)]:
        with log.open("ab") as out:
            program = subprocess.Popen(
                command(candidate), env=peer_environment(), stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )
        if _wait_until_listening(program, [p for p in (candidate, also) if p]):
            return program, candidate
        program.kill()
        program.wait()
    raise AssertionError(f"the server does not start; see {log}")


def _wait_until_listening(program: subprocess.Popen[bytes], ports: list[int], seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while program.poll() is None and time.monotonic() < deadline:
        if all(_listens(port) for port in ports):
            return program.poll() is None
        time.sleep(0.02)
    return False


def _listens(port: int) -> bool:
    """Looks into the kernel's table instead of connecting, so that the server sees no stray connection."""
    wanted = f":{port:04X}"
    lines = [line.split() for table in ("tcp", "tcp6") for line in _table(table)]
    return any(columns[1].endswith(wanted) and columns[3] == "0A" for columns in lines)


def _table(name: str) -> list[str]:
    file = Path("/proc/net") / name
    return file.read_text(encoding="ascii").splitlines()[1:] if file.exists() else []
