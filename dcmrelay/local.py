"""The all-in-one runner behind `dcmrelay up`: a private broker, every worker, until SIGTERM.

data_dir/run/up.lock                    held while it runs
data_dir/run/accepted.json              the configuration in force, which every worker goes by
data_dir/run/reload.json                what the file says that is not in force, and why
data_dir/run/ingress.json               written by the ingress: its pid and addresses
data_dir/run/prometheus-targets.json    where Prometheus finds every worker (file_sd)
"""

import contextlib
import fcntl
import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dcmrelay.child import Child
from dcmrelay.keeping import Keeper
from dcmrelay.ports import free_port
from dcmrelay.private_broker import PrivateBroker
from dcmrelay.reloading import Reload, check_tls, write_whole
from dcmrelay.running import listening, run_folder, shown_listening
from dcmrelay.views import counted
from dcmrelay.workers import PER_MACHINE
from shared import metrics
from shared.broker import Publisher, topology
from shared.config import Address, Config, broker_url
from shared.errors import StartError
from shared.reload import ACCEPTED

BROKER_URL, METRICS_PORT = "DCMRELAY_BROKER_URL", "DCMRELAY_METRICS_PORT"
_LOOK_SECONDS = 0.1
_STOP_SECONDS = 12.0
_BROKER_SECONDS = 20.0
_GIVE_UP_AFTER = 5
# Nothing waits for a witness: it is started again and again, and the others go on.
_DISPENSABLE = ("ledger",)


def up(config: Config, config_path: Path, say: Callable[[str], None]) -> int:
    """Run everything until SIGTERM or SIGINT; SIGHUP has the configuration looked at again.

    Args:
        config: the loaded configuration; its data folder is ready.
        config_path: its file; workers go by what is accepted of it here.
        say: tells a person, one line.

    Returns:
        Exit code: 0 when it was told to stop.

    Raises:
        StartError: it cannot run: another one does, or something refused again and again before it was ready.
    """
    folder = run_folder(config)
    folder.mkdir(mode=0o700, exist_ok=True)
    with _only_one(folder / "up.lock"), _signals() as signals:
        relay = _Local(config, config_path.absolute(), say)
        try:
            relay.run(signals)
        finally:
            relay.stop()
    return 0


class _Local:
    """The broker and the workers of one machine."""

    def __init__(self, config: Config, config_path: Path, say: Callable[[str], None]) -> None:
        self._config = config
        self._config_path = config_path
        self._reload = Reload(config, config_path, self._take)
        self._say = say
        self._folder = run_folder(config)
        self._given = broker_url(config, os.environ)
        self._broker = None if self._given else PrivateBroker(config.relay.data_dir / "broker")
        self._environment: dict[str, str] = {}
        self._ports: dict[str, int] = {}
        self._own_port = 0
        self._children = [self._child(kind) for kind in PER_MACHINE]
        self._children += [self._child(f"sender {d.name}") for d in config.destinations]
        self._leaving: list[tuple[Child, float]] = []
        self._keepers = [self._keeper(child.name, child, child.why) for child in self._children]
        self._ready = False

    def run(self, signals: "Signals") -> None:
        """Start everything, then look after it until it is to stop."""
        _wait_for_leftover(self._config)
        check_tls(self._config)
        for address in _addresses(self._config):
            _check_free(address)
        (self._folder / "ingress.json").unlink(missing_ok=True)
        self._reload.begin()
        if self._given:
            _check_broker(self._given, tuple(destination.name for destination in self._config.destinations))
        if self._broker is not None:
            self._say(f"starting a private RabbitMQ in {self._broker.directory} ...")
            self._broker.start()
            self._keepers.insert(0, self._keeper("rabbitmq", _Announced(self._broker, self._environment), _no_words))
        self._write_targets()
        while not signals.stop:
            self._reload.look(asked=signals.look())
            self._let_go()
            for keeper in self._keepers:
                keeper.look()
            if not self._ready:
                self._look_whether_ready()
            time.sleep(_LOOK_SECONDS)

    def stop(self) -> None:
        """Stop the workers, which may take their time to finish, then the broker."""
        if any(child.alive() for child in self._children):
            self._say("stopping ...")
        deadline = time.monotonic() + _STOP_SECONDS
        for child in self._children:
            child.terminate()
        for child in (*self._children, *(child for child, _ in self._leaving)):
            child.end(deadline)
        if self._broker is not None:
            self._broker.stop()
        (self._folder / "ingress.json").unlink(missing_ok=True)
        self._reload.end()

    def _take(self, config: Config) -> None:
        """Another configuration is in force: a sender for each destination, and for no other."""
        self._config = config
        wanted = {f"sender {it.name}" for it in config.destinations}
        running = {child.name: child for child in self._children if child.name.startswith("sender ")}
        for name in sorted(running.keys() - wanted):
            self._dismiss(running[name])
        for name in sorted(wanted - running.keys()):
            child = self._child(name)
            self._children.append(child)
            self._keepers.append(self._keeper(name, child, child.why))
        self._write_targets()

    def _dismiss(self, child: Child) -> None:
        """Ask a worker to finish and go, and look after it no more."""
        child.terminate()
        self._children.remove(child)
        self._keepers = [keeper for keeper in self._keepers if keeper.thing is not child]
        self._leaving.append((child, time.monotonic() + _STOP_SECONDS))
        self._ports.pop(child.name, None)
        metrics.WORKER_UP.labels(child.name).set(0)

    def _let_go(self) -> None:
        """End by force who was asked to go and is there still."""
        for child, deadline in self._leaving:
            if not child.alive() or time.monotonic() > deadline:
                child.end(deadline)
        self._leaving = [(child, deadline) for child, deadline in self._leaving if child.alive()]

    def _child(self, name: str) -> Child:
        kind, *destination = name.split()
        arguments = (kind, "--config", str(self._config_path), *destination)
        return Child(name, arguments, lambda: self._environment_of(name))

    def _environment_of(self, name: str) -> dict[str, str]:
        """A worker's, at each start: its metrics on a port that is free now, whoever took the one it had."""
        self._ports[name] = free_port()
        self._write_targets()
        return {**self._environment, METRICS_PORT: str(self._ports[name]), ACCEPTED: str(self._reload.accepted)}

    def _keeper(self, name: str, thing: Any, why: Callable[[], str]) -> Keeper:
        return Keeper(name, thing, why=why, say=self._say)

    def _look_whether_ready(self) -> None:
        addresses = [shown for shown, _ in shown_listening(self._config, self._children[0].pid)]
        if addresses:
            self._ready = True
            self._say(self._ready_line(addresses))
            return
        needed = (keeper for keeper in self._keepers if keeper.name not in _DISPENSABLE)
        stuck = next((keeper for keeper in needed if keeper.repeated >= _GIVE_UP_AFTER), None)
        if stuck is not None:
            raise StartError(f"{stuck.name}: {stuck.words}")

    def _ready_line(self, addresses: list[str]) -> str:
        destinations = counted(len(self._config.destinations), "destination")
        return (
            f"READY: DICOM on {', '.join(addresses)} as {self._config.relay.ae_title}, "
            f"{destinations}, data in {self._config.relay.data_dir}, "
            f"metrics listed in {self._folder / 'prometheus-targets.json'}"
        )

    def _write_targets(self) -> None:
        if not self._own_port:
            server, self._own_port = metrics.serve("127.0.0.1", 0)
            del server  # lives as long as this program
        ports = {"up": self._own_port, **self._ports}
        if self._broker is not None:
            ports["rabbitmq"] = self._broker.prometheus_port
        targets = [{"targets": [f"127.0.0.1:{port}"], "labels": {"worker": name}} for name, port in ports.items()]
        write_whole(self._folder / "prometheus-targets.json", json.dumps(targets, indent=1))


