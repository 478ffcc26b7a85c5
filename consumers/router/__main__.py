"""The router process."""

from pathlib import Path

from consumers.router.handler import Router
from shared.broker import queue_of
from shared.outcomes import Outcome
from shared.service import Service, run
from shared.spool.states import Retry
from shared.work import Claim
from shared.work.lane import Lane


def main(config_path: Path) -> int:
    """Route parts until told to stop; returns the exit code."""
    return run("router", config_path, _work)


def _work(service: Service) -> None:
    router = Router(service.spool)

    def handle(claim: Claim) -> Outcome:
        # The part may have closed under a configuration that this process did not look at yet, with other destinations.
        if claim.state.config != service.config.hash:
            service.is_current()
        return router.handle(claim)

    Lane(service, "router", (queue_of("route"),), handle, Retry()).run()
