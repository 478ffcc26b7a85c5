"""Free TCP ports, below Linux's ephemeral ones: no outgoing connection sits on one while its server starts again."""

import random
import socket

_PORTS = range(20_000, 32_000)


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody has at this moment; arguments and errors as for `free_ports`."""
    return free_ports(1, host)[0]


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """Ports that nobody has at this moment.

    Args:
        count: how many.
        host: address they are free at; empty: at all of this machine.

    Raises:
        OSError: there are not so many.
    """
    chosen: list[int] = []
    for port in random.sample(_PORTS, len(_PORTS)):
        if is_free(port, host):
            chosen.append(port)
        if len(chosen) == count:
            return chosen
    raise OSError(f"no free port between {_PORTS.start} and {_PORTS.stop} on {host or 'this machine'}")


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether nobody has a port; one with connections in TIME_WAIT only is free to listen on."""
    try:
        with socket.create_server((host, port)):
            return True
    except OSError:
        return False
