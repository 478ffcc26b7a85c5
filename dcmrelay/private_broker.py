"""Runs a private RabbitMQ node as a child: loopback only, its own ports, credentials, data and log, no epmd.

directory/  node.json, rabbitmq.conf, plugins   written at each start (credentials: owner only)
            url                                 where separately started workers find the AMQP URL
            data/  log/  home/  pid  lock       `data` may be erased while the node is stopped
"""

import fcntl
import os
import socket
import subprocess
import time
from io import TextIOWrapper
from pathlib import Path

from dcmrelay.broker_settings import BrokerSettings, configuration, load_settings, write_private
from dcmrelay.tools import tool, tool_environment
from shared.errors import StartError

_PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"
_METHOD_FRAME = b"\x01"
# The node ends when its standard input does: when it is told to stop, and when its parent dies, however it dies.
# RabbitMQ 3.10 has put everything away after milliseconds and then waits 5 s for its event manager; hence the halt.
_END_WITH_STANDARD_INPUT = (
    "spawn(fun() -> open_port({fd, 0, 0}, [in, eof]),"
    " receive {_, eof} -> spawn(fun() -> timer:sleep(2000), halt(0) end), init:stop() end end)."
)


class PrivateBroker:
    """A RabbitMQ node that belongs to this program and ends with it.

    Args:
        directory: the node's folder, made when it is not there; one program at a time may use it.
        management: also run the management plug-in (HTTP interface), which tests need.
    """

    def __init__(self, directory: Path, *, management: bool = False) -> None:
        self.directory = directory.absolute()
        self._management = management
        self._node: subprocess.Popen[bytes] | None = None
        self._lock: TextIOWrapper | None = None
        self._settings: BrokerSettings | None = None

    def start(self, seconds: float = 90) -> None:
        """Starts the node and returns when it answers AMQP; does nothing when it runs already.

        Args:
            seconds: how long the node may take.

        Raises:
            StartError: no RabbitMQ, the directory is in use or cannot be written, or the node ended or is too slow.
        """
        if self.alive():
            return
        self.stop()
        program = tool("rabbitmq-server")
        self._take_directory()
        try:
            if not (self._launched(program, seconds) or self._launched_on_other_ports(program, seconds)):
                raise StartError(f"the private RabbitMQ node did not start; see {self.log}, mend it and start again")
        except BaseException:
            self.stop(0)
            raise

    def stop(self, seconds: float = 5) -> None:
        """Stops the node, by force when it has not ended after `seconds`; the directory is free again afterwards."""
        if self._node is not None:
            _end(self._node, seconds)
            self._node = None
            (self.directory / "pid").unlink(missing_ok=True)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def alive(self) -> bool:
        """Returns whether the node's process runs."""
        return self._node is not None and self._node.poll() is None

    @property
    def pid(self) -> int:
        """The node's process id, since its last start."""
        if self._node is None:
            raise StartError(f"the private RabbitMQ node in {self.directory} is not started")
        return self._node.pid

    @property
    def url(self) -> str:
        """The AMQP URL, the same after each restart unless another program took the port; also in directory/url."""
        return self.settings.url

    @property
    def prometheus_port(self) -> int:
        """Where the node serves its metrics (HTTP, /metrics) on 127.0.0.1."""
        return self.settings.prometheus_port

    @property
    def settings(self) -> BrokerSettings:
        """Ports and credentials, since the first start."""
        if self._settings is None:
            raise StartError(f"the private RabbitMQ node in {self.directory} is not started")
        return self._settings

    @property
    def log(self) -> Path:
        """The folder of the node's log; `start.log` there holds what it printed while starting."""
        return self.directory / "log"

    def _take_directory(self) -> None:
        try:
            for folder in (self.directory, self.log, self.directory / "home"):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = (self.directory / "lock").open("w", encoding="utf-8")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.stop()
            raise StartError(
                f"{self.directory} is in use by another dcmrelay; stop that, or use another data_dir"
            ) from None
        except OSError as error:
            raise StartError(f"{self.directory}: {error.strerror}; make it writable for this user") from None
        _end_leftover(self.directory)

    def _launched(self, program: Path, seconds: float) -> bool:
        self._settings = load_settings(self.directory / "node.json")
        self._write_files(self._settings)
        with (self.log / "start.log").open("wb") as log:
            self._node = subprocess.Popen(
                [program, "-eval", _END_WITH_STANDARD_INPUT],
                env=self._environment(self._settings), cwd=self.directory, stdin=subprocess.PIPE,
                stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        write_private(self.directory / "pid", str(self._node.pid))
        deadline = time.monotonic() + seconds
        while self._node.poll() is None and time.monotonic() < deadline:
            if _answers_amqp(self._settings.amqp_port):
                write_private(self.directory / "url", self._settings.url + "\n")
                return True
            time.sleep(0.1)
        _end(self._node, 0)
        return False

    def _launched_on_other_ports(self, program: Path, seconds: float) -> bool:
        """Tries once more when another program took one of the ports while the node was starting."""
        return bool(self.settings.taken_ports()) and self._launched(program, seconds)

    def _write_files(self, settings: BrokerSettings) -> None:
        plugins = "rabbitmq_prometheus,rabbitmq_management" if self._management else "rabbitmq_prometheus"
        write_private(self.directory / "rabbitmq.conf", configuration(settings, management=self._management))
        write_private(self.directory / "plugins", f"[{plugins}].\n")
        write_private(self.directory / "home/.erlang.cookie", settings.cookie)

    def _environment(self, settings: BrokerSettings) -> dict[str, str]:
        ours = {k: v for k, v in tool_environment().items() if not k.startswith(("RABBITMQ_", "ERL_", "NOTIFY_"))}
        port = settings.distribution_port
        return ours | {
            "HOME": str(self.directory / "home"),
            "LANG": "C.UTF-8",
            "ERL_CRASH_DUMP": str(self.log / "erl_crash.dump"),
            "RUNNING_UNDER_SYSTEMD": "true",  # makes the start script become the node instead of watching it
            "RABBITMQ_NODENAME": "dcmrelay@localhost",
            "RABBITMQ_DIST_PORT": str(port),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CONFIG_FILE": str(self.directory / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self.directory / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.directory / "plugins"),
            "RABBITMQ_MNESIA_BASE": _data_folder(self.directory),
            "RABBITMQ_LOG_BASE": str(self.log),
            "RABBITMQ_PID_FILE": str(self.directory / "data/rabbitmq.pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-sname dcmrelay@localhost -start_epmd false"
            f" -erl_epmd_port {port} -kernel inet_dist_use_interface {{127,0,0,1}}",
        }


def _data_folder(directory: Path) -> str:
    return str(directory / "data")


def _answers_amqp(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(_PROTOCOL_HEADER)
            return connection.recv(1) == _METHOD_FRAME
    except OSError:
        return False


def _end(node: subprocess.Popen[bytes], seconds: float) -> None:
    if node.stdin is not None:
        node.stdin.close()
    try:
        node.wait(seconds)
    except subprocess.TimeoutExpired:
        node.kill()
        node.wait()


def _end_leftover(directory: Path, seconds: float = 3) -> None:
    """Waits for, then kills, a node whose parent died; a pid that now belongs to something else is left alone."""
    try:
        pid = int((directory / "pid").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return
    mark = f"\0RABBITMQ_MNESIA_BASE={_data_folder(directory)}\0".encode()
    deadline = time.monotonic() + seconds
    while _environment_holds(pid, mark):
        if time.monotonic() > deadline:
            os.kill(pid, 9)
        time.sleep(0.1)


def _environment_holds(pid: int, mark: bytes) -> bool:
    try:
        return mark in b"\0" + Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False