class _Announced:
    """The private broker, whose address may change with a restart: told to the workers that start afterwards."""

    def __init__(self, broker: PrivateBroker, environment: dict[str, str]) -> None:
        self._broker, self._environment = broker, environment

    def start(self) -> None:
        self._broker.start()
        self._environment[BROKER_URL] = self._broker.url

    def alive(self) -> bool:
        return self._broker.alive()


def _wait_for_leftover(config: Config) -> None:
    """Give the ingress of an `up` that was killed the time it needs to stop by itself."""
    deadline = time.monotonic() + _STOP_SECONDS
    while listening(config) and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)


def _check_broker(url: str, destinations: tuple[str, ...]) -> None:
    """Say at once what every worker would say; a broker that is away may come."""
    publisher = Publisher(url, topology(destinations), "up")
    publisher.start()
    try:
        publisher.link.first_try(_BROKER_SECONDS)
    finally:
        publisher.stop()


def _addresses(config: Config) -> tuple[Address, ...]:
    return config.ingress.listen + (config.ingress.tls.listen if config.ingress.tls else ())


def _check_free(address: Address) -> None:
    """Say at once what the ingress would say after the broker was started."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        socket.create_server((address.host, address.port), family=family).close()
    except OSError as error:
        why = os.strerror(error.errno or 0)
        raise StartError(
            f"cannot listen on {address}: {why}; stop what listens there, or change [ingress] listen"
        ) from None


def _no_words() -> str:
    return "its process is gone"


@contextlib.contextmanager
def _only_one(path: Path) -> Iterator[None]:
    with path.open("a", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StartError(
                f"{path.parent.parent} is in use by another `dcmrelay up`; stop that one, or give this one a data_dir "
                "of its own"
            ) from None
        yield


@dataclass
class Signals:
    """What a person asked for by signals.

    Attributes:
        stop: SIGTERM or SIGINT came.
    """

    stop: bool = False
    _look: bool = False

    def take(self, number: int) -> None:
        """Note one."""
        if number == signal.SIGHUP:
            self._look = True
        else:
            self.stop = True

    def look(self) -> bool:
        """Whether SIGHUP came since this was asked last."""
        asked, self._look = self._look, False
        return asked


@contextlib.contextmanager
def _signals() -> Iterator[Signals]:
    signals = Signals()
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.signal(number, lambda got, _frame: signals.take(got)) for number in numbers}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
