"""Writes dashboards/overview.json: is the relay well, and if not, who or what holds it up.

python -m ops.grafana.overview            after a change here; commit both
python -m ops.grafana.overview --print    to standard output
"""

import sys
from pathlib import Path

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from ops.grafana.details import broker, destinations, workers
from ops.grafana.panels import (
    ACT,
    GOOD,
    LOOK,
    ONE_IS_GOOD,
    PER_MINUTE,
    PER_SECOND,
    SOURCE,
    AnyPanel,
    Query,
    lines,
    stats,
    text_of,
)
from ops.grafana.queries import (
    of_destinations,
    running,
    total_rate,
)

FILE = Path(__file__).parent / "dashboards" / "overview.json"
KINDS = ("ingress", "router", "anonymizer", "janitor", "ledger", "sender")
GB = 10**9


def overview() -> dashboard.Dashboard:
    """Return the Overview dashboard. No I/O."""
    board = dashboard.Dashboard("dcmrelay: overview").uid("dcmrelay-overview").tags(["dcmrelay"]).readonly()
    board.description("Top row first: red there needs a person. `dcmrelay status` says the same in words.")
    board.time("now-6h", "now").refresh("30s").timezone("browser").tooltip(DashboardCursorSync.CROSSHAIR)
    board.with_variable(_destination_variable())
    for title, panels in (
        ("Needs a person", _needs_a_person()),
        ("Studies flowing", _studies_flowing()),
        ("Spool", _spool()),
        ("Destinations", destinations()),
        ("Workers", workers()),
        ("Broker", broker()),
    ):
        board.with_row(dashboard.Row(title))
        for panel in panels:
            board.with_panel(panel)
    return board


def _needs_a_person() -> tuple[AnyPanel, ...]:
    return (
        stats(
            "Dead letters",
            "Studies and deliveries that wait for you, by class. `dcmrelay dead list` names them with the reason "
            "and what to do. Nothing is lost: they stay in the spool until you replay or discard them.",
            Query("max by (class) (dcmrelay_dead_letters_now)", "{{class}}"),
            width=6,
        ),
        stats(
            "Oldest waiting, by destination",
            "How long the oldest delivery has been waiting. Orange: 15 minutes, red: an hour. Ask the destination's "
            "people whether it is up, then `dcmrelay echo DESTINATION`. The relay goes on trying by itself.",
            Query("max by (destination) (dcmrelay_oldest_waiting_seconds)", "{{destination}}"),
            width=5,
            unit=units.Seconds,
            steps=((None, GOOD), (15 * 60, LOOK), (60 * 60, ACT)),
        ),
        stats(
            "Free in the spool",
            "Below `[ingress] min_free` (10 GB unless you set it) modalities are refused. A destination that is "
            "down fills the spool: look at what waits. Never delete files in it; make the volume larger or free "
            "others' files.",
            Query('min(dcmrelay_spool_free_bytes{worker="janitor"})', "free"),
            width=3,
            unit=units.BytesSI,
            steps=((None, ACT), (10 * GB, LOOK), (50 * GB, GOOD)),
        ),
        stats(
            "Workers that answer",
            "0: no worker of that kind answers. Studies stay safe, but go no further than it. Start it again "
            "(`docker compose up --detach`, or `dcmrelay up`); if it ends at once, its log says why in one line.",
            running(KINDS),
            width=5,
            steps=ONE_IS_GOOD,
        ),
        _cut_off(),
    )


def _cut_off() -> AnyPanel:
    return stats(
        "Cut off",
        "Workers that do not answer or have no broker; whether the broker answers; its alarms for memory and disk, "
        "in which it takes no messages. Studies are still accepted into the spool; the sweep rings again when the "
        "broker is back. Records that cannot be read point to a damaged disk: `dcmrelay status`. Foreign messages, "
        "in the last hour, were not written by a relay of this version: who else uses this broker? Ledger away: "
        "nothing waits for it, it catches up; its log names the database's error. Damaged files: check the disk, have "
        "the source send again. Unexplained: `dcmrelay reconcile` names what. Late: parts that a route's "
        "`accepted_within` was too short for. Mute: a `[[notify]]` whose message nobody takes.",
        Query('count(up{job="dcmrelay"} == 0) or vector(0)', "no answer"),
        Query("count(dcmrelay_broker_connected == 0) or vector(0)", "no broker"),
        Query('1 - max(up{job="rabbitmq"})', "broker silent"),
        Query(
            "sum(rabbitmq_alarms_memory_used_watermark + rabbitmq_alarms_free_disk_space_watermark)", "broker alarms"
        ),
        Query('max(dcmrelay_unreadable_records{worker="janitor"})', "unreadable records"),
        Query("sum(increase(dcmrelay_unreadable_messages_total[1h]))", "foreign messages"),
        Query('1 - max(dcmrelay_ledger_available{worker="ledger"})', "ledger away"),
        Query('max(dcmrelay_damaged_files{worker="janitor"})', "damaged files"),
        Query('max(dcmrelay_unexplained{worker="janitor"})', "unexplained"),
        Query('sum(max by (route) (dcmrelay_late{worker="janitor"})) or vector(0)', "late"),
        Query('sum(max by (notifier) (dcmrelay_notifier_failing{worker="janitor"})) or vector(0)', "mute"),
        Query("max(dcmrelay_config_reload_failed) or vector(0)", "configuration refused"),
        width=5,
    )


