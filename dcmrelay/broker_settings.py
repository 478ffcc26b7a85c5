"""What a private RabbitMQ node is told: its ports, credentials and configuration, kept beside the node's data folder.

Erasing the data folder therefore changes neither the URL nor the password.
"""

import json
import os
import secrets
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from dcmrelay.ports import free_ports, is_free

_PORT_NAMES = ("amqp_port", "prometheus_port", "management_port", "distribution_port")


@dataclass(frozen=True, kw_only=True)
class BrokerSettings:
    """A private node's identity; all ports are on 127.0.0.1."""

    amqp_port: int
    prometheus_port: int
    management_port: int
    distribution_port: int
    user: str
    password: str
    cookie: str

    @property
    def url(self) -> str:
        """The AMQP URL of the default virtual host."""
        return f"amqp://{self.user}:{self.password}@127.0.0.1:{self.amqp_port}/"

    def taken_ports(self) -> tuple[str, ...]:
        """Returns the names of the ports that something listens on now."""
        return tuple(name for name in _PORT_NAMES if not is_free(getattr(self, name)))


def load_settings(file: Path) -> BrokerSettings:
    """Returns the settings that `file` remembers, with other ports for those now taken, and remembers them in it."""
    settings = _remembered(file) or _fresh()
    values = asdict(settings) | dict(zip(settings.taken_ports(), free_ports(len(_PORT_NAMES)), strict=False))
    write_private(file, json.dumps(values, indent=1))
    return BrokerSettings(**values)


def configuration(settings: BrokerSettings, *, management: bool) -> str:
    """Returns the text of rabbitmq.conf. No I/O.

    Bells are small and few, so memory, log and write-ahead limits are those of a small node. The free-disk limit stays
    low: a full spool must not also stop the bells of the deliveries that would empty it.
    """
    lines = [
        f"listeners.tcp.1 = 127.0.0.1:{settings.amqp_port}",
        f"default_user = {settings.user}",
        f"default_pass = {settings.password}",
        "default_user_tags.administrator = true",
        "loopback_users.guest = true",
        "prometheus.tcp.ip = 127.0.0.1",
        f"prometheus.tcp.port = {settings.prometheus_port}",
        "vm_memory_high_watermark.absolute = 768MiB",
        "disk_free_limit.absolute = 50MB",
        "raft.wal_max_size_bytes = 67108864",
        "log.console = false",
        "log.file.level = info",
        "log.file.rotation.size = 10485760",
        "log.file.rotation.count = 5",
    ]
    if management:
        lines += ["management.tcp.ip = 127.0.0.1", f"management.tcp.port = {settings.management_port}"]
    return "\n".join(lines) + "\n"


def write_private(file: Path, text: str) -> None:
    """Puts `text` in `file`, readable by its owner only; a reader sees the old text or the new, never a part."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    temporary.touch(mode=0o600, exist_ok=False)
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(file)


def _remembered(file: Path) -> BrokerSettings | None:
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    names = {field.name for field in fields(BrokerSettings)}
    return BrokerSettings(**values) if isinstance(values, dict) and set(values) == names else None


def _fresh() -> BrokerSettings:
    ports = dict(zip(_PORT_NAMES, free_ports(len(_PORT_NAMES)), strict=True))
    secret, cookie = secrets.token_urlsafe(24), secrets.token_hex(20).upper()
    return BrokerSettings(**ports, user="dcmrelay", password=secret, cookie=cookie)
