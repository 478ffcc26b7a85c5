"""The janitor process: sweeps at start and ever after, more seldom the longer a sweep takes."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import get_args

import structlog

from consumers.janitor.projection import Projection
from consumers.janitor.slow import begin_slow_work
from consumers.janitor.sweep import Found, sweep
from consumers.janitor.telling import Tellers
from consumers.janitor.upkeep import Upkeep
from shared import metrics
from shared.broker import Publisher, queue_of, topology
from shared.errors import BrokerError, DeadLetterClass, StorageError
from shared.messages import Ring
from shared.service import Service, run
from shared.spool.damage import count_of_damages
from shared.spool.outlines import Keeper
from shared.spool.units import Unit

log = structlog.get_logger()
See = Callable[[list[Unit]], None]
SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, SHARE_OF_TIME = 5.0, 60.0, 0.05


def main(config_path: Path) -> int:
    """Sweep until told to stop; returns the exit code."""
    return run("janitor", config_path, _work)


def _work(service: Service) -> None:
    publisher = Publisher(service.broker_url(), topology(service.destinations), "janitor")
    publisher.start()
    publisher.link.wait_connected(5)
    begin_slow_work(service)
    projection, upkeep, pause = Projection(publisher), Upkeep(service.spool, service.config), 0.0
    service.takers += [upkeep.use, lambda config: publisher.use(topology(it.name for it in config.destinations))]
    tellers, keeper = Tellers(service), Keeper(service.spool)
    service.takers.append(tellers.use)

    def see(unfinished: list[Unit]) -> None:
        tellers.see(unfinished)
        _keep(keeper, unfinished)

    while not service.stopping.wait(pause):
        if publisher.link.failed is not None:
            raise publisher.link.failed
        looked = sweep_and_ring(service, publisher, projection, see)
        begun = time.monotonic()
        upkeep.tend()
        looked += time.monotonic() - begun
        pause = min(max(looked / SHARE_OF_TIME, SHORTEST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)
    publisher.stop()


def sweep_and_ring(service: Service, publisher: Publisher, projection: Projection, see: See = lambda _: None) -> float:
    """Sweep once, show and ring for what is due.

    Args:
        service: the janitor.
        publisher: to RabbitMQ.
        projection: the dead letter queues.
        see: takes what is unfinished, before the broker is asked for anything.

    Returns:
        Seconds that it looked at the spool. A broker that does not answer takes a minute of its own; were that counted,
        the next sweep would be another minute away when the broker is back.
    """
    begun = time.monotonic()
    # Nothing is held for want of a destination while nobody knows which there are.
    known = service.config if service.is_current() else None
    try:
        with metrics.timed(metrics.SWEEP_SECONDS):
            found = sweep(service.spool, service.config.hash, known)
    except (StorageError, OSError) as error:
        log.error("not_swept", why=type(error).__name__)
        return time.monotonic() - begun
    _show(service, found)
    see(found.unfinished)
    looked = time.monotonic() - begun
    try:
        ring_lost(publisher, found.rings)
        projection.bring_up_to_date(found.dead)
    except BrokerError as error:
        log.warning("not_rung", why=str(error))
    return looked


def _keep(keeper: Keeper, unfinished: list[Unit]) -> None:
    try:
        keeper.keep(unfinished)
    except StorageError as error:
        log.warning("outlines_not_kept", why=str(error))


def ring_lost(publisher: Publisher, rings: Mapping[str, list[Ring]]) -> None:
    """Ring for due work, unless its queue holds as many messages as there is work: then its bells only wait.

    Raises:
        BrokerError: not all were rung; the next sweep does.
    """
    for key, due in rings.items():
        if publisher.depth(queue_of(key)) < len(due):
            publisher.ring(due)
            metrics.SWEEP_RUNG.labels(stage=key.partition(".")[0]).inc(len(due))
            log.info("rang_again", key=key, count=len(due))


def _show(service: Service, found: Found) -> None:
    now = service.spool.now()
    for name in service.destinations:
        age = now - found.oldest.get(name, now)
        metrics.WAITING.labels(destination=name).set(found.waiting[name])
        metrics.OLDEST_WAITING.labels(destination=name).set(age.total_seconds())
    for word in get_args(DeadLetterClass):
        metrics.DEAD_LETTERS_NOW.labels(**{"class": word}).set(len(found.dead.get(word, ())))
    metrics.PARTS_WAITING.set(found.parts_waiting)
    metrics.UNREADABLE_RECORDS.set(found.unreadable)
    metrics.DAMAGED.set(count_of_damages(service.spool))
