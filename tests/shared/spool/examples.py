"""Spools, parts and deliveries in whatever state a test wants, made by the product's own functions."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import BinaryIO

import pytest
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from shared import owner
from shared.dimse import part10_header
from shared.forms import RECEIVED, Form
from shared.outcomes import Done, Held, Later, Outcome
from shared.spool import states
from shared.spool.closing import close_part
from shared.spool.deliveries import Order, create_delivery, order_to_json
from shared.spool.parts import Part, instance_name, new_part_id, open_part, read_manifest, read_part
from shared.spool.spool import Spool
from shared.spool.states import Retry, State

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
STUDY = "1.2.3.4"
CONFIG = "c" * 64
LEASE = timedelta(minutes=5)
UNSEEN_OWNER = "elsewhere.00000000.1/17/4711"
FORM = Form(kind="deidentified", profile="reading", profile_hash="h" * 64, key_id="k" * 16, engine_version=1)


def dead_owner() -> str:
    """A process of this machine that ended: this one's pid, started at another time."""
    place, pid, _ = owner.this_process().split("/")
    return f"{place}/{pid}/1"


@dataclass
class Clock:
    """The time, moved by hand."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, **time: float) -> None:
        self.now += timedelta(**time)


@dataclass
class Steps:
    """A spool's steps: counted, and one of them made the last by an exception."""

    seen: list[str]
    kill_at: int = 0

    def __call__(self, what: str) -> None:
        self.seen.append(what)
        if self.kill_at and len(self.seen) >= self.kill_at:
            raise Killed(what)


class Killed(BaseException):
    """The process was killed here."""


def new_spool(
    root: Path, clock: Callable[[], datetime] = lambda: NOW, step: Callable[[str], None] = lambda _: None
) -> Spool:
    root.mkdir(exist_ok=True)
    return Spool(root, clock=clock, step=step)


def reads_of(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names that are opened or listed from now on."""
    seen: list[str] = []
    open_, list_ = spool.store.open, spool.store.list

    def opening(name: str) -> BinaryIO:
        seen.append(name)
        return open_(name)

    def listing(prefix: str) -> list[str]:
        seen.append(f"{prefix}/")
        return list_(prefix)

    monkeypatch.setattr(spool.store, "open", opening)
    monkeypatch.setattr(spool.store, "list", listing)
    return seen


@cache
def data_set(uid: str, study: str = STUDY) -> bytes:
    """A small CT instance's data set, explicit VR little endian."""
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, uid
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = study, f"{study}.5", f"{study}.6"
    ds.Modality, ds.PatientID, ds.PatientName, ds.StudyDate = "CT", "CANARY4711", "CANARY^PATIENT", "20240229"
    ds.Rows, ds.Columns, ds.BitsAllocated, ds.PixelData = 2, 2, 8, bytes(4)
    ds["PixelData"].VR = "OB"
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_dataset(buffer, ds)
    return buffer.getvalue()


def header_of(uid: str) -> bytes:
    return part10_header(sop_class_uid=CTImageStorage, sop_instance_uid=uid, transfer_syntax_uid=ExplicitVRLittleEndian)


def put_instance(spool: Spool, part: Part, uid: str, content: bytes | None = None) -> str:
    """Stores an instance in a part as the ingress does; returns its name."""
    content = data_set(uid, part.study_instance_uid) if content is None else content
    name = instance_name(part.id, hashlib.sha256(content).hexdigest())
    spool.store.put_new(name, header_of(uid) + content)
    return name


def opened(spool: Spool, *uids: str, study: str = STUDY, run: str = "i0", source: str = "ct-1") -> Part:
    """An open part that holds these instances."""
    part = Part(
        id=new_part_id(), source=source, calling_ae_title="CT1", called_ae_title="DCMRELAY",
        study_instance_uid=study, run=run, opened_at=spool.now(),
    )  # fmt: skip
    open_part(spool, part)
    for uid in uids:
        put_instance(spool, part, uid)
    return part


def closed(spool: Spool, *uids: str, study: str = STUDY) -> Part:
    """A closed part that waits for the router."""
    part = opened(spool, *(uids or ("1.2.3.4.1",)), study=study)
    close_part(spool, part, config=CONFIG)
    return part


def order_for(part: str, destination: str = "archive", form: Form = RECEIVED, *, urgent: bool = False) -> Order:
    return Order(
        part=part, route="all", destination=destination, identity="1" * 16, calling_ae_title="DCMRELAY",
        form=form, source="ct-1", urgent=urgent,
    )  # fmt: skip


def routed(spool: Spool, part: Part, *destinations: str, form: Form = RECEIVED) -> list[str]:
    """Decides a part; ids of its deliveries, which wait."""
    orders = [order_for(part.id, name, form) for name in destinations]
    decision = {"config": CONFIG, "routes": ["all"], "deliveries": [order_to_json(order) for order in orders]}
    spool.put_json(f"parts/{part.id}/decision.json", decision)
    for order in orders:
        create_delivery(spool, order, CONFIG)
    settle(spool, part.id, Done(outcome="routed"))
    return [order.id for order in orders]


def claim(spool: Spool, unit: str, by: str | None = None) -> State:
    """Lets a worker claim a unit; returns the `working` record."""
    state = spool.units(unit).newest(unit)
    assert state is not None
    by = by or owner.this_process()
    working = states.claimed(state, owner=by, now=spool.now(), lease=LEASE, faults=state.faults)
    spool.units(unit).append(unit, working)
    return working


def settle(spool: Spool, unit: str, outcome: Outcome) -> State:
    """Lets a worker claim a unit and answer so."""
    settled = states.settled(claim(spool, unit), outcome, now=spool.now(), retry=Retry(), jitter=0)
    spool.units(unit).append(unit, settled)
    return settled


def hold(spool: Spool, unit: str) -> State:
    return settle(spool, unit, Held("no route wants it", "policy"))


def fail(spool: Spool, unit: str) -> State:
    return settle(spool, unit, Later("away"))


def delivered(spool: Spool, *units: str) -> None:
    """Lets deliveries end with every instance of their part answered."""
    for unit in units:
        found = spool.deliveries.outline(unit)
        manifest = read_manifest(spool, found.order["part"]) if found else None
        answers = {str(index): "0000" for index in range(len(manifest.instances) if manifest else 0)}
        settle(spool, unit, Done(outcome="delivered", facts={"delivered": answers}))


def damage(spool: Spool, name: str, content: bytes = b'{"n": ') -> None:
    """Other bytes under a name, as a failing disk leaves them."""
    spool.store.path(name).write_bytes(content)


def late_part(spool: Spool, part: Part, late: str) -> Part:
    """A late part of a part, as it was made."""
    found = read_part(spool, late)
    assert found == replace(part, id=late, late_of=part.id, opened_at=found.opened_at if found else NOW)
    return found
