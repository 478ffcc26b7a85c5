"""An archive that keeps what it is sent and answers storage commitment when a test lets it, in pynetdicom."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pydicom import Dataset
from pynetdicom import AE, StoragePresentationContexts, build_role, evt
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance  # type: ignore

from tests.peers import free_port


@dataclass
class Pledging:
    """One that is asked, says yes to the question, and keeps its answer to itself until it is told to give it.

    Args:
        relay_port: where it answers, on an association of its own.

    Attributes:
        stored: SOP Instance UIDs of what it was sent.
        questions: Transaction UID and SOP Instance UIDs of each N-ACTION, in order.
        pledged: SOP Instance UIDs that it committed to.
    """

    relay_port: int
    ae_title: str = "PLEDGING"
    port: int = field(default_factory=free_port)
    stored: set[str] = field(default_factory=set)
    questions: list[tuple[str, set[str]]] = field(default_factory=list)
    pledged: set[str] = field(default_factory=set)
    _asked: list[Dataset] = field(default_factory=list)

    def store(self, event: evt.Event) -> int:
        self.stored.add(str(event.request.AffectedSOPInstanceUID))
        return 0

    def hear(self, event: evt.Event) -> tuple[int, None]:
        asked = event.action_information
        uids = {str(it.ReferencedSOPInstanceUID) for it in asked.ReferencedSOPSequence}
        self._asked.append(asked)
        self.questions.append((str(asked.TransactionUID), uids))
        return 0, None

    def answer(self, *, yes: bool) -> int:
        """Answers the newest question in one sense for all instances; returns the relay's status."""
        asked = self._asked[-1]
        ds = Dataset()
        ds.TransactionUID = asked.TransactionUID
        if yes:
            self.pledged |= self.questions[-1][1]
            ds.ReferencedSOPSequence = asked.ReferencedSOPSequence
        else:
            ds.FailedSOPSequence = asked.ReferencedSOPSequence
            for item in ds.FailedSOPSequence:
                item.FailureReason = 0x0112
        ae = AE(ae_title=self.ae_title)
        ae.add_requested_context(StorageCommitmentPushModel)
        role = build_role(StorageCommitmentPushModel, scp_role=True)
        assoc = ae.associate("127.0.0.1", self.relay_port, ae_title="DCMRELAY", ext_neg=[role])
        assert assoc.is_established
        kind = 1 if yes else 2
        status, _ = assoc.send_n_event_report(ds, kind, StorageCommitmentPushModel, StorageCommitmentPushModelInstance)
        assoc.release()
        return int(status.Status)


@contextmanager
def pledging(archive: Pledging) -> Iterator[Pledging]:
    """Lets it listen."""
    ae = AE(ae_title=archive.ae_title)
    ae.supported_contexts = StoragePresentationContexts
    ae.add_supported_context(StorageCommitmentPushModel)
    handlers = [(evt.EVT_C_STORE, archive.store), (evt.EVT_N_ACTION, archive.hear)]
    server = ae.start_server(("127.0.0.1", archive.port), block=False, evt_handlers=handlers)
    try:
        yield archive
    finally:
        server.shutdown()
