"""One study's story, line by line, from its records. No I/O, no clock, no globals."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby, pairwise
from typing import Any

from dcmrelay.reading import Journey
from dcmrelay.views import SHORT, Row, counted, delivery_facts, study_facts
from producers.replay.show import deed
from shared.forms import Form
from shared.spool.deliveries import ordered_of
from shared.spool.removal import REMOVED
from shared.spool.states import HAND_OVER, State
from shared.spool.units import Unit

_AGAIN = "; again at "
_WORDS = ("delivered", "refused", "held", "dropped", "elsewhere")


def story(journey: Journey) -> list[Row]:
    """Rows with `when`, `what` and `detail`, in the order of time for the part, then for each delivery."""
    return [
        *_received(journey),
        *(row for state in journey.history for row in _of_part(state, journey)),
        *(row for unit, history in journey.deliveries for row in _of_delivery(unit, history)),
    ]


def _received(journey: Journey) -> Iterator[Row]:
    part = journey.part
    late = f", missed the closing of {part.late_of[:SHORT]}" if part.late_of else ""
    yield _row(
        part.opened_at, "received", f"from {part.source} ({part.calling_ae_title}) to {part.called_ae_title}{late}"
    )


def _of_part(state: State, journey: Journey) -> Iterator[Row]:
    if state.n == 0 and journey.manifest is not None:
        yield _row(state.at, "closed", _contents(journey))
    if state.outcome == REMOVED:
        yield _row(state.at, "removal begun", "everything is final, and [spool] retention is over or the disk is short")
    elif state.status in ("final", "waiting") and state.outcome == "routed" and not state.by:
        first = next(it for it in journey.history if it.outcome == "routed")
        if state is first:  # the router sees the part again when a person ordered more of it
            yield _row(state.at, "routed", _decided(journey.decision or {}))
            yield from (_row(state.at, "warned", it) for it in _warned(journey.decision or {}))
        elif state.reason and state.reason not in {it.reason for it in journey.history if it.n < state.n}:
            yield _row(state.at, "watched", state.reason)
    elif state.n > 0 or state.status == "final":
        yield from _turn(state)


def _contents(journey: Journey) -> str:
    if journey.manifest is None:
        return ""
    size = sum(instance.size for instance in journey.manifest.instances)
    twice = len(journey.manifest.duplicates)
    duplicates = f", {counted(twice, 'duplicate')} of an unfinished part left out" if twice else ""
    return f"{counted(len(journey.manifest.instances), 'instance')}, {size / 1e6:.2f} MB{duplicates}"


def _decided(decision: Mapping[str, Any]) -> str:
    deliveries = decision.get("deliveries", ())
    where = ", ".join(f"{delivery['destination']} ({_form(delivery)})" for delivery in deliveries)
    why = "".join(f"; {route}: {why}" for route, why in decision.get("why", {}).items())
    return f"by {', '.join(decision.get('routes', ()))} to {where or 'nobody'}{why}"


def _warned(decision: Mapping[str, Any]) -> Iterator[str]:
    """What the part failed of the checks that only warn."""
    for it in decision.get("warned", ()):
        yield f"check '{it['check']}': {it['element']} {it['what']} in {it['instances']} of the instances"


def _of_delivery(unit: Unit, history: tuple[State, ...]) -> Iterator[Row]:
    order, first = unit.order, history[0]
    marks = "".join(f", {word}" for word in ("optional", "addendum") if order.get(word))
    name = f"{order['destination']}: "
    yield _row(first.at, f"{name}ordered", f"{unit.id[:SHORT]}, route {order.get('route', '')}, {_form(order)}{marks}")
    made = "edited" if order.get("form", {}).get("kind") == "edited" else "de-identified"
    rows = list(_tries_together(row for before, state in pairwise(history) for row in _turn(state, before, made)))
    counts = _counts(unit.facts)
    if rows and counts and unit.state.status in ("held", "final"):
        last = rows.pop()
        rows.append({**last, "detail": "; ".join(filter(None, (last["detail"], counts)))})
    elif counts:
        rows.append(_row(unit.state.at, "so far", counts))
    yield from ({**row, "what": name + row["what"]} for row in rows)


def _turn(state: State, before: State | None = None, made: str = "") -> Iterator[Row]:
    """What a record says that a person wants to know; claims and slices are not told one by one.

    Args:
        state: the record.
        before: the one before.
        made: what the anonymizer does to a delivery, done.
    """
    if state.by:
        ordered = [f"{it.order.destination} ({it.order.form.label})" for it in ordered_of(state.facts).values()]
        detail = "; ".join(filter(None, (f"to {', '.join(ordered)}" if ordered else "", state.reason)))
        due = f"; not before {state.due.astimezone():%Y-%m-%d %H:%M:%S}" if state.due else ""
        yield _row(state.at, f"{deed(state)} by {state.by}", detail + due)
    elif state.facts.get("paused") or state.facts.get("put_off"):
        yield _row(state.at, "waits", state.reason)
    elif state.status == "held":
        yield _row(state.at, f"dead letter, class {state.dead_letter_class}", state.reason)
    elif state.status == "waiting" and state.tries:
        due = f"{_AGAIN}{state.due.astimezone():%H:%M:%S}" if state.due else ""
        yield _row(state.at, f"try {state.tries} failed", f"{state.reason}{due}")
    elif HAND_OVER in (state.stage, before.stage if before else "") and state.status == "waiting":
        return  # the router looked whether another candidate gets the study
    elif state.status == "waiting" and before is not None and state.stage != before.stage:
        yield _row(state.at, made if before.stage == "render" else f"next: {state.stage}", "")
    elif state.status == "final":
        to = f" to {state.facts['moved_to']}" if "moved_to" in state.facts else ""
        yield _row(state.at, state.outcome.replace("_", " ") + to, state.reason)


def _tries_together(rows: Iterable[Row]) -> Iterator[Row]:
    """Tries that failed alike, one after the other, in one row: an hour away is not sixty lines."""
    for (is_try, _), group in groupby(rows, _kind_of):
        same = list(group)
        first, last = same[0], same[-1]
        if not is_try or len(same) == 1:
            yield from same
            continue
        numbers = (it["what"].split(" ")[1] for it in (first, last))
        reason, _, again = last["detail"].partition(_AGAIN)
        until = f"; the last at {last['when'].astimezone():%H:%M:%S}" + (f"{_AGAIN}{again}" if again else "")
        tries = " to ".join(dict.fromkeys(numbers))  # counted anew after a replay
        yield _row(first["when"], f"{'tries' if ' ' in tries else 'try'} {tries} failed", reason + until)


def _kind_of(row: Row) -> tuple[bool, str]:
    return row["what"].startswith("try "), row["detail"].partition(_AGAIN)[0]


def _counts(facts: Mapping[str, Any]) -> str:
    """Instances by what became of them, with statuses and reasons."""
    return "; ".join(f"{len(facts[word])} {word} ({_values(facts[word])})" for word in _WORDS if facts.get(word))


def _values(outcomes: Mapping[str, Any]) -> str:
    """The most frequent values, such as `0000 × 299, B000 × 1`."""
    counted = Counter(str(value) for value in outcomes.values()).most_common(4)
    return ", ".join(f"{value} × {count}" for value, count in counted)


def _form(order: Mapping[str, Any]) -> str:
    return Form(**order["form"]).label if order.get("form") else ""


def _row(when: Any, what: str, detail: str) -> Row:
    return {"when": when, "what": what, "detail": detail}


def facts(journey: Journey) -> Row:
    """A study's story for machines: the part, its deliveries, and their records."""
    return {
        **study_facts(journey),
        "study_instance_uid": journey.part.study_instance_uid,
        "deliveries": [
            {**delivery_facts(unit), "facts": unit.facts, "records": [_record(state) for state in history]}
            for unit, history in journey.deliveries
        ],
        "records": [_record(state) for state in journey.history],
        "story": story(journey),
    }


def _record(state: State) -> Row:
    shown = ("n", "at", "stage", "status", "due", "tries", "faults", "reason", "dead_letter_class", "outcome", "by")
    return {key: getattr(state, key) for key in shown if getattr(state, key) not in (None, "")}
