"""Rows of the Overview below the fold: each destination, the workers, the broker."""

from grafana_foundation_sdk.models import units

from ops.grafana.panels import PER_MINUTE, PER_SECOND, AnyPanel, Query, lines
from ops.grafana.queries import (
    destination_outcomes,
    destination_rate,
    of_destinations,
    rate_by,
    seconds,
    seconds_by,
    total_rate,
)


def destinations() -> tuple[AnyPanel, ...]:
    """What each destination answers."""
    return (
        lines(
            "Instances answered, by outcome",
            "What the destination answered to C-STORE. Refusals: `dcmrelay dead list` quotes the status. Transcoded: "
            "taken in another transfer syntax than it is stored in. Not kept: it answered success, and C-FIND "
            "(`verify`) does not find them there: call its people.",
            Query(destination_outcomes("dcmrelay_instances_sent_total"), "{{destination}}: {{outcome}}"),
            Query(destination_rate("dcmrelay_instances_transcoded_total"), "{{destination}}: transcoded"),
            Query(destination_rate("dcmrelay_not_kept_total"), "{{destination}}: not kept"),
            unit=PER_SECOND,
        ),
        lines(
            "Bytes taken",
            "Data set bytes that the destination answered with success.",
            Query(destination_rate("dcmrelay_sent_bytes_total"), "{{destination}}"),
            unit=units.BytesPerSecondSI,
        ),
        lines(
            "Deliveries settled, by outcome",
            "Deliveries that became final or a dead letter.",
            Query(destination_outcomes("dcmrelay_deliveries_total", per=60), "{{destination}}: {{outcome}}"),
            unit=PER_MINUTE,
        ),
        lines(
            "Tries that will be repeated, by stage",
            "`send`: a destination is away or refuses for now; `route`, `render`: the relay's own disk or code, see "
            "the log.",
            Query(rate_by("dcmrelay_retries_total", "stage", per=60), "{{stage}}"),
            unit=PER_MINUTE,
        ),
        lines(
            "New dead letters, by class",
            "Unreachable: tried until `give_up`. Refused: by the destination. Invalid: the data. Policy: no route, "
            "or a form that may not go there. Bug: ours.",
            Query(rate_by("dcmrelay_dead_letters_total", "class", per=60), "{{class}}"),
            unit=PER_MINUTE,
        ),
        lines(
            "Handed over, by route",
            "Studies left for the next service of their route, and the service that they left. `dcmrelay status` names "
            "what each has in part; call its people: it must discard that.",
            Query(
                rate_by("dcmrelay_studies_handed_over_total", "route, destination", per=60),
                "{{route}}: {{destination}}",
            ),
            unit=PER_MINUTE,
        ),
        lines(
            "Owned by a sender, circuit open",
            "Owned 1: one sender process works for the destination; 0 for longer than a minute: none runs for it. "
            "Circuit open 1: it takes nothing, and only a probe goes out now and then; call its people.",
            Query(
                f"{of_destinations('dcmrelay_destination_owned')} or 0 * {of_destinations('dcmrelay_waiting')}",
                "{{destination}} owned",
            ),
            Query(
                f"{of_destinations('dcmrelay_circuit_open')} or 0 * {of_destinations('dcmrelay_waiting')}",
                "{{destination}} circuit open",
            ),
        ),
    )


