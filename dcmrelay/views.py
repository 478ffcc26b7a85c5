"""Facts of the spool as rows for a person. No I/O, no clock, no globals."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from dcmrelay.output import age
from dcmrelay.reading import Journey, waited
from producers.replay.choose import DeadLetter
from shared.spool.circuits import Circuit
from shared.spool.commitments import COMMIT
from shared.spool.pauses import Pause
from shared.spool.units import Unit

Row = dict[str, Any]
IDENTIFYING = ("patient_id", "accession_number", "study_date")
"""What tells whom a part is about; shown only to who asked for it."""
_ENDED = ("discarded", "handed_over", "redirected", "replaced", "corrected", "failed")
SHORT = 10
"""Characters of an id that a person is shown; a beginning is enough for every command."""
_SOON_FULL = timedelta(hours=12)


@dataclass(frozen=True, kw_only=True)
class Health:
    """What `status` looked at.

    Args:
        now: the time.
        ingress: where the ingress listens and answers; empty when it does not.
        broker: whether something answers at the broker's address.
        free: bytes free for the spool.
        min_free: below it nothing is accepted, bytes.
        unrouted: closed parts that are not routed, with their beginnings; without dead letters.
        receiving: parts still being received.
        deliveries: unfinished ones, without dead letters.
        letters: dead letters.
        owners: by destination, whether its owner lives; None when it cannot be seen.
        down: destinations that have kept something waiting for longer than their `alert_after`.
        full_in: when `min_free` is reached by the trend of the last hours; None when it is not.
        watched: parts at a candidate that fails and that is not left by itself.
        damaged: parts of stored files found damaged, one for each file.
        pauses: by destination, the pause in force.
        circuits: by destination, the circuit that is open.
        late: by route, parts that it did not have accepted in time, and since when.
        not_told: by notifier, why its last message was not taken.
    """

    now: datetime
    ingress: tuple[str, ...]
    broker: bool
    free: int
    min_free: int
    unrouted: int
    receiving: int
    deliveries: tuple[Unit, ...]
    letters: tuple[DeadLetter, ...]
    owners: Mapping[str, bool | None]
    down: frozenset[str] = frozenset()
    full_in: timedelta | None = None
    damaged: tuple[str, ...] = ()
    watched: tuple[Unit, ...] = ()
    pauses: Mapping[str, Pause] = field(default_factory=dict)
    circuits: Mapping[str, Circuit] = field(default_factory=dict)
    late: Mapping[str, Mapping[str, datetime]] = field(default_factory=dict)
    not_told: Mapping[str, str] = field(default_factory=dict)


def problems(health: Health) -> list[str]:
    """What a person is needed for, the most urgent first; each line ends with the command that helps."""
    waiting = waiting_rows(health)
    return [
        *_of_reception(health),
        *(f"{_of_letters(group)}: `dcmrelay dead list{_filter(*key)}`" for key, group in _grouped(health.letters)),
        *(f"{brief.state.reason}: `dcmrelay show {brief.id[:SHORT]}`" for brief in health.watched),
        *(line for row in waiting for line in _of_destination(row, health)),
        *(_of_late(route, parts) for route, parts in health.late.items()),
        *(f"nobody is told by {why}: `dcmrelay test --notify {name}`" for name, why in health.not_told.items()),
    ]


def _of_late(route: str, parts: Mapping[str, datetime]) -> str:
    first = min(parts, key=lambda part: parts[part])
    late = "1 study part" if len(parts) == 1 else f"{len(parts)} study parts"
    return f"{late} of route {route} not accepted within accepted_within: `dcmrelay show {first[:SHORT]}`"


def _of_reception(health: Health) -> Iterable[str]:
    if not health.ingress:
        yield "nothing is accepted, the ingress does not run: `dcmrelay up`"
    if health.free < health.min_free:
        yield (
            f"nothing is accepted, {health.free / 1e9:.1f} GB are free and ingress.min_free is "
            f"{health.min_free / 1e9:.1f} GB: make room, then `dcmrelay status`"
        )
    elif health.full_in is not None and health.full_in < _SOON_FULL:
        yield f"the disk is full in about {age(health.full_in)}, then nothing is accepted: `dcmrelay studies`"
    if health.damaged:
        files = counted(len(health.damaged), "stored file")
        yield (
            f"{files} damaged on disk, which is sent to nobody; check the disk, have the source send the study again: "
            f"`dcmrelay show {health.damaged[0][:SHORT]}`"
        )
    if not health.broker:
        yield "RabbitMQ does not answer, nothing is routed or sent until it does: `dcmrelay up`"


def _of_letters(group: list[DeadLetter]) -> str:
    first = group[0]
    what = f"{counted(len(group), 'dead letter')}, class {first.dead_letter_class}"
    where = f", for {first.destination}" if first.destination else ""
    if first.stage == COMMIT:
        where = f", {first.source} was not told what is safe"
    return f"{what}{where} ({first.reason})"


def _grouped(letters: Iterable[DeadLetter]) -> list[tuple[tuple[str, str, str], list[DeadLetter]]]:
    """By class, destination and, for requests for commitment, source."""
    groups: dict[tuple[str, str, str], list[DeadLetter]] = defaultdict(list)
    for letter in letters:
        source = letter.source if letter.stage == COMMIT else ""
        groups[letter.dead_letter_class, letter.destination, source].append(letter)
    return sorted(groups.items())


def _filter(dead_letter_class: str, destination: str, source: str) -> str:
    named = (("destination", destination), ("source", source))
    return f" --class {dead_letter_class}" + "".join(f" --{option} {name}" for option, name in named if name)


def _of_destination(row: Row, health: Health) -> Iterable[str]:
    name, pause = row["destination"], health.pauses.get(row["destination"])
    if pause is not None:
        if row["waiting"] and pause.until is None:
            yield f"{_deliveries(row['waiting'])} for {name}, {pause.sentence}: `dcmrelay resume {name}`"
    elif row["waiting"] and row["owner"] == "none":
        yield f"{_deliveries(row['waiting'])} for {name} and no sender runs for it: `dcmrelay up`"
    elif name in health.down:
        why = f" ({row['last_reason']})" if row["last_reason"] else ""
        yield f"{name} has kept a delivery waiting for longer than alert_after{why}: `dcmrelay test {name}`"


def waiting_rows(health: Health) -> list[Row]:
    """One row per destination: what waits for it, since when, why, and whether somebody sends."""
    by_destination: dict[str, list[Unit]] = {name: [] for name in health.owners}
    for brief in health.deliveries:
        by_destination.setdefault(brief.order["destination"], []).append(brief)
    return [_waiting_row(name, briefs, health) for name, briefs in by_destination.items()]


def _waiting_row(name: str, briefs: list[Unit], health: Health) -> Row:
    reasons = [brief.state for brief in briefs if brief.state.reason and not brief.state.by]
    alive = health.owners.get(name, False)
    return {
        "destination": name,
        "waiting": len(briefs),
        "working": sum(brief.state.status == "working" for brief in briefs),
        "oldest": max((waited(brief, health.now) for brief in briefs), default=timedelta(0)) if briefs else None,
        "owner": {True: "here", False: "none", None: "elsewhere"}[alive],
        "paused": health.pauses[name].sentence if name in health.pauses else "",
        "last_reason": max(reasons, key=lambda state: state.at).reason if reasons else "",
    }


def letter_row(letter: DeadLetter, now: datetime) -> Row:
    """A dead letter in a listing."""
    return {
        "id": letter.id[:SHORT],
        "class": letter.dead_letter_class,
        "destination": letter.destination or ("(commitment)" if letter.stage == COMMIT else "(not routed)"),
        "source": letter.source,
        "age": now - letter.since,
        "reason": letter.reason,
        "next": f"dcmrelay dead show {letter.id[:SHORT]}",
    }


def letter_facts(letter: DeadLetter) -> Row:
    """A dead letter for machines."""
    return {
        "id": letter.id,
        "part": letter.part,
        "class": letter.dead_letter_class,
        "stage": letter.stage,
        "destination": letter.destination,
        "source": letter.source,
        "since": letter.since,
        "reason": letter.reason,
    }


def part_state(journey: Journey) -> str:
    """One word for where a part is."""
    if journey.unit is None:
        return "being received" if journey.manifest is None else "closed"
    state = journey.unit.state
    if state.status == "final":
        return state.outcome
    if state.status != "held" and state.outcome:
        return state.outcome  # the router looks after its candidates
    return "dead letter" if state.status == "held" else "waits for the router"


def delivery_state(delivery: Row) -> str:
    """Where a delivery is, by its facts: `sending`, `delivered`, `delivered, 1 held: dead letter (policy)`."""
    there = delivery["delivered"]
    if delivery["state"] == "final":
        outcome = str(delivery["outcome"])
        return f"{there} delivered, the rest {outcome}" if there and outcome in _ENDED else outcome
    if delivery["state"] == "held":
        stopped = [f"{delivery[word]} {word}" for word in ("refused", "held") if delivery[word]]
        few = ", ".join(("delivered", *stopped) if there else stopped)
        letter = f"dead letter ({delivery['class']})"
        return f"{few}: {letter}" if few else letter
    if delivery["state"] == "working":
        rendering = "editing" if delivery.get("form") == "edited" else "de-identifying"
        return {"send": "sending", "verify": "verifying"}.get(delivery["stage"], rendering)
    tried = f", tried {delivery['tries']} times" if delivery["tries"] else ""
    return f"waiting{tried}" + (", urgent" if delivery.get("urgent") else "")


def study_row(facts: Row) -> Row:
    """A part in a listing, by its facts."""
    deliveries = (f"{delivery['destination']}: {delivery_state(delivery)}" for delivery in facts["deliveries"])
    return {**facts, "part": facts["part"][:SHORT], "deliveries": "; ".join(deliveries)}


def study_facts(journey: Journey) -> Row:
    """A part for machines."""
    return {
        "part": journey.part.id,
        "source": journey.part.source,
        "called": journey.part.called_ae_title,
        "opened": journey.part.opened_at,
        "instances": None if journey.manifest is None else len(journey.manifest.instances),
        "state": part_state(journey),
        "deliveries": [delivery_facts(unit) for unit, _ in journey.deliveries],
    }


def delivery_facts(unit: Any) -> Row:
    """A delivery for machines."""
    words = ("delivered", "refused", "held", "dropped", "elsewhere")
    counts = {word: len(unit.facts.get(word, {})) for word in words}
    return {
        "id": unit.id,
        "destination": unit.order["destination"],
        "route": unit.order.get("route", ""),
        "form": unit.order.get("form", {}).get("kind", ""),
        "profile": unit.order.get("form", {}).get("profile", ""),
        "optional": unit.order.get("optional", False),
        "state": unit.state.status,
        "stage": unit.state.stage,
        "outcome": unit.state.outcome,
        "class": unit.state.dead_letter_class,
        "reason": unit.state.reason,
        "by": unit.state.by,
        "tries": unit.state.tries,
        "due": unit.state.due,
        "at": unit.state.at,
        "urgent": unit.state.urgent,
        **counts,
    }


def counted(count: int, thing: str, things: str = "") -> str:
    """So many of a thing: `1 instance`, `2 instances`."""
    return f"{count} {thing if count == 1 else things or thing + 's'}"


def _deliveries(count: int) -> str:
    return "1 delivery waits" if count == 1 else f"{count} deliveries wait"
