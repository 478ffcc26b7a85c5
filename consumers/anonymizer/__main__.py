"""The anonymizer process."""

from pathlib import Path

from consumers.anonymizer.handler import Anonymizer
from shared.broker import queue_of
from shared.service import Service, run
from shared.spool.states import Retry
from shared.work.lane import Lane


def main(config_path: Path) -> int:
    """Make renditions until told to stop; returns the exit code."""
    return run("anonymizer", config_path, _work)


def _work(service: Service) -> None:
    handler = Anonymizer(service.spool, service.config)
    service.takers.append(handler.use)
    Lane(service, "anonymizer", (queue_of("render"),), handler.handle, Retry()).run()
