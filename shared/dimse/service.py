"""What a listener plugs in to keep what it receives. No I/O, no clock, no globals."""

from dataclasses import dataclass
from typing import Protocol, TypeVar

from shared.dimse.terms import Proposal, Rejection

Session = TypeVar("Session")
Session_contra = TypeVar("Session_contra", contravariant=True)


class StoreSink(Protocol):
    """Where one instance's data set goes, byte for byte as received."""

    def write(self, chunk: memoryview) -> None:
        """Take the next bytes; they are valid until return.

        Raises:
            StorageError: no more can be taken; the rest is dropped, `discard` is called and the status is 0xA700.
        """

    def commit(self) -> int:
        """The last fragment has arrived: make the instance durable and return the C-STORE status to answer.

        Raises:
            StorageError: as for `write`.
        """

    def discard(self) -> None:
        """Forget the instance: it will not be whole, or could not be kept.

        Called at most once, and never after `commit` returned.
        """


@dataclass(frozen=True, kw_only=True)
class StoreRequest:
    """A C-STORE-RQ; UIDs are digits and dots, at most 64, and nothing more is known of them."""

    context_id: int
    message_id: int
    affected_sop_class_uid: str
    affected_sop_instance_uid: str
    transfer_syntax_uid: str


class StorageService(Protocol[Session]):
    """What a listener plugs in; called from many threads, one for each association."""

    def admit(self, proposal: Proposal) -> Rejection | None:
        """None to accept the association, otherwise how to refuse it."""

    def opened(self, proposal: Proposal) -> Session:
        """An association was accepted; what is returned stands for it from here on."""

    def store(self, session: Session, request: StoreRequest) -> StoreSink | int:
        """Where the instance's bytes go, or a status to answer once they were dropped."""

    def answered(self, session: Session) -> None:
        """A C-STORE was answered; while the peer makes ready its next message, so may the service."""

    def closed(self, session: Session) -> None:
        """The association is over, released or lost; called once for each `opened`."""
