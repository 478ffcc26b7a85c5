"""Orthanc as it comes and with TCP_NODELAY=1: a receiver that syncs its files, and a relay by a few lines of Lua."""

import json
import re
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from tests.bench.dcmtk import nagle
from tests.peers import free_port, peer_environment, tool
from tests.support import eventually

_STORE_LUA = """
local function store(id)
  RestApiPost('/modalities/destination/store', DumpJson({Asynchronous = true, Resources = {id}}))
end
"""
STORE = f"{_STORE_LUA} function OnStableStudy(id, tags, metadata) store(id) end"
# The new study becomes stable too, a second later; to send it at once is Orthanc's fastest way.
ANONYMIZE = f"""{_STORE_LUA}
function OnStableStudy(id, tags, metadata)
  if metadata['AnonymizedFrom'] == nil then
    store(ParseJson(RestApiPost('/studies/' .. id .. '/anonymize', '{{}}'))['ID'])
  end
end
"""


@dataclass(frozen=True)
class Orthanc:
    """A running Orthanc."""

    port: int
    pid: int


@contextmanager
def orthanc(
    folder: Path,
    name: str,
    *,
    tuned: bool,
    lua: str = "",
    to_port: int = 0,
    settings: Mapping[str, object] = MappingProxyType({}),
) -> Iterator[Orthanc]:
    """Runs an Orthanc without plug-ins whose storage and index are in folder/<name>.

    Args:
        folder: of the benchmark.
        name: of this one.
        tuned: TCP_NODELAY=1 in its environment.
        lua: its script.
        to_port: where its modality `destination` listens.
        settings: more of them.
    """
    place = folder / name
    place.mkdir()
    (place / "script.lua").write_text(lua, encoding="ascii")
    server, dicom_port = _started(place, settings, tuned=tuned, to_port=to_port)
    try:
        yield Orthanc(dicom_port, server.pid)
    finally:
        server.kill()
        server.wait()


def _started(
    place: Path, more: Mapping[str, object], *, tuned: bool, to_port: int
) -> tuple[subprocess.Popen[bytes], int]:
    """The server and its DICOM port; another program may take a free port before it does, so a few are tried."""
    for _ in range(5):
        dicom_port, http_port = free_port(), free_port()
        settings = {**_settings(place, dicom_port, http_port, to_port), **more}
        (place / "orthanc.json").write_text(json.dumps(settings), encoding="utf-8")
        with nagle(off=tuned), (place / "log").open("ab") as log:
            command = [tool("Orthanc"), place / "orthanc.json"]
            server = subprocess.Popen(command, env=peer_environment(), stdout=log, stderr=log)
        eventually(lambda at=http_port, it=server: it.poll() is not None or _answers(at), 60)  # type: ignore[misc]
        if server.poll() is None:
            return server, dicom_port
    raise AssertionError(f"Orthanc does not start; see {place / 'log'}")


def version() -> str:
    """Orthanc's version."""
    done = subprocess.run([tool("Orthanc"), "--version"], env=peer_environment(), capture_output=True, check=True)
    found = re.search(rb"Orthanc (\d\S*)", done.stdout)
    return found[1].decode() if found else "unknown"


def _settings(place: Path, dicom_port: int, http_port: int, to_port: int) -> dict[str, object]:
    return {
        "StorageDirectory": str(place / "storage"),
        "IndexDirectory": str(place / "storage"),
        "Plugins": [],
        "LuaScripts": [str(place / "script.lua")],
        "HttpPort": http_port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomAet": "ORTHANC",
        "DicomPort": dicom_port,
        "DicomAlwaysAllowStore": True,
        "DicomModalities": {"destination": ["DESTINATION", "127.0.0.1", to_port]} if to_port else {},
        "StableAge": 1,
    }


def _answers(http_port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{http_port}/system", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
