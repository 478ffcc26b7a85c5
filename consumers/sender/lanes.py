"""A lane for each destination, while the configuration has it as it was when the lane began.

A destination that changed gets another lane once the old one has handed back what it worked on: one study is never
sent by two, and what was decided for the peer that it was before finds that it is another now. Source: ADR 0023.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import structlog

from shared.config import Config
from shared.config.peers import Destination
from shared.config.rules import Calendar
from shared.errors import DcmrelayError, StartError, where
from shared.service import Service

log = structlog.get_logger()
_LOOK_SECONDS = 0.2
Settings = tuple[Destination, Mapping[str, Calendar], str]
Serve = Callable[[Destination, threading.Event], None]


@dataclass
class Running:
    """A lane in a thread of its own.

    Attributes:
        destination: as it is served.
        settings: all that a lane goes by: the destination, and the clocks of its hours.
        stopping: ends it.
        error: why it ended by itself.
    """

    destination: Destination
    settings: Settings
    serve: Serve
    stopping: threading.Event = field(default_factory=threading.Event)
    error: DcmrelayError | None = None

    def __post_init__(self) -> None:
        """Begin."""
        self.thread = threading.Thread(target=self._run, name=f"lane-{self.destination.name}", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.serve(self.destination, self.stopping)
        except DcmrelayError as error:
            self.error = error
        except Exception as error:  # noqa: BLE001  (the worker: nobody foresaw it; its text may hold values)
            self.error = StartError(f"a lane ended by a fault: {type(error).__name__} at {where(error)}")


class Lanes:
    """All lanes of a sender process.

    Args:
        service: the process.
        names: of the destinations it serves; empty: all that are configured.
        serve: serves a destination until its event is set.
    """

    def __init__(self, service: Service, names: tuple[str, ...], serve: Serve) -> None:
        self._service, self._names, self._serve = service, names, serve
        self._running: dict[str, Running] = {}

    def run(self) -> None:
        """Serve until told to stop.

        Raises:
            DcmrelayError: a lane could not go on.
        """
        ended = None
        while ended is None and not self._service.stopping.is_set():
            self._look(self._wanted(self._service.config))
            self._service.stopping.wait(_LOOK_SECONDS)
            ended = next((it for it in self._running.values() if not it.thread.is_alive()), None)
            if ended is not None and ended.stopping.is_set() and ended.error is None:
                del self._running[ended.destination.name]
                ended = None
        self._service.stopping.set()
        for lane in self._running.values():
            lane.stopping.set()
        for lane in self._running.values():
            lane.thread.join()
        for lane in self._running.values():
            if lane.error is not None:
                raise lane.error

    def _wanted(self, config: Config) -> dict[str, Settings]:
        clocks = config.calendars, config.relay.timezone
        return {it.name: (it, *clocks) for it in config.destinations if not self._names or it.name in self._names}

    def _look(self, wanted: Mapping[str, Settings]) -> None:
        for name, lane in self._running.items():
            if wanted.get(name) != lane.settings and not lane.stopping.is_set():
                log.info("destination_changed", destination=name, gone=name not in wanted)
                lane.stopping.set()
        for name, settings in wanted.items():
            if name not in self._running:
                self._running[name] = Running(settings[0], settings, self._serve)
