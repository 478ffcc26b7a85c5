"""Mail servers as hospitals have them: aiosmtpd with TLS and logins, and a tap on the line before them."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.handlers import AsyncMessage
from aiosmtpd.smtp import AuthResult, LoginPassword

from tests.certificates import Certificate
from tests.peers import free_port

USER, PASSWORD = "relay", "pass+word/of=Erlangen"


@dataclass
class Line:
    """What went to a server.

    Attributes:
        port: where to call.
        said: every byte the caller sent, as on the wire.
        mails: those that were taken.
        logins: mechanisms by which somebody logged in.
    """

    port: int = 0
    said: bytearray = field(default_factory=bytearray)
    mails: list[Any] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)


@contextmanager
def server(
    shown: Certificate | None = None,
    *,
    at_once: bool = False,
    login: str = "",
    in_the_clear: bool = False,
) -> Iterator[Line]:
    """A mail server on loopback, called through a tap.

    Args:
        shown: its certificate; None: it knows no TLS.
        at_once: TLS from the first byte instead of STARTTLS, which it then insists on.
        login: the only mechanism it offers; after STARTTLS it insists on it. Empty: it knows no login.
        in_the_clear: it takes a login before TLS, too.
    """
    line = Line()

    class Handler(AsyncMessage):
        async def handle_message(self, message: Any) -> None:
            line.mails.append(message)

    def authenticate(_server: object, _session: object, _envelope: object, mechanism: str, data: object) -> AuthResult:
        assert isinstance(data, LoginPassword)
        good = (data.login, data.password) == (USER.encode(), PASSWORD.encode())
        line.logins += [mechanism] if good else []
        return AuthResult(success=good, handled=False)

    context = None if shown is None else _context(shown)
    running = Controller(
        Handler(), hostname="127.0.0.1", port=free_port(), ssl_context=context if at_once else None,
        tls_context=None if at_once else context, require_starttls=not at_once and context is not None,
        authenticator=authenticate if login else None, auth_required=bool(login) and not (in_the_clear or at_once),
        auth_exclude_mechanism={"PLAIN", "LOGIN"} - {login}, auth_require_tls=not in_the_clear and not at_once,
    )  # fmt: skip
    running.start()
    try:
        with _tap(running.port, line):
            yield line
    finally:
        running.stop()


def _context(shown: Certificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(shown.certificate, shown.key)
    return context


@contextmanager
def _tap(port: int, line: Line) -> Iterator[None]:
    """Brings one call to a port after another, there and back, and keeps what the callers say."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        line.port = listening.getsockname()[1]
        thread = threading.Thread(target=_bring, args=(listening, port, line))
        thread.start()
        try:
            yield
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def _bring(listening: socket.socket, port: int, line: Line) -> None:
    with suppress(OSError):
        while True:
            caller, _ = listening.accept()
            with caller, socket.create_connection(("127.0.0.1", port)) as called:
                back = threading.Thread(target=_copy, args=(called, caller, bytearray()))
                back.start()
                _copy(caller, called, line.said)
                back.join()


def _copy(source: socket.socket, to: socket.socket, kept: bytearray) -> None:
    with suppress(OSError):
        while got := source.recv(65536):
            kept += got
            to.sendall(got)
    with suppress(OSError):
        to.shutdown(socket.SHUT_WR)
