"""Who works: a process, named so that others can tell whether it still lives."""

import hashlib
import os
import socket
from functools import cache
from pathlib import Path


@cache
def this_process() -> str:
    """Name of the running process: host, boot, process namespace, pid, start time, joined by `/`.

    Boot id and namespace tell whether another process's pid means anything here (another container on the same host has
    its own pids); the start time tells a pid that was given again.
    """
    pid = os.getpid()
    return f"{_place()}/{pid}/{_start_time(pid)}"


def is_alive(owner: str) -> bool | None:
    """Whether the named process runs: True or False when it can be seen from here, None when it cannot."""
    place, _, rest = owner.partition("/")
    pid, _, started = rest.partition("/")
    if place != _place() or not pid.isdigit():
        return None
    return _start_time(int(pid)) == started


def draft_name(token: str) -> str:
    """A name for a temporary file that tells whose it is."""
    place, pid, started = this_process().split("/")
    return f"{_digest(place)}.{pid}.{started}.{token}"


def is_left_behind(draft: str) -> bool:
    """Whether a temporary file's process certainly ended; False when that cannot be seen from here."""
    fields = draft.split(".")
    if len(fields) != 4 or fields[0] != _digest(_place()) or not fields[1].isdigit():
        return False
    return _start_time(int(fields[1])) != fields[2]


def _digest(place: str) -> str:
    return hashlib.sha256(place.encode()).hexdigest()[:8]


@cache
def _place() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    namespace = Path("/proc/self/ns/pid").readlink().name.strip("pid:[]")
    return f"{socket.gethostname()}.{boot[:8]}.{namespace}"


def _start_time(pid: int) -> str:
    """Start time of a process in clock ticks since boot (field 22 of its stat); empty when it ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]
