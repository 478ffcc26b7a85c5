"""Where RabbitMQ and DCMTK are: unpacked under `.tools/root` by `make setup`, or installed on the system."""

import os
import shutil
import sys
from pathlib import Path

from shared.errors import StartError

_UNPACKED_PLACES = ("usr/lib/rabbitmq/bin", "usr/lib/erlang/bin", "usr/bin", "usr/sbin", "bin", "sbin")
# Debian keeps the script that any user may run out of PATH; the one in /usr/sbin insists on root or the user rabbitmq.
_SYSTEM_PLACES = ("/usr/lib/rabbitmq/bin", *os.defpath.split(os.pathsep), "/usr/sbin", "/sbin")


def tools_root() -> Path | None:
    """Returns the folder that holds unpacked packages, or None when everything comes from the system.

    `$DCMRELAY_TOOLS` names it; without that it is `.tools/root` beside the virtual environment or the source tree.
    """
    named = os.environ.get("DCMRELAY_TOOLS")
    places = [Path(named)] if named else [Path(p) / ".tools/root" for p in (Path(sys.prefix).parent, _source_tree())]
    return next((place for place in places if place.is_dir()), None)


def tool(name: str) -> Path:
    """Returns the program `name`: the unpacked one, else the system's.

    Raises:
        StartError: it is nowhere; the text says how to get it.
    """
    root = tools_root()
    unpacked = [str(root / place) for place in _UNPACKED_PLACES] if root else []
    path = os.pathsep.join([*unpacked, *_SYSTEM_PLACES[:1], os.environ.get("PATH", ""), *_SYSTEM_PLACES[1:]])
    found = shutil.which(name, path=path)
    if found is None:
        raise StartError(f"{name} is not installed; run `make setup`, or install the package that brings it")
    return Path(found)


def tool_environment() -> dict[str, str]:
    """Returns this program's environment with what unpacked programs need to find their libraries and dictionaries."""
    root = tools_root()
    if root is None:
        return dict(os.environ)
    libraries = sorted(
        str(folder) for pattern in ("usr/lib/*-linux-*", "lib/*-linux-*") for folder in root.glob(pattern)
    )
    environment = dict(os.environ)
    _prepend(environment, "PATH", [str(root / place) for place in _UNPACKED_PLACES])
    _prepend(environment, "LD_LIBRARY_PATH", libraries)
    dictionary = next(iter(root.glob("usr/share/*dcmtk*/dicom.dic")), None)
    if dictionary is not None:
        environment.setdefault("DCMDICTPATH", str(dictionary))
    return environment


def _prepend(environment: dict[str, str], name: str, folders: list[str]) -> None:
    old = environment.get(name)
    environment[name] = os.pathsep.join([*folders, old] if old else folders)


def _source_tree() -> Path:
    return Path(__file__).resolve().parents[1]
