"""A storm of bad callers in a process of its own: `python -m tests.system.storming PORT TLS_PORT`, until it is killed.

500 connections with half an A-ASSOCIATE-RQ from one address, opened again when they are closed, 200 a second at most;
50 associations that send a byte of an instance now and then, from three other addresses; and one connection to the TLS
port that never says anything. Prints a line once all have been made.
"""

import contextlib
import itertools
import selectors
import socket
import sys
import time

from tests.shared.dimse.pdus import associate_rq, associated, pdata, pdv, store_rq

HALF_OPEN, SLOW = 500, 50
HALF_OPEN_HOST, SLOW_HOSTS, SILENT_HOST = "127.0.2.1", ("127.0.2.2", "127.0.2.3", "127.0.2.4"), "127.0.2.5"
_OPENED_A_SECOND, _DRIPS_A_SECOND = 200, 20


def half_open(port: int) -> socket.socket:
    """A connection with half a request."""
    peer = socket.create_connection(("127.0.0.1", port), source_address=(HALF_OPEN_HOST, 0))
    peer.sendall(associate_rq()[:100])
    peer.setblocking(False)
    return peer


def slow(port: int, host: str, stack: contextlib.ExitStack) -> socket.socket:
    """An association in the middle of an instance, with a PDU that it will never finish."""
    peer = stack.enter_context(associated(port, host=host))
    peer.sendall(store_rq() + pdata(pdv(bytes(100_000), 0))[:5000])
    return peer


def rage(port: int, tls_port: int) -> None:
    """Make the storm and keep it up."""
    with contextlib.ExitStack() as stack, selectors.DefaultSelector() as selector:
        silent = socket.create_connection(("127.0.0.1", tls_port), source_address=(SILENT_HOST, 0))
        dripping = [slow(port, SLOW_HOSTS[n % len(SLOW_HOSTS)], stack) for n in range(SLOW)]
        for _ in range(HALF_OPEN):
            selector.register(half_open(port), selectors.EVENT_READ)
        print("storm", silent.fileno(), flush=True)
        for peer in itertools.cycle(dripping):
            for key, _ in selector.select(0)[: _OPENED_A_SECOND // _DRIPS_A_SECOND]:
                selector.unregister(key.fileobj)
                closed = key.fileobj
                assert isinstance(closed, socket.socket)
                closed.close()
                selector.register(half_open(port), selectors.EVENT_READ)
            with contextlib.suppress(OSError):
                peer.sendall(b"\0")
            time.sleep(1 / _DRIPS_A_SECOND)


if __name__ == "__main__":
    rage(int(sys.argv[1]), int(sys.argv[2]))
