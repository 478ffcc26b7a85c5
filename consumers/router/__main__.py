"""The router process."""

from pathlib import Path

from consumers.router.handler import Router
from shared.broker import queue_of
from shared.service import Service, run
from shared.spool.states import Retry
from shared.work.lane import Lane


def main(config_path: Path) -> int:
    """Route parts until told to stop; returns the exit code."""
    return run("router", config_path, _work)


def _work(service: Service) -> None:
    Lane(service, "router", (queue_of("route"),), Router(service.spool).handle, Retry()).run()
