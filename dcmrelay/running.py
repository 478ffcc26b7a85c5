"""What of a relay runs, as far as it can be seen from this machine."""

import json
import socket
from pathlib import Path
from urllib.parse import urlsplit

from shared.config import Config, find_broker

_CONNECT_SECONDS = 1.0
_AMQP_PORTS = {"amqp": 5672, "amqps": 5671}


def run_folder(config: Config) -> Path:
    """Where running workers leave notes about themselves."""
    return config.relay.data_dir / "run"


def listening(config: Config, pid: int = 0, *, tls: bool | None = None) -> list[tuple[str, int]]:
    """Host and port of each address where the ingress of this data folder listens; empty when it does not run.

    Args:
        config: the configuration.
        pid: only the ingress that is this process; 0 for any.
        tls: only those with TLS, or only those without; None for both, those without first.
    """
    keys = ["addresses", "tls_addresses"] if tls is None else ["tls_addresses"] if tls else ["addresses"]
    try:
        content = json.loads((run_folder(config) / "ingress.json").read_text(encoding="utf-8"))
        if pid not in (0, content["pid"]) or b"\0ingress\0" not in Path(f"/proc/{content['pid']}/cmdline").read_bytes():
            return []
        return [(str(host), int(port)) for key in keys for host, port in content.get(key, ())]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []


def shown_listening(config: Config, pid: int = 0) -> list[tuple[str, tuple[str, int]]]:
    """What `listening` finds, each with how a person is told of it."""
    plain = [(shown_address(*address), address) for address in listening(config, pid, tls=False)]
    return plain + [(f"{shown_address(*it)} (TLS)", it) for it in listening(config, pid, tls=True)]


def shown_address(host: str, port: int) -> str:
    """An address as the configuration writes it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def broker_answers(config: Config) -> bool:
    """Whether something accepts connections at the broker's address."""
    url = find_broker(config)
    if url is None:
        return False
    parts = urlsplit(url)
    return answers(parts.hostname or "", parts.port or _AMQP_PORTS[parts.scheme])


def answers(host: str, port: int) -> bool:
    """Whether something accepts a TCP connection within a second."""
    here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  (anywhere means here too)
    try:
        socket.create_connection((here, port), timeout=_CONNECT_SECONDS).close()
    except OSError:
        return False
    return True
