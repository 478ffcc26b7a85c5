"""What the demo tells: what runs, what was sent, the journey, what arrived where, and what was changed on the way."""

import hashlib
import sys
from collections.abc import Iterable
from datetime import datetime
from itertools import chain
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset

from dcmrelay.output import say, table
from dcmrelay.reading import Journey
from dcmrelay.views import Row, counted
from shared.config import Config
from shared.forms import Form
from shared.headers import read_meta
from shared.spool.parts import Instance
from shared.spool.renditions import chunks, read_proofs
from shared.spool.spool import Spool
from shared.spool.states import State
from shared.spool.units import Unit

_COMPARED = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "StudyDate",
    "InstitutionName",
    "StudyInstanceUID",
    "Modality",
    "PatientIdentityRemoved",
)


def introduce(config: Config, config_path: Path) -> None:
    """Say what is there."""
    say("dcmrelay demo: one modality, one relay, two receivers, all on this machine.\n")
    say(f"  modality --> relay ({config.relay.ae_title}, {config.ingress.listen[0]})")
    for destination in config.destinations:
        form = "de-identified" if destination.deidentified_only else "as received"
        say(f"                 |--> {destination.name:8} {form:14} (storescp, port {destination.port})")
    say(f"\nIts configuration, to read and to copy from: {config_path}")


def sent(files: list[Path]) -> None:
    """Say what is sent."""
    studies = {str(dcmread(path, specific_tags=["StudyInstanceUID"]).StudyInstanceUID) for path in files}
    _heading("1. Sent")
    say(
        f"{counted(len(studies), 'study', 'studies')}, {counted(len(files), 'file')} of public test data, with C-STORE:"
    )


def explain(journeys: list[Journey], spool: Spool, folder: Path) -> int:
    """Tell the whole story; returns 1 when something that should have arrived did not."""
    received = {name: _by_instance(folder / "received" / name) for name in ("archive", "reading")}
    _heading("2. The journey, in seconds after the first instance was received")
    table(list(_travel(journeys[0])), [_travel(journey) for journey in journeys])
    _heading("3. What arrived")
    missing = sum([_arrival(name, journeys, spool, received[name]) for name in received])
    _heading("4. What was changed on the way (one instance of each study)")
    for journey in journeys:
        _compare(journey, spool, received)
    _look_further(folder, journeys)
    return int(missing > 0)


def _travel(journey: Journey) -> Row:
    begun = journey.part.opened_at
    row: Row = {
        "part": journey.part.id[:10],
        "instances": len(_sent(journey)),
        "received": f"{begun.astimezone():%H:%M:%S}",
    }
    row["complete"] = _after(begun, journey.history[:1])
    row["routed"] = _after(begun, journey.history[-1:])
    for unit, history in journey.deliveries:
        if unit.order["form"]["kind"] == "deidentified":
            row[f"{unit.order['destination']}: de-identified"] = _after(begun, _first_at("send", history))
        delivered = _after(begun, history[-1:]) if unit.state.outcome == "delivered" else unit.state.status
        row[f"{unit.order['destination']}: delivered"] = delivered
    return row


def _after(begun: datetime, states: Iterable[State]) -> str:
    return next((f"{(state.at - begun).total_seconds():.2f}" for state in states), "")


def _first_at(stage: str, history: tuple[State, ...]) -> list[State]:
    return [state for state in history if state.stage == stage][:1]


def _arrival(name: str, journeys: list[Journey], spool: Spool, received: dict[str, Path]) -> int:
    """A line per destination: how many instances, bit for bit, and why not more; returns how many are missing."""
    expected = list(chain.from_iterable(_expected(journey, spool, name) for journey in journeys))
    same = [made for made in expected if _digest(received.get(made.sop_instance_uid)) == made.sha256]
    count = sum(len(_sent(journey)) for journey in journeys)
    say(f"{name}: {len(same)} of {count} instances, their data sets bit for bit as the relay holds them (SHA-256)")
    for unit in (_delivery(journey, name) for journey in journeys):
        if unit.state.reason:
            say(f"  not all of {unit.order['part'][:10]}: {unit.state.reason}")
    return count - len(same)


def _compare(journey: Journey, spool: Spool, received: dict[str, dict[str, Path]]) -> None:
    shown = [_first_received(_expected(journey, spool, name), received[name]) for name in ("archive", "reading")]
    rows = [{"element": it, "archive": _shown(shown[0], it), "reading": _shown(shown[1], it)} for it in _COMPARED]
    table(("element", "archive", "reading"), rows, title=f"part {journey.part.id[:10]}")
    say("")


def _first_received(expected: list[Instance], received: dict[str, Path]) -> Dataset | None:
    paths = (received.get(instance.sop_instance_uid) for instance in expected[:1])
    return next((dcmread(path, stop_before_pixels=True) for path in paths if path is not None), None)


def _delivery(journey: Journey, name: str) -> Unit:
    return next(unit for unit, _ in journey.deliveries if unit.order["destination"] == name)


def _expected(journey: Journey, spool: Spool, name: str) -> list[Instance]:
    """The instances that a destination should have, in the form it should have them."""
    unit = _delivery(journey, name)
    return _sent(journey) if unit.order["form"]["kind"] == "received" else _made(journey, spool, unit)


def _made(journey: Journey, spool: Spool, unit: Unit) -> list[Instance]:
    if journey.manifest is None:
        return []
    form = Form(**unit.order["form"])
    proofs = (read_proofs(spool, journey.part.id, form, chunk) or [] for chunk in chunks(journey.manifest))
    return [proof.made for proof in chain.from_iterable(proofs) if proof.made is not None]


def _sent(journey: Journey) -> list[Instance]:
    return list(journey.manifest.instances) if journey.manifest else []


def _shown(ds: Dataset | None, keyword: str) -> str:
    if ds is None:
        return "(not received)"
    if keyword not in ds:
        return "(absent)"
    return str(ds[keyword].value) or "(empty)"


def _by_instance(folder: Path) -> dict[str, Path]:
    """Received files by SOP Instance UID."""
    return {str(dcmread(path, specific_tags=["SOPInstanceUID"]).SOPInstanceUID): path for path in folder.iterdir()}


def _digest(path: Path | None) -> str:
    if path is None:
        return ""
    offset, _ = read_meta(path)
    return hashlib.sha256(path.read_bytes()[offset:]).hexdigest()


def _look_further(folder: Path, journeys: list[Journey]) -> None:
    program = Path(sys.executable).parent / "dcmrelay"
    shown = program.relative_to(Path.cwd()) if program.is_relative_to(Path.cwd()) else program
    config = f"--config {folder / 'dcmrelay.toml'}"
    _heading("5. Where to look further")
    for name in ("archive", "reading"):
        say(f"what {name:8} has     {folder / 'received' / name}/")
    say(f"what the relay did    {folder / 'relay.log'}")
    say(f"one study's story     {shown} show {journeys[0].part.id[:10]} {config}")
    say(f"start it again        {shown} up {config}")


def _heading(text: str) -> None:
    say(f"\n{text}\n{'-' * len(text)}")
