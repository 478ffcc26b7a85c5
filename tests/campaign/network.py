"""Two hosts on one machine: the workers in a network namespace of their own, and two cables that can be pulled.

Broker, destinations and modalities are on this side. `begin` moves this program to a namespace of its own, so that
nothing of it is seen outside, nor any port taken.
"""

import ctypes
import os
import random
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_NEW_NETWORK, _NOBODY = 0x40000000, "02:00:00:00:00:99"
WAYS = ("down", "unanswered", "unasked")


@dataclass(frozen=True)
class Cable:
    """A pair of virtual interfaces of one name.

    Args:
        name: of both ends.
        ours: IPv4 address of this end.
        theirs: of the workers' end.
    """

    name: str
    ours: str
    theirs: str


PEERS, BROKER = Cable("peers", "10.77.1.1", "10.77.1.2"), Cable("broker", "10.77.2.1", "10.77.2.2")


@dataclass(frozen=True)
class Network:
    """The workers' host.

    Args:
        holder: process id of what keeps the namespace.
    """

    holder: int

    @property
    def enter(self) -> tuple[str, ...]:
        """What to put before a command, so that it runs there under the same process id."""
        return ("nsenter", f"--net=/proc/{self.holder}/ns/net")

    @contextmanager
    def cut(self, cable: Cable, way: str) -> Iterator[None]:
        """One cable is of no use until the end.

        Args:
            cable: which.
            way: `down`, as if pulled out; or it looks well, and what we answer (`unanswered`) or what the workers say
                (`unasked`) does not arrive.
        """
        if way == "down":
            _ip("link", "set", cable.name, "down")
        elif way == "unanswered":
            _ip("neigh", "replace", cable.theirs, "lladdr", _NOBODY, "dev", cable.name, "nud", "permanent")
        else:
            self.ip("neigh", "replace", cable.ours, "lladdr", _NOBODY, "dev", cable.name, "nud", "permanent")
        try:
            yield
        finally:
            if way == "down":
                _ip("link", "set", cable.name, "up")
            elif way == "unanswered":
                _ip("neigh", "del", cable.theirs, "dev", cable.name)
            else:
                self.ip("neigh", "del", cable.ours, "dev", cable.name)

    def slow(self, mbit: int) -> None:
        """What the workers send to peers goes at so many megabits a second from now on."""
        shape = f"tc qdisc replace dev {PEERS.name} root tbf rate {mbit}mbit burst 64kb latency 100ms"
        _run(*self.enter, *shape.split())

    def ip(self, *words: str) -> None:
        """Runs `ip` there."""
        _run(*self.enter, "ip", *words)


def random_cut(rng: random.Random) -> tuple[Cable, str, float]:
    """A cable, a way, and seconds: most cuts are shorter than what any time limit notices, some longer."""
    seconds = rng.uniform(0.2, 3) if rng.random() < 0.85 else rng.uniform(9, 12)
    return rng.choice((PEERS, BROKER)), rng.choice(WAYS), seconds


@contextmanager
def network() -> Iterator[Network]:
    """The workers' host and its cables; needs root, and a program with one thread."""
    assert ctypes.CDLL(None, use_errno=True).unshare(_NEW_NETWORK) == 0, os.strerror(ctypes.get_errno())
    _ip("link", "set", "lo", "up")
    with subprocess.Popen(["unshare", "-n", "cat"], stdin=subprocess.PIPE) as holder:
        there = Network(holder.pid)
        while _namespace(holder.pid) == _namespace(os.getpid()):
            time.sleep(0.01)
        there.ip("link", "set", "lo", "up")
        for cable in (PEERS, BROKER):
            _ip("link", "add", cable.name, "type", "veth", "peer", "name", cable.name, "netns", str(holder.pid))
            _ip("addr", "add", f"{cable.ours}/24", "dev", cable.name)
            there.ip("addr", "add", f"{cable.theirs}/24", "dev", cable.name)
            _ip("link", "set", cable.name, "up")
            there.ip("link", "set", cable.name, "up")
        yield there


def _namespace(pid: int) -> str:
    return str(Path(f"/proc/{pid}/ns/net").readlink())


def _ip(*words: str) -> None:
    _run("ip", *words)


def _run(*command: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
