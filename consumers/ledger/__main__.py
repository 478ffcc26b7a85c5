"""The ledger process: hears of what happened, looks it up in the spool, enters it; goes through the spool in rounds."""

import contextlib
from pathlib import Path

import structlog
from tenacity import RetryError

from consumers.ledger.database import database_of
from consumers.ledger.feeding import Feeder
from shared import metrics
from shared.broker import LEDGER, Consumer, Delivered, Publisher, keep_asking, topology
from shared.messages import decode_bell
from shared.service import Service, run, stop_by_force
from shared.work.loop import insistently

log = structlog.get_logger()


def main(config_path: Path) -> int:
    """Keep the ledger until told to stop; returns the exit code."""
    return run("ledger", config_path, _work)


def _work(service: Service) -> None:
    database = database_of(service.config)
    table, url = topology(service.destinations), service.broker_url()
    publisher = Publisher(url, table, "ledger")
    consumer = Consumer(url, table, (LEDGER,), name="ledger", let_go=lambda _: True)
    feeder = Feeder(service.spool, service.config, database, service.stopping.is_set)
    service.takers.append(feeder.use)
    stop_by_force(service, lambda: None)
    publisher.start()
    consumer.start()
    service.in_background("asking for messages", lambda: keep_asking(consumer, publisher, service.stopping))
    while not service.stopping.is_set() and not (consumer.link.failed or publisher.link.failed):
        feeder.round()
        delivered = consumer.get(seconds=0.5)
        if delivered is not None:
            _hear(service, feeder, (consumer, publisher), delivered)
    consumer.stop()
    publisher.stop()
    database.close()
    for link in (consumer.link, publisher.link):
        if link.failed is not None:
            raise link.failed


def _hear(service: Service, feeder: Feeder, links: tuple[Consumer, Publisher], delivered: Delivered) -> None:
    consumer, publisher = links
    try:
        bell = decode_bell(delivered.body)
    except ValueError as error:
        log.warning("unreadable_message", queue=delivered.queue, why=str(error))
        metrics.UNREADABLE.inc()
        with contextlib.suppress(RetryError):  # told to stop: the message comes again
            insistently(service.stopping, lambda: publisher.set_aside(delivered.body))
            consumer.acknowledge(delivered)
        return
    feeder.tell(bell.unit)
    consumer.acknowledge(delivered)
