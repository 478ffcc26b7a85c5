"""`dcmrelay test --source`: an image of nobody goes the whole way through a running relay, watched in the spool."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from pydicom import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from dcmrelay.handing import target_of
from dcmrelay.sending import NotSent, Ready, Sent, Target, examine, is_taken, meaning, send
from dcmrelay.testing import Step
from dcmrelay.trial_instance import trial_instance
from dcmrelay.views import SHORT, delivery_facts, delivery_state
from shared.config import Config
from shared.forms import Form
from shared.spool.parts import active_parts, decided_deliveries, read_part
from shared.spool.spool import Spool
from shared.spool.states import State
from shared.spool.units import Unit
from shared.spool.volume import attach

T = TypeVar("T")
PATIENCE = timedelta(minutes=2)
_LOOK_SECONDS = 0.25


def way(config: Config, source: str, patience: timedelta = PATIENCE) -> Iterator[Step]:
    """What becomes of a CT image of nobody that a source sends now: a new study each time, by the routes as they are.

    Args:
        config: in force.
        source: its name.
        patience: how long each stage may take, beside the time in which a part closes.

    Raises:
        StartError: there is no such source, it can come by TLS only, or the relay has no data folder yet.
    """
    spool, target = attach(config), target_of(config, source)
    ds = trial_instance(config.relay.ae_title, f"{source} {datetime.now(UTC).isoformat()}", CTImageStorage)
    outcome = _handed(target, ds)
    if isinstance(outcome, NotSent):
        yield Step("ingress", False, outcome.why)
        return
    yield Step("ingress", is_taken(outcome.status), f"answered {target.calling_ae_title} {meaning(outcome.status)}")
    if is_taken(outcome.status):
        yield from followed(spool, str(ds.StudyInstanceUID), patience)


def _handed(target: Target, ds: Dataset) -> Sent | NotSent:
    ds.ensure_file_meta()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    outcomes: list[Sent | NotSent] = []
    with TemporaryDirectory() as folder:
        path = Path(folder) / "image.dcm"
        ds.save_as(path, enforce_file_format=True)
        ready = examine(path, named=True)
        assert isinstance(ready, Ready)  # noqa: S101  (it was made here)
        send(target, [ready], outcomes.append)
    return outcomes[0]


def followed(spool: Spool, study: str, patience: timedelta) -> Iterator[Step]:
    """What becomes of a study that was just taken, from its part to its destinations, unless it is not routed."""
    part = _until(lambda: _part_of(spool, study), patience)
    if part is None:
        yield Step("part", False, "it is not in the spool of this configuration; is another relay listening there?")
        return
    look = f"`dcmrelay show {part[:SHORT]}`"
    closed = _until(lambda: spool.parts.newest(part), patience + timedelta(minutes=2))
    if closed is None:
        yield Step("part", False, f"{part[:SHORT]} is still open; its source's quiet may be long: {look}")
        return
    yield Step("part", True, f"{part[:SHORT]} is closed")
    state = _until(lambda: _decided(spool, part), patience)
    if state is None or state.status == "held":
        why = "no router decided it; does one run, and RabbitMQ?" if state is None else state.reason
        yield Step("route", False, f"{why}: {look}")
        return
    routes = (spool.read_json(f"parts/{part}/decision.json") or {}).get("routes", ())
    yield Step("route", True, ", ".join(routes))
    for delivery in decided_deliveries(spool, part) or ():
        yield _delivered(spool, delivery, patience)


def _delivered(spool: Spool, delivery: str, patience: timedelta) -> Step:
    _until(lambda: _is_over(spool.deliveries.load(delivery), spool.now() + patience), patience)
    unit = spool.deliveries.load(delivery)
    if unit is None:
        return Step(delivery[:SHORT], False, f"it was not made; `dcmrelay show {delivery[:SHORT]}`")
    state, name = unit.state, str(unit.order["destination"])
    is_there = state.status == "final" and state.outcome == "delivered"
    due = f", not before {state.due.astimezone():%Y-%m-%d %H:%M:%S}" if state.status == "waiting" and state.due else ""
    reason = f" ({state.reason})" if state.reason and not is_there else ""
    after = "" if is_there else f": `dcmrelay test {name}`"
    said = f"{Form(**unit.order['form']).label}, {delivery_state(delivery_facts(unit))}{due}{reason}{after}"
    return Step(name, is_there, said)


def _is_over(unit: Unit | None, latest: datetime) -> bool:
    """Whether waiting longer tells nothing: it is final, a person is needed, or it is put off until much later."""
    if unit is None:
        return False
    due = unit.state.due
    return unit.state.status in ("final", "held") or (unit.state.status == "waiting" and bool(due and due > latest))


def _part_of(spool: Spool, study: str) -> str:
    found = (part for part in active_parts(spool) if (it := read_part(spool, part)) and it.study_instance_uid == study)
    return next(found, "")


def _decided(spool: Spool, part: str) -> State | None:
    state = spool.parts.newest(part)
    return state if state is not None and (state.status in ("final", "held") or state.outcome) else None


def _until(fact: Callable[[], T], patience: timedelta) -> T | None:
    """The first value of a fact that is true; None when its time is up."""
    deadline = time.monotonic() + patience.total_seconds()
    while not (value := fact()):
        if time.monotonic() > deadline:
            return None
        time.sleep(_LOOK_SECONDS)
    return value
