"""The ingress process."""

import json
import os
import resource
import threading
from pathlib import Path

from producers.ingress.closing import Closing
from producers.ingress.committing import Committing
from producers.ingress.parts import OpenParts, Session
from producers.ingress.storing import Storing
from shared import metrics, tls
from shared.broker import Publisher, topology
from shared.config.relay import Ingress
from shared.dimse import Listener, Timeouts
from shared.service import Service, run
from shared.spool.runs import Run

_GRACE_SECONDS = 5
_REQUEST_SECONDS = 5
_BROKER_SECONDS = 20


def main(config_path: Path) -> int:
    """Receive until told to stop; returns the exit code."""
    return run("ingress", config_path, _work)


def _work(service: Service) -> None:
    _allow_many_descriptors()
    publisher = Publisher(service.broker_url(), topology(service.destinations), "ingress")
    publisher.start()
    publisher.link.first_try(_BROKER_SECONDS)  # refused is refused; one that is away is waited for, and stores go on
    parts, this_run = OpenParts(), Run(service.spool)
    storing = Storing(service.spool, service.config, parts, this_run.id)
    committing = Committing(service.spool, service.config)
    listener = _listener(service, storing, committing)
    closing = Closing(service.spool, service.config, parts, this_run, service.stopping)
    closing.adopt()
    service.takers += [storing.use, closing.use, committing.use, lambda config: _limit(listener, config.ingress)]
    service.spool.store.clear_drafts()
    threads = [
        threading.Thread(target=listener.serve, name="listener", daemon=True),
        threading.Thread(target=closing.tell_until_stopped, args=(publisher,), name="telling", daemon=True),
    ]
    for thread in threads:
        thread.start()
    _announce(service, listener)
    closing.run_until_stopped()
    listener.close(_GRACE_SECONDS)
    publisher.stop()
    this_run.end()


def _allow_many_descriptors() -> None:
    """Two for each association, one for each connection before it: more than the 1,024 that are usual."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _listener(service: Service, storing: Storing, committing: Committing) -> Listener[Session]:
    ingress = service.config.ingress
    return Listener(
        [(address.host, address.port) for address in ingress.listen],
        storing,
        tls=tls.of_ingress(ingress),
        timeouts=Timeouts(associate=_REQUEST_SECONDS),
        max_instance=ingress.max_instance,
        commitment=committing,
        max_associations=ingress.max_associations,
        max_associations_per_host=ingress.max_associations_per_host,
        ended=lambda _host, how: metrics.ASSOCIATIONS.labels(outcome=how).inc(),
    )


def _limit(listener: Listener[Session], ingress: Ingress) -> None:
    listener.limit(
        max_instance=ingress.max_instance,
        max_associations=ingress.max_associations,
        max_associations_per_host=ingress.max_associations_per_host,
    )


def _announce(service: Service, listener: Listener[Session]) -> None:
    """Say where it listens, for `up` and `send`: a port of 0 in the configuration is another each time."""
    path = service.config.relay.data_dir / "run" / "ingress.json"
    aside = path.with_suffix(f".{os.getpid()}")
    plain = len(service.config.ingress.listen)
    said = {"pid": os.getpid(), "addresses": listener.addresses[:plain], "tls_addresses": listener.addresses[plain:]}
    aside.write_text(json.dumps(said), encoding="ascii")
    aside.replace(path)
