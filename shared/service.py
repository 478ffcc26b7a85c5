"""What every worker process does at start and end: configuration, logs, metrics, data folder, broker, signals."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from shared import logs, metrics
from shared.config import Config, find_broker, unbuilt_in
from shared.errors import ConfigError, DcmrelayError, StartError, where
from shared.reload import ACCEPTED, LOOK_SECONDS, Origin, Watch, check_usable, needs_restart
from shared.spool.spool import Spool
from shared.spool.volume import prepare

log = structlog.get_logger()
# `docker stop` and `up` kill after ten seconds.
STOP_SECONDS = 8
GIVE_BACK_SECONDS = 1.5
EXIT_STOPPED, EXIT_START, EXIT_CONFIG = 0, 1, 2


@dataclass
class Service:
    """A running worker process.

    Attributes:
        kind: which worker.
        config: in force; another one takes its place whole, see `adopt`.
        spool: in the data folder.
        stopping: set by SIGTERM and SIGINT.
        give_backs: called before it is ended by force.
        takers: told of each configuration that came into force since the start.
        judges: asked before one does; they raise StartError.
        watch: looks whether there is another one; None: nobody does.
        asked_to_look: set by SIGHUP.
        failed: why it gave up.
    """

    kind: str
    config: Config
    spool: Spool
    stopping: threading.Event = field(default_factory=threading.Event)
    give_backs: list[Callable[[], None]] = field(default_factory=list)
    takers: list[Callable[[Config], None]] = field(default_factory=list)
    judges: list[Callable[[Config], None]] = field(default_factory=list)
    watch: Watch | None = None
    asked_to_look: threading.Event = field(default_factory=threading.Event)
    failed: DcmrelayError | None = None
    _looking: threading.Lock = field(default_factory=threading.Lock)

    @property
    def destinations(self) -> tuple[str, ...]:
        """Names of all configured destinations, for the topology."""
        return tuple(destination.name for destination in self.config.destinations)

    def is_current(self, *, asked: bool = False) -> bool:
        """Look whether the configuration changed; whether the one in force is now what the file says."""
        with self._looking:
            return self.watch is None or self.watch.look(asked=asked)

    def judge(self, config: Config) -> None:
        """Refuse a configuration that cannot come into force here.

        Raises:
            ConfigError: it cannot while the relay runs.
            StartError: a file that it needs is not there.
        """
        check_usable(config, self.config)
        for judge in self.judges:
            judge(config)

    def adopt(self, config: Config) -> None:
        """Bring a configuration into force; its snapshot is in the spool before anybody uses its hash.

        A worker of which a part cannot take it gives up: it does not go on by half of each.

        Raises:
            StorageError: the disk refused; the one before stays.
        """
        before, started = self.config, self._started_with
        if config.hash == before.hash:
            return
        self.spool.keep_config(config.snapshot(), config.hash)
        metrics.begin(self.kind, _names(config))
        self.config = config
        try:
            for take in self.takers:
                take(config)
        except Exception as error:  # noqa: BLE001  (the worker: nobody foresaw it; its text may hold values)
            self.give_up("the configuration that changed was not taken", error)
            return
        metrics.forget(_names(before), _names(config))
        metrics.CONFIG_RELOADED.set_to_current_time()
        log.info("config_reloaded", config=config.hash[:12], before=before.hash[:12])
        if keys := needs_restart(started, config):
            log.warning("needs_restart", keys=keys)

    def give_up(self, what: str, error: Exception) -> None:
        """Stop, and end with a line that says why; who runs the worker starts it anew, with what is in the file."""
        self.failed = DcmrelayError(f"{what}: {type(error).__name__} at {where(error)}; it ends, to be started anew")
        self.stopping.set()

    def in_background(self, name: str, work: Callable[[], None]) -> None:
        """Work in a thread beside the worker's own, which ends with the process; if it breaks, the worker gives up."""

        def guarded() -> None:
            try:
                work()
            except Exception as error:  # noqa: BLE001  (nobody would miss the thread)
                self.give_up(f"what it does beside, {name}, broke off", error)

        threading.Thread(target=guarded, name=name, daemon=True).start()

    def __post_init__(self) -> None:
        """Remember what it was started with."""
        self._started_with = self.config

    def broker_url(self) -> str:
        """AMQP URL: from the configuration or environment, else of the private node that `up` runs.

        Raises:
            StartError: neither.
        """
        url = find_broker(self.config)
        if url is None:
            raise StartError(
                "there is no broker: set [broker] url, or start this relay with `dcmrelay up`, which runs its own"
            )
        return url