def _studies_flowing() -> tuple[AnyPanel, ...]:
    return (
        lines(
            "Instances",
            "Received at the ingress, de-identified, answered by destinations. Received without sent for long: look "
            "at what waits, below. Nothing received in working hours: let a modality send a C-ECHO.",
            Query(total_rate("dcmrelay_instances_received_total"), "received"),
            Query(total_rate("dcmrelay_instances_rendered_total"), "de-identified"),
            Query(total_rate("dcmrelay_instances_sent_total"), "sent"),
            unit=PER_SECOND,
        ),
        lines(
            "Study parts",
            "Closed after the sender went quiet, routed (once for each route that wanted them), and settled "
            "deliveries.",
            Query(total_rate("dcmrelay_parts_completed_total", per=60), "completed"),
            Query(total_rate("dcmrelay_parts_routed_total", per=60), "routed"),
            Query(total_rate("dcmrelay_deliveries_total", per=60), "delivered or given up"),
            unit=PER_MINUTE,
        ),
        lines(
            "Bytes",
            "Data set bytes taken with success, on both sides.",
            Query(total_rate("dcmrelay_received_bytes_total"), "received"),
            Query(total_rate("dcmrelay_sent_bytes_total"), "sent"),
            unit=units.BytesPerSecondSI,
        ),
        lines(
            "Waiting, by destination",
            "Deliveries that are neither final nor dead letters. It rises while a destination is down or slow and "
            "falls by itself afterwards; one that only rises needs its people.",
            Query(of_destinations("dcmrelay_waiting"), "{{destination}}"),
        ),
        lines(
            "Oldest waiting, by destination",
            "Age of the oldest delivery. A straight rising line: nothing gets through to that destination.",
            Query(of_destinations("dcmrelay_oldest_waiting_seconds"), "{{destination}}"),
            unit=units.Seconds,
        ),
        lines(
            "On the way in",
            "Associations and study parts that are open, and closed parts that no router has taken yet. The last "
            "one rising: look at the router.",
            Query("sum(dcmrelay_associations_open)", "associations open"),
            Query("sum(dcmrelay_parts_open)", "parts open"),
            Query('max(dcmrelay_parts_waiting{worker="janitor"})', "parts waiting for the router"),
        ),
    )


def _spool() -> tuple[AnyPanel, ...]:
    return (
        lines(
            "Full in",
            "When `[ingress] min_free` is reached and modalities are refused, by the trend of the last three hours; "
            "30 days while it hardly fills. Under a day: look at what waits, make the volume larger.",
            Query('clamp_max(min(dcmrelay_spool_full_in_seconds{worker="janitor"}), 30 * 86400)', "full in"),
            unit=units.Seconds,
            width=6,
        ),
        lines(
            "Filling, and read again",
            "How fast the disk fills (below 0: it empties), and how fast stored bytes are read again to find what was "
            "damaged on disk; `[spool] scrub_rate` bounds it.",
            Query('max(dcmrelay_spool_filling_bytes_per_second{worker="janitor"})', "filling"),
            Query(total_rate("dcmrelay_scrubbed_bytes_total"), "read again"),
            unit=units.BytesPerSecondSI,
            width=6,
        ),
        lines(
            "Held for optional copies",
            "Bytes that only optional destinations still want. Beyond `[spool] optional_max` of the disk the oldest "
            "are given up as failed, so that they keep no study out.",
            Query('max(dcmrelay_optional_held_bytes{worker="janitor"})', "held"),
            unit=units.BytesSI,
            width=6,
        ),
        lines(
            "Orphans",
            "What killed processes left, at the last daily look; cleared when that is safe. `folder` is not: a person "
            "has to look at it, the janitor's log names it.",
            Query('max by (kind) (dcmrelay_orphans{worker="janitor"})', "{{kind}}"),
            width=6,
        ),
    )


def _destination_variable() -> dashboard.QueryVariable:
    variable = dashboard.QueryVariable("destination").label("Destination").datasource(SOURCE)
    variable.query("label_values(dcmrelay_waiting, destination)").refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
    variable.sort(VariableSort.ALPHABETICAL_ASC).multi(True).include_all(True).all_value(".*")
    return variable.current(VariableOption(selected=True, text=["All"], value=["$__all"]))


def main() -> None:
    """Write the file, or print it."""
    text = text_of(overview())
    if sys.argv[1:] == ["--print"]:
        sys.stdout.write(text)
    else:
        FILE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
