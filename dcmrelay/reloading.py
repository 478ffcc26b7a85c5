"""Under `up`: one process reads the configuration file, and every worker goes by what it accepted of it."""

import contextlib
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import structlog

from dcmrelay.running import run_folder
from shared import metrics, tls
from shared.config import Config
from shared.reload import LOOK_SECONDS, Origin, Watch, check_usable, needs_restart
from shared.reload_note import note_of
from shared.spool.drafts import storage_error

log = structlog.get_logger()


class Reload:
    """The configuration of `up`.

    Args:
        config: as it was loaded at the start.
        path: its file.
        take: told of each one that comes into force later.
    """

    def __init__(self, config: Config, path: Path, take: Callable[[Config], None]) -> None:
        self._started_with, self._config, self._take = config, config, take
        # Empty content was never judged: a change since `config` was loaded is found by the first look.
        self._watch = Watch(Origin(path), b"", judge=self._judge, adopt=self._adopt)
        self._note = note_of(config)
        self.accepted = run_folder(config) / "accepted.json"
        self._looked_at = 0.0

    def begin(self) -> None:
        """Write down what is in force, before a worker starts."""
        self._put()

    def look(self, *, asked: bool) -> None:
        """Look at the file when it is time to, or at once when asked."""
        now = time.monotonic()
        if asked or now - self._looked_at >= LOOK_SECONDS:
            self._looked_at = now
            before = self._watch.refused
            self._watch.look(asked=asked)
            if self._watch.refused != before:
                with contextlib.suppress(OSError):  # a full disk: log and metric say it all the same
                    self._put_note()

    def end(self) -> None:
        """Nothing runs any more that could be behind the file."""
        self._note.unlink(missing_ok=True)

    def _judge(self, config: Config) -> None:
        check_usable(config, self._config)
        check_tls(config)

    def _adopt(self, config: Config) -> None:
        if config.hash == self._config.hash:
            return
        before, self._config = self._config, config
        try:
            self._put()
        except OSError as error:
            self._config = before
            raise storage_error("write to", self.accepted.parent, error) from error
        self._take(config)
        log.info("config_reloaded", config=config.hash[:12], before=before.hash[:12])
        if keys := needs_restart(self._started_with, config):
            log.warning("needs_restart", keys=keys)

    def _put(self) -> None:
        write_whole(self.accepted, self._config.snapshot().decode())
        metrics.CONFIG_RELOADED.set_to_current_time()
        self._put_note()

    def _put_note(self) -> None:
        note = {
            "since": datetime.now(UTC).isoformat(),
            "config": self._config.hash,
            "refused": self._watch.refused,
            "needs_restart": needs_restart(self._started_with, self._config),
        }
        write_whole(self._note, json.dumps(note))


def check_tls(config: Config) -> None:
    """Say at once what ingress and senders would say of their certificates and keys."""
    tls.of_ingress(config.ingress)
    for destination in config.destinations:
        tls.of_destination(destination)


def write_whole(path: Path, text: str) -> None:
    """Write a file whole or not at all, for those who read at any moment."""
    temporary = path.with_name(path.name + ".new")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