def run(kind: str, config_path: Path, work: Callable[[Service], None]) -> int:
    """Start a worker process, work until told to stop, and return its exit code.

    Args:
        kind: `ingress`, `router`, ...
        config_path: the configuration file.
        work: returns soon after `stopping` is set; what it leaves is given back after STOP_SECONDS.

    Returns:
        0 when told to stop; 1 when it could not start or gave up, 2 for the configuration; said in one line each.
    """
    logs.set_up(kind)
    os.umask(0o077)
    try:
        service = _started(kind, config_path)
        service.in_background("config", lambda: _look_for_changes(service))
        work(service)
        if service.failed is not None:
            raise service.failed
    except ConfigError as error:
        return _refused(kind, error, EXIT_CONFIG)
    except DcmrelayError as error:
        return _refused(kind, error, EXIT_START)
    except Exception as error:  # noqa: BLE001  (the worker: nobody foresaw it; its text may hold values)
        return _refused(kind, DcmrelayError(f"ended by a fault: {type(error).__name__} at {where(error)}"), EXIT_START)
    log.info("stopped")
    return EXIT_STOPPED


def stop_by_force(service: Service, give_back: Callable[[], None]) -> None:
    """End the process STOP_SECONDS after it was told to stop, if it is still there, giving back what it works on.

    Called once for each lane: all give back, at the same time, before the process ends; one that hangs does not keep
    it, nor the others.
    """
    service.give_backs.append(give_back)
    if len(service.give_backs) == 1:
        threading.Thread(target=_watch, args=(service,), name="stop-by-force", daemon=True).start()


def _watch(service: Service) -> None:
    service.stopping.wait()
    time.sleep(STOP_SECONDS)
    giving = [threading.Thread(target=_given_back, args=(it,), daemon=True) for it in service.give_backs]
    for thread in giving:
        thread.start()
    until = time.monotonic() + GIVE_BACK_SECONDS
    for thread in giving:
        thread.join(max(0.0, until - time.monotonic()))
    log.warning("stopped_by_force")
    os._exit(EXIT_STOPPED if service.failed is None else _refused(service.kind, service.failed, EXIT_START))


def _given_back(give_back: Callable[[], None]) -> None:
    try:
        give_back()
    except DcmrelayError as error:
        log.warning("not_given_back", why=str(error))


def _started(kind: str, config_path: Path) -> Service:
    accepted = os.environ.get(ACCEPTED)
    origin = Origin(config_path, Path(accepted) if accepted else None)
    content = origin.content()
    config = origin.config(content)
    if unbuilt := unbuilt_in(config):
        raise ConfigError(tuple(str(problem) for problem in unbuilt))
    service = Service(kind=kind, config=config, spool=prepare(config))
    service.watch = Watch(origin, content, judge=service.judge, adopt=service.adopt)
    service.spool.keep_config(config.snapshot(), config.hash)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: service.stopping.set())
    signal.signal(signal.SIGHUP, lambda *_: service.asked_to_look.set())
    metrics.begin(kind, _names(config))
    host, port = _metrics_address(config)
    try:
        _, port = metrics.serve(host, port)
    except OSError as error:
        raise StartError(f"metrics cannot listen on {host}:{port}: {error.strerror}; set [metrics] listen") from error
    metrics.CONFIG_RELOADED.set_to_current_time()
    log.info("started", config=config.hash[:12], metrics=f"{host}:{port}", pid=os.getpid())
    return service


def _look_for_changes(service: Service) -> None:
    while not service.stopping.is_set():
        asked = service.asked_to_look.wait(LOOK_SECONDS)
        service.asked_to_look.clear()
        service.is_current(asked=asked)


def _names(config: Config) -> dict[str, tuple[str, ...]]:
    return {
        "source": tuple(source.name for source in config.sources),
        "check": tuple(check.name for check in config.checks),
        "route": tuple(route.name for route in config.routes),
        "profile": tuple(config.profiles),
        "destination": tuple(destination.name for destination in config.destinations),
        "notifier": tuple(notify.name or notify.kind for notify in config.notify),
    }


def _metrics_address(config: Config) -> tuple[str, int]:
    listen = config.metrics.listen
    host = os.environ.get("DCMRELAY_METRICS_HOST") or (listen.host if listen else "127.0.0.1")
    port = os.environ.get("DCMRELAY_METRICS_PORT") or (listen.port if listen else 0)
    return host, int(port)


def _refused(kind: str, error: DcmrelayError, code: int) -> int:
    for line in str(error).splitlines():
        sys.stderr.write(f"dcmrelay {kind}: {line}\n")
    return code
