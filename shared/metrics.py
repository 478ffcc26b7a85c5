"""Every metric the product has, declared once, with a sentence.

Labels are names from the configuration or a closed set in code: never a UID, a name, an address or an AE title that
came over the wire.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import product
from time import perf_counter
from typing import get_args
from wsgiref.simple_server import WSGIServer

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, start_http_server

from shared.errors import DeadLetterClass

_SECONDS = (0.005, 0.02, 0.1, 0.5, 2, 10, 60, 300, 1800)

ASSOCIATIONS = Counter("dcmrelay_associations_total", "Connections that ended at the ingress, by how.", ["outcome"])
ASSOCIATIONS_OPEN = Gauge("dcmrelay_associations_open", "Associations open at the ingress now.")
INSTANCES_RECEIVED = Counter(
    "dcmrelay_instances_received_total", "C-STORE requests answered, by status class.", ["source", "outcome"]
)
BYTES_RECEIVED = Counter("dcmrelay_received_bytes_total", "Data set bytes answered with success.", ["source"])
PARTS_COMPLETED = Counter("dcmrelay_parts_completed_total", "Study parts closed.", ["source"])
PARTS_OPEN = Gauge("dcmrelay_parts_open", "Study parts that are still being received.")
PARTS_ROUTED = Counter("dcmrelay_parts_routed_total", "Parts that a route wanted, once per route.", ["route"])
CHECK_FAILURES = Counter(
    "dcmrelay_check_failures_total", "Parts that failed a check, by whether they wait or go on.", ["check", "outcome"]
)
INSTANCES_RENDERED = Counter(
    "dcmrelay_instances_rendered_total", "Instances de-identified, or withheld by the profile.", ["profile", "outcome"]
)
INSTANCES_SENT = Counter(
    "dcmrelay_instances_sent_total", "C-STORE responses of a destination, by outcome.", ["destination", "outcome"]
)
INSTANCES_TRANSCODED = Counter(
    "dcmrelay_instances_transcoded_total",
    "Instances a destination took in another transfer syntax than they are stored in.",
    ["destination"],
)
BYTES_SENT = Counter("dcmrelay_sent_bytes_total", "Data set bytes a destination took.", ["destination"])
DELIVERIES = Counter("dcmrelay_deliveries_total", "Deliveries settled, by outcome.", ["destination", "outcome"])
HANDED_OVER = Counter(
    "dcmrelay_studies_handed_over_total",
    "Studies left for the next candidate of their route.",
    ["route", "destination"],
)
KEPT_NOTHING = Counter(
    "dcmrelay_not_kept_total", "Instances a destination answered with success and does not have.", ["destination"]
)
COMMITMENTS = Counter(
    "dcmrelay_commitments_total",
    "Storage commitment asked for by a source, and what became of it.",
    ["source", "outcome"],
)
RETRIES = Counter("dcmrelay_retries_total", "Tries that failed and will be repeated.", ["stage"])
DEAD_LETTERS = Counter("dcmrelay_dead_letters_total", "Parts and deliveries that became dead letters.", ["class"])
STEP_SECONDS = Histogram(
    "dcmrelay_step_seconds", "Time a handler took for one unit or slice.", ["stage"], buckets=_SECONDS
)
STORE_SECONDS = Histogram(
    "dcmrelay_store_seconds", "From the last fragment received to the response, at the ingress.", buckets=_SECONDS
)
BROKER_CONNECTED = Gauge("dcmrelay_broker_connected", "1 while this worker has its connection to RabbitMQ.", ["role"])
OWNED = Gauge("dcmrelay_destination_owned", "1 while this sender owns the destination.", ["destination"])
CIRCUIT_OPEN = Gauge(
    "dcmrelay_circuit_open",
    "1 while only a probe now and then goes to a destination that takes nothing.",
    ["destination"],
)

WAITING = Gauge(
    "dcmrelay_waiting", "Deliveries of a destination that are not final and not dead letters.", ["destination"]
)
OLDEST_WAITING = Gauge(
    "dcmrelay_oldest_waiting_seconds", "Age of a destination's oldest waiting delivery; 0 when none.", ["destination"]
)
PARTS_WAITING = Gauge("dcmrelay_parts_waiting", "Closed parts that are not routed and not dead letters.")
DEAD_LETTERS_NOW = Gauge("dcmrelay_dead_letters_now", "Dead letters that wait for a person now.", ["class"])
SWEEP_SECONDS = Histogram("dcmrelay_sweep_seconds", "Time a sweep took.", buckets=_SECONDS)
SWEEP_RUNG = Counter("dcmrelay_sweep_rung_total", "Bells that a sweep rang again.", ["stage"])
SPOOL_FREE = Gauge("dcmrelay_spool_free_bytes", "Free space of the spool's file system.")
SPOOL_FILLING = Gauge(
    "dcmrelay_spool_filling_bytes_per_second", "How fast the spool's disk fills, by the last hours; negative: empties."
)
SPOOL_FULL_IN = Gauge(
    "dcmrelay_spool_full_in_seconds", "Until min_free is reached at that rate and nothing is accepted; +Inf: never."
)
OPTIONAL_HELD = Gauge(
    "dcmrelay_optional_held_bytes", "Bytes that lie in the spool only for optional copies that are not delivered."
)
SCRUBBED = Counter("dcmrelay_scrubbed_bytes_total", "Stored bytes that were read again to see whether they are whole.")
DAMAGED = Gauge("dcmrelay_damaged_files", "Stored files found damaged whose part is still there.")
ORPHANS = Gauge("dcmrelay_orphans", "What killed processes or a damaged disk left, at the last daily look.", ["kind"])
UNEXPLAINED = Gauge("dcmrelay_unexplained", "Findings of the last daily report that records do not explain.")
LATE = Gauge("dcmrelay_late", "Study parts that a route's accepted_within was too short for.", ["route"])
NOTICES = Counter(
    "dcmrelay_notices_total", "Messages to persons, by notifier and whether they were taken.", ["notifier", "outcome"]
)
NOTIFIER_FAILING = Gauge("dcmrelay_notifier_failing", "1 while a notifier's message waits to be taken.", ["notifier"])
UNREADABLE = Counter("dcmrelay_unreadable_messages_total", "Messages that could not be decoded, set aside.")
UNREADABLE_RECORDS = Gauge("dcmrelay_unreadable_records", "Unfinished units whose records a sweep cannot read.")
LEDGER_AVAILABLE = Gauge("dcmrelay_ledger_available", "1 while the ledger's database takes entries.")
LEDGER_ENTRIES = Counter("dcmrelay_ledger_entries_total", "Entries that this worker made in the ledger.")
LEDGER_CAUGHT_UP = Gauge(
    "dcmrelay_ledger_caught_up_timestamp_seconds", "When the ledger last had everything that the spool knows."
)
CONFIG_RELOAD_FAILED = Gauge(
    "dcmrelay_config_reload_failed", "1 while the configuration file is refused and the one before stays in force."
)
CONFIG_RELOADED = Gauge(
    "dcmrelay_config_reloaded_timestamp_seconds", "When the configuration in force came into force here."
)
WORKER_STARTS = Counter("dcmrelay_worker_starts_total", "Workers started or started again by `up`.", ["worker"])
WORKER_UP = Gauge("dcmrelay_worker_up", "1 while a worker started by `up` runs.", ["worker"])


# Which counters a worker can count, by the label that comes from the configuration; the other labels are closed sets.
_COUNTED: dict[str, tuple[tuple[Counter, str, dict[str, tuple[str, ...]]], ...]] = {
    "ingress": (
        (INSTANCES_RECEIVED, "source", {"outcome": ("stored", "A700", "A900", "C000")}),
        (BYTES_RECEIVED, "source", {}),
        (PARTS_COMPLETED, "source", {}),
        (COMMITMENTS, "source", {"outcome": ("asked", "refused")}),
    ),
    "router": ((PARTS_ROUTED, "route", {}), (CHECK_FAILURES, "check", {"outcome": ("held", "warned")})),
    "anonymizer": ((INSTANCES_RENDERED, "profile", {"outcome": ("made", "held", "dropped")}),),
    "sender": (
        (INSTANCES_SENT, "destination", {"outcome": ("delivered", "refused", "held", "transient", "unknown")}),
        (INSTANCES_TRANSCODED, "destination", {}),
        (BYTES_SENT, "destination", {}),
        (KEPT_NOTHING, "destination", {}),
        (DELIVERIES, "destination", {"outcome": ("delivered", "dropped", "dead_letter")}),
    ),
    "janitor": (
        (DELIVERIES, "destination", {"outcome": ("failed",)}),
        (COMMITMENTS, "source", {"outcome": ("committed", "partial", "unanswered")}),
        (NOTICES, "notifier", {"outcome": ("told", "failed")}),
    ),
}
# How things stand with something from the configuration; it does not stand so once that is gone.
_STANDING = (
    (WAITING, "destination"),
    (OLDEST_WAITING, "destination"),
    (OWNED, "destination"),
    (CIRCUIT_OPEN, "destination"),
    (LATE, "route"),
    (NOTIFIER_FAILING, "notifier"),
)
_STAGES = {"router": "route", "anonymizer": "render", "sender": "send"}


def begin(worker: str, names: Mapping[str, Iterable[str]]) -> None:
    """Make a worker's counters stand at 0 from the start, so that a rate does not miss the first event.

    Args:
        worker: its kind.
        names: by label, the configuration's names: `source`, `check`, `route`, `profile`, `destination`, `notifier`.
    """
    for counter, label, closed in _COUNTED.get(worker, ()):
        for name in names[label]:
            for values in product(*closed.values()):
                counter.labels(**{label: name, **dict(zip(closed, values, strict=True))})
    if worker in _STAGES:
        RETRIES.labels(stage=_STAGES[worker])
        for word in get_args(DeadLetterClass):
            DEAD_LETTERS.labels(**{"class": word})


def forget(before: Mapping[str, Iterable[str]], names: Mapping[str, Iterable[str]]) -> None:
    """Take away what is said of names that left the configuration; counters stay, as they must not go back.

    Args:
        before: as for `begin`, of the configuration that was in force.
        names: of the one that is.
    """
    for gauge, label in _STANDING:
        for name in set(before[label]) - set(names[label]):
            gauge.remove(name)


@contextmanager
def timed(histogram: Histogram) -> Iterator[None]:
    """Observe how long a block took, in seconds, also when it raises."""
    begun = perf_counter()
    try:
        yield
    finally:
        histogram.observe(perf_counter() - begun)


def serve(host: str, port: int) -> tuple[WSGIServer, int]:
    """Serve `/metrics` from a thread of its own.

    Args:
        host: address to listen on.
        port: 0 for a free one.

    Returns:
        The server, to shut down, and the port it got.
    """
    server, _ = start_http_server(port, host)
    return server, server.server_port


def value(name: str, **labels: str) -> float:
    """The current value of a sample, 0 when it was never touched; for tests and `status`."""
    return REGISTRY.get_sample_value(name, labels) or 0.0
