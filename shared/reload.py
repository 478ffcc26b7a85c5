"""The configuration while a process runs: looked at again and again, taken whole when it changed, or not at all.

A process reads the file itself, or, under `up`, what `up` accepted of it, so that all workers of a machine go by the
same. Looked at by content: a file that still changes while it is looked at is left for the next look. Source: ADR 0023.
"""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from shared import metrics
from shared.config import Config, read, read_file, unbuilt_in
from shared.errors import ConfigError, DcmrelayError, StartError, StorageError
from shared.spool.volume import check_keys

log = structlog.get_logger()
ACCEPTED = "DCMRELAY_ACCEPTED"
"""Environment variable: where a worker started by `up` finds what `up` accepted."""
LOOK_SECONDS, SETTLE_SECONDS = 1.0, 0.1


class Origin:
    """Where a process has its configuration from.

    Args:
        path: the configuration file.
        accepted: what `up` accepted of it, as a snapshot; None: the file itself is read.
    """

    def __init__(self, path: Path, accepted: Path | None = None) -> None:
        self._path, self._accepted = path, accepted
        # What `up` accepted is replaced whole; a file may be written while it is read.
        self.settle_seconds = 0.0 if accepted else SETTLE_SECONDS

    def content(self) -> bytes:
        """What is there now. Raises ConfigError when it cannot be read."""
        return read_file(self._accepted or self._path)

    def config(self, content: bytes) -> Config:
        """The configuration that a content is.

        Raises:
            ConfigError: every problem.
        """
        return read(content, self._path) if self._accepted is None else Config.from_snapshot(content)


def check_usable(config: Config, before: Config) -> None:
    """Refuse what cannot come into force while the relay runs.

    Raises:
        ConfigError: what is not built, or cannot change without a new start.
        StartError: a key is missing.
    """
    problems = [str(problem) for problem in unbuilt_in(config)]
    for key, new, old in (
        ("[relay] key data_dir", config.relay.data_dir, before.relay.data_dir),
        ("[broker]", config.broker, before.broker),
    ):
        if new != old:
            problems.append(
                f"{key}: cannot change while the relay runs; put it back, or stop the relay and start it again"
            )
    for section in ("sources", "destinations", "routes"):
        if getattr(before, section) and not getattr(config, section):
            text = "is missing, as in a file that was cut short; add it, or stop the relay and start it again"
            problems.append(f"[[{section[:-1]}]]: {text}")
    if problems:
        raise ConfigError(tuple(problems))
    check_keys(config)


def needs_restart(started: Config, config: Config) -> tuple[str, ...]:
    """Keys that are other than when a process started, and that it will go by when it is started again."""
    pairs = (
        ("[ingress] listen", started.ingress.listen, config.ingress.listen),
        ("[ingress.tls]", started.ingress.tls, config.ingress.tls),
        ("[ledger] url", started.ledger.url, config.ledger.url),
        ("[metrics] listen", started.metrics.listen, config.metrics.listen),
    )
    return tuple(key for key, old, new in pairs if old != new)


class Watch:
    """Looks whether the configuration changed.

    Args:
        origin: where it comes from.
        content: what was read at the start.
        judge: raises ConfigError or StartError for what cannot be used here.
        adopt: brings another configuration into force, whole.
        settle: waits so many seconds; a parameter for tests.

    Attributes:
        refused: problems of what stands in the file now; empty while that is in force.
    """

    def __init__(
        self,
        origin: Origin,
        content: bytes,
        *,
        judge: Callable[[Config], None],
        adopt: Callable[[Config], None],
        settle: Callable[[float], object] = time.sleep,
    ) -> None:
        self._origin, self._judge, self._adopt, self._settle = origin, judge, adopt, settle
        self._judged = _digest(content)
        self.refused: tuple[str, ...] = ()

    def look(self, *, asked: bool = False) -> bool:
        """Take what changed, or note why not.

        Args:
            asked: by a person; what did not change is judged again, with the files that it names.

        Returns:
            Whether what is in force is what the file says; False: that cannot be said now, or the file is refused.
        """
        seen = self._seen()
        if _digest(seen) == self._judged and not asked:
            return not self.refused
        if self._origin.settle_seconds:
            self._settle(self._origin.settle_seconds)
            if _digest(self._seen()) != _digest(seen):
                return False
        self._judged = _digest(seen)
        try:
            if isinstance(seen, ConfigError):
                raise seen
            config = self._origin.config(seen)
            self._judge(config)
            self._adopt(config)
        except StorageError as error:
            self._judged = ""
            log.error("config_not_reloaded", why=str(error))
            return False
        except (ConfigError, StartError) as error:
            self._refuse(error)
            return False
        self.refused = ()
        metrics.CONFIG_RELOAD_FAILED.set(0)
        return True

    def _seen(self) -> bytes | ConfigError:
        try:
            return self._origin.content()
        except ConfigError as error:
            return ConfigError(error.problems)

    def _refuse(self, error: DcmrelayError) -> None:
        self.refused = tuple(str(error).splitlines())
        metrics.CONFIG_RELOAD_FAILED.set(1)
        log.error("config_refused", problems=self.refused, see="the one before stays in force; dcmrelay check")


def _digest(content: bytes | ConfigError) -> str:
    return hashlib.sha256(content if isinstance(content, bytes) else f"error {content}".encode()).hexdigest()
