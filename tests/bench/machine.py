"""The machine that figures were taken on, as far as they depend on it."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

from tests.bench import dcmtk, orthanc


def machine(folder: Path) -> dict[str, str]:
    """Facts about the machine and about the versions of what was measured.

    Args:
        folder: where the benchmark writes; its file system is named.
    """
    return {
        "processor": f"{_first('/proc/cpuinfo', 'model name')}, {os.cpu_count()} cores",
        "memory": f"{int(_first('/proc/meminfo', 'MemTotal').split()[0]) / (1 << 20):.0f} GiB",
        "file system": _file_system(folder),
        "kernel": platform.release(),
        "Python": platform.python_version(),
        "pydicom": version("pydicom"),
        "DCMTK": dcmtk.version(),
        "Orthanc": orthanc.version(),
    }


def _first(file: str, key: str) -> str:
    lines = Path(file).read_text(encoding="utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "unknown")


def _file_system(folder: Path) -> str:
    """Type of the file system that holds a folder."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()]
    holding = [(place, kind) for place, kind in mounts if folder.absolute().is_relative_to(place)]
    return max(holding, key=lambda mount: len(mount[0]))[1]