def workers() -> tuple[AnyPanel, ...]:
    """How long the work takes, and what went wrong in it."""
    return (
        lines(
            "Time for one step",
            "Time a handler took for one unit or slice, by stage; 0 while there was nothing to do.",
            Query(seconds_by("dcmrelay_step_seconds", "stage", 0.5), "{{stage}} median"),
            Query(seconds_by("dcmrelay_step_seconds", "stage", 0.95), "{{stage}} 95 %"),
            unit=units.Seconds,
        ),
        lines(
            "Time to store, at the ingress",
            "From the last fragment of an instance to the response. Over 0.5 s modalities feel it: the spool's disk "
            "is slow.",
            Query(seconds("dcmrelay_store_seconds", 0.5), "median"),
            Query(seconds("dcmrelay_store_seconds", 0.95), "95 %"),
            unit=units.Seconds,
        ),
        lines(
            "Time of a sweep",
            "The sweep looks at all unfinished work, at least every 60 s. Longer than that: too much is unfinished, "
            "or the disk is slow.",
            Query(seconds("dcmrelay_sweep_seconds", 0.95), "95 %"),
            unit=units.Seconds,
        ),
        lines(
            "Bells rung again by the sweep, by stage",
            "Work whose message was lost or whose worker died, found in the spool. Now and then is what the sweep "
            "is for; without end: workers die at something, see their logs.",
            Query(rate_by("dcmrelay_sweep_rung_total", "stage", per=60), "{{stage}}"),
            unit=PER_MINUTE,
        ),
        lines(
            "Entries in the ledger",
            "What happened, entered; none while nothing happens. `dcmrelay ledger log` lists them.",
            Query(total_rate("dcmrelay_ledger_entries_total", per=60), "entries"),
            unit=PER_MINUTE,
        ),
        lines(
            "Since the ledger had everything",
            "Up to a minute is usual. Rising: its database is away, locked or full, see its log. Studies go on, and "
            "it catches up by itself.",
            Query("time() - max(dcmrelay_ledger_caught_up_timestamp_seconds)", "behind"),
            unit=units.Seconds,
        ),
        lines(
            "Since the configuration was taken anew",
            "Falls to nothing at each start and each change. Two workers apart for longer than a minute: their files "
            "differ, or one refuses its file; `dcmrelay status` says why.",
            Query("time() - dcmrelay_config_reloaded_timestamp_seconds", "{{worker}}"),
            unit=units.Seconds,
        ),
        lines(
            "Associations at the ingress, by how they ended",
            "Refusals come from callers that no [[source]] names, or from limits; the ingress' log says which.",
            Query(rate_by("dcmrelay_associations_total", "outcome", per=60), "{{outcome}}"),
            unit=PER_MINUTE,
        ),
        lines(
            "Parts that failed a check",
            "By check, and whether they wait as a dead letter (`held`) or went on (`warned`). `dcmrelay dead list` "
            "names the element.",
            Query(rate_by("dcmrelay_check_failures_total", "check, outcome", per=60), "{{check}}: {{outcome}}"),
            unit=PER_MINUTE,
        ),
        lines(
            "Storage commitment, by outcome",
            "What modalities asked to be committed, and what became of it. Failures: `dcmrelay status` says what "
            "the archive lacks.",
            Query(rate_by("dcmrelay_commitments_total", "source, outcome", per=60), "{{source}}: {{outcome}}"),
            unit=PER_MINUTE,
        ),
        lines(
            "Messages to persons",
            "Mails, webhooks and commands of `[[notify]]`, by whether they were taken. Failed ones are tried again; "
            "`dcmrelay test --notify NAME` tries one now.",
            Query(rate_by("dcmrelay_notices_total", "notifier, outcome", per=60), "{{notifier}}: {{outcome}}"),
            unit=PER_MINUTE,
        ),
        lines(
            "Started again, in the last hour",
            "Workers that `dcmrelay up` had to start again; under docker-compose the engine counts them (`docker "
            "compose ps`). Many: one ends again and again, and its log says why.",
            Query(
                "sum by (worker) (increase(dcmrelay_worker_starts_total[1h])) "
                'or on() label_replace(vector(0), "worker", "none by `up`", "", "")',
                "{{worker}}",
            ),
        ),
    )


def broker() -> tuple[AnyPanel, ...]:
    """How RabbitMQ is."""
    queue = 'queue=~"dcmrelay[.].*"'
    absent = "Empty when the broker is not the relay's own and Prometheus does not know it."
    return (
        lines(
            "Bells that wait, by queue",
            "Not the truth of what waits (that is the spool, above); a queue that only grows has no consumer. "
            f"{absent}",
            Query(f"sum by (queue) (rabbitmq_detailed_queue_messages_ready{{{queue}}})", "{{queue}}"),
        ),
        lines(
            "Bells in work, by queue",
            f"Taken by a worker and not acknowledged yet. {absent}",
            Query(f"sum by (queue) (rabbitmq_detailed_queue_messages_unacked{{{queue}}})", "{{queue}}"),
        ),
        lines(
            "Connections and channels",
            f"Each worker has one connection. {absent}",
            Query("sum(rabbitmq_connections)", "connections"),
            Query("sum(rabbitmq_channels)", "channels"),
        ),
        lines(
            "Alarms",
            f"1: the broker takes no messages until memory or disk is free again. Receiving goes on. {absent}",
            Query("max(rabbitmq_alarms_memory_used_watermark)", "memory"),
            Query("max(rabbitmq_alarms_free_disk_space_watermark)", "disk"),
        ),
        lines(
            "Memory",
            f"At the limit the memory alarm is raised. {absent}",
            Query("max(rabbitmq_process_resident_memory_bytes)", "used"),
            Query("max(rabbitmq_resident_memory_limit_bytes)", "limit"),
            unit=units.BytesIEC,
        ),
        lines(
            "Disk",
            f"At the limit the disk alarm is raised. {absent}",
            Query("min(rabbitmq_disk_space_available_bytes)", "free"),
            Query("max(rabbitmq_disk_space_available_limit_bytes)", "limit"),
            unit=units.BytesSI,
        ),
    )
