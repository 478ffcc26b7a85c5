"""The sender process: a lane for each destination it may own."""

import threading
from pathlib import Path

from consumers.sender.handler import Sender
from consumers.sender.hours import hours_of, rate_of
from consumers.sender.lanes import Lanes
from consumers.sender.ownership import Ownership
from consumers.sender.waiting import Waiting
from shared import tls
from shared.broker import Delivered
from shared.config import Config
from shared.config.peers import Destination
from shared.errors import StartError
from shared.service import Service, run
from shared.work.lane import Lane


def main(config_path: Path, names: tuple[str, ...] = ()) -> int:
    """Send to the named destinations, or to all, until told to stop; returns the exit code."""
    return run("sender", config_path, lambda service: _work(service, names))


def _work(service: Service, names: tuple[str, ...]) -> None:
    for name in names:
        if service.config.destination(name) is None:
            raise StartError(f"destination '{name}' is not configured; known: {', '.join(service.destinations)}")
    service.judges.append(lambda config: _check_tls(config, names))
    Lanes(service, names, lambda destination, stopping: _lane(service, destination, stopping)).run()


def _check_tls(config: Config, names: tuple[str, ...]) -> None:
    for destination in config.destinations:
        if not names or destination.name in names:
            tls.of_destination(destination)


def _lane(service: Service, destination: Destination, stopping: threading.Event) -> None:
    ownership = Ownership(service.spool, destination.name, stopping)
    sender = Sender(
        service.spool,
        destination,
        may_send=ownership.check,
        stopping=stopping,
        is_current=lambda: service.is_current() and service.config.destination(destination.name) == destination,
        gives_way=lambda: lane.gives_way(),  # noqa: PLW0108  (there is no lane yet)
        hours=hours_of(service.config, destination),
        rate=rate_of(service.config, destination),
    )

    def lost() -> None:
        ownership.lost()
        sender.circuit.forget()
        # Not here: the connection's thread has to connect again.
        threading.Thread(target=sender.release, daemon=True).start()

    def is_bell(delivered: Delivered) -> bool:
        ownership.elected(delivered, lane.consumer)
        return delivered.queue != ownership.queue

    lane = Lane(
        service,
        f"sender {destination.name}",
        (ownership.queue,),
        sender.handle,
        sender.circuit.retry,
        is_bell=is_bell,
        lost=lost,
        workers=destination.max_associations,
        picks=Waiting(service.spool, destination.name, sender.circuit, sender.is_open),
        stopping=stopping,
    )
    asking = threading.Thread(target=ownership.ask, args=(lane.publisher, lane.consumer), daemon=True)
    asking.start()
    lane.run()
    sender.release()
