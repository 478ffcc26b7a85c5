"""A modality that asks for storage commitment and hears the answer: pynetdicom on both of its ends."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pydicom import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance  # type: ignore

from tests.peers import free_port

Uids = tuple[str, str]


@dataclass
class Modality:
    """One that listens for N-EVENT-REPORT.

    Attributes:
        heard: event type id and information of each report, in order.
        status: it answers them with.
        callers: calling AE title of each association with it.
        roles: SCU and SCP, as each of those associations proposed them for its requestor; None: it did not.
        witness: asked at the moment it hears a report, before it answers.
        witnessed: what it said.
    """

    ae_title: str = "CT1"
    port: int = field(default_factory=free_port)
    status: int = 0x0000
    heard: list[tuple[int, Dataset]] = field(default_factory=list)
    callers: list[str] = field(default_factory=list)
    roles: list[tuple[bool | None, bool | None] | None] = field(default_factory=list)
    witness: Callable[[], object] = lambda: None
    witnessed: list[object] = field(default_factory=list)

    def hear(self, event: evt.Event) -> tuple[int, None]:
        self.witnessed.append(self.witness())
        self.callers.append(event.assoc.requestor.ae_title)
        role = event.assoc.requestor.role_selection.get(StorageCommitmentPushModel)
        self.roles.append(None if role is None else (role.scu_role, role.scp_role))
        self.heard.append((event.request.EventTypeID, event.event_information))
        return self.status, None


def request_of(transaction: str, *references: Uids) -> Dataset:
    """The information of an N-ACTION."""
    ds = Dataset()
    ds.TransactionUID = transaction
    ds.ReferencedSOPSequence = []
    for sop_class, instance in references:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, instance
        ds.ReferencedSOPSequence.append(item)
    return ds


def asked(port: int, ds: Dataset, *, calling: str = "CT1", called: str = "DCMRELAY", action: int = 1) -> int | None:
    """The status of an N-ACTION; None when the context was refused."""
    ae = AE(ae_title=calling)
    ae.add_requested_context(StorageCommitmentPushModel)
    ae.add_requested_context("1.2.840.10008.1.1")
    assoc = ae.associate("127.0.0.1", port, ae_title=called)
    assert assoc.is_established
    try:
        if not any(it.abstract_syntax == StorageCommitmentPushModel for it in assoc.accepted_contexts):
            return None
        status, _ = assoc.send_n_action(ds, action, StorageCommitmentPushModel, StorageCommitmentPushModelInstance)
        return int(status.Status)
    finally:
        assoc.release()


@contextmanager
def listening(modality: Modality) -> Iterator[Modality]:
    """Lets a modality listen; it takes the requestor of an association as SCP, and only so."""
    ae = AE(ae_title=modality.ae_title)
    ae.require_called_aet = True
    ae.add_supported_context(StorageCommitmentPushModel, scu_role=False, scp_role=True)
    server = ae.start_server(
        ("127.0.0.1", modality.port), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, modality.hear)]
    )
    try:
        yield modality
    finally:
        server.shutdown()


def failed(ds: Dataset) -> dict[str, int]:
    """Failure reasons of a report, by SOP Instance UID."""
    return {str(it.ReferencedSOPInstanceUID): int(it.FailureReason) for it in ds.get("FailedSOPSequence", ())}


def committed(ds: Dataset) -> set[str]:
    """SOP Instance UIDs that a report says are committed."""
    return {str(it.ReferencedSOPInstanceUID) for it in ds.get("ReferencedSOPSequence", ())}
