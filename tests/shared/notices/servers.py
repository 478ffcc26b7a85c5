"""A mail server and a webhook for tests: real sockets, a few words of each protocol."""

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any


@dataclass
class Received:
    """What a server got."""

    port: int = 0
    bodies: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def facts(self) -> list[dict[str, Any]]:
        return [json.loads(body) for body in self.bodies]


@contextmanager
def mail_server(answer_to_data: str = "250 taken", farewell: str = "221 bye") -> Iterator[Received]:
    """An SMTP server without extensions (RFC 5321)."""
    got = Received()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self._say("220 mail.test")
            while line := self.rfile.readline().decode().strip():
                word = line.split(" ")[0].upper()
                if word == "DATA":
                    self._say("354 go on")
                    got.bodies.append("".join(iter(lambda: self.rfile.readline().decode(), ".\r\n")))
                    self._say(answer_to_data)
                elif word == "QUIT":
                    return self._say(farewell)
                else:
                    self._say("250 mail.test")
            return None

        def _say(self, text: str) -> None:
            self.wfile.write(f"{text}\r\n".encode())

    with socketserver.TCPServer(("127.0.0.1", 0), Handler) as server:
        got.port = server.server_address[1]
        yield from _serving(server, got)


@contextmanager
def webhook(status: int = 204) -> Iterator[Received]:
    """A server that answers every POST alike."""
    got = Received()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.bodies.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            got.headers.append(dict(self.headers))
            self.send_response(status)
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        got.port = server.server_port
        yield from _serving(server, got)


def _serving(server: socketserver.TCPServer, got: Received) -> Iterator[Received]:
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield got
    finally:
        server.shutdown()
        thread.join()
