"""Storage Commitment Push Model: what is asked, what is answered, and how both are written. No I/O, no globals.

Source: PS3.4 Annex J, Tables J.3-1 (request) and J.3-2 (result); PS3.3 C.14 (failure reasons).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from struct import Struct
from typing import Protocol

from shared.dimse.elements import Elements, Value
from shared.dimse.negotiation import COMMITMENT, EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN
from shared.dimse.service import Session_contra
from shared.errors import ProtocolError
from shared.uids import is_uid

WELL_KNOWN_INSTANCE = "1.2.840.10008.1.20.1.1"
COMMITMENT_CONTEXT = (COMMITMENT, IMPLICIT_LITTLE_ENDIAN)
"""SOP class and transfer syntax to propose."""
REQUEST_COMMITMENT, ALL_COMMITTED, SOME_FAILED = 1, 1, 2
MOST_REFERENCES, MOST_COMMITMENT_BYTES = 20_000, 8 << 20

PROCESSING_FAILURE, NO_SUCH_INSTANCE, CLASS_INSTANCE_CONFLICT = 0x0110, 0x0112, 0x0119
"""Failure reasons of instances, and statuses of DIMSE-N (PS3.7 Annex C)."""
NO_SUCH_EVENT, INVALID_ARGUMENT, NO_SUCH_CLASS = 0x0113, 0x0115, 0x0118
NO_SUCH_ACTION, NOT_AUTHORIZED, RESOURCE_LIMITATION = 0x0123, 0x0124, 0x0213

_REFERENCED_CLASS, _REFERENCED_INSTANCE, _TRANSACTION_UID = 0x00081150, 0x00081155, 0x00081195
_FAILURE_REASON, _FAILED_SEQUENCE, _REFERENCED_SEQUENCE = 0x00081197, 0x00081198, 0x00081199
_ITEM = 0xFFFEE000
_ELEMENT, _US = Struct("<HHL"), Struct("<H")


@dataclass(frozen=True)
class Reference:
    """An instance that commitment is about: its SOP Class UID and its SOP Instance UID."""

    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, kw_only=True)
class CommitmentRequest:
    """What an N-ACTION asks for: these instances, under this Transaction UID."""

    transaction_uid: str
    references: tuple[Reference, ...]


@dataclass(frozen=True, kw_only=True)
class CommitmentReport:
    """What an N-EVENT-REPORT answers.

    Args:
        transaction_uid: of the request.
        committed: instances that are committed.
        failed: the others, with their Failure Reason (0008,1197); 0x0110 where the peer gave none.
    """

    transaction_uid: str
    committed: tuple[Reference, ...] = ()
    failed: Mapping[Reference, int] = field(default_factory=dict)

    @property
    def event_type_id(self) -> int:
        """1 when everything is committed, else 2."""
        return SOME_FAILED if self.failed else ALL_COMMITTED


class CommitmentService(Protocol[Session_contra]):
    """What a listener plugs in to take part in storage commitment; called from many threads."""

    def takes_commitment(self, session: Session_contra) -> bool:
        """Whether a session that proposes the SOP class may use it; not asked when it does not."""

    def commitment_asked(self, session: Session_contra, request: CommitmentRequest) -> int:
        """An N-ACTION: make it durable and return the status to answer."""

    def commitment_reported(self, session: Session_contra, report: CommitmentReport) -> int:
        """An N-EVENT-REPORT: make it durable and return the status to answer."""


def encode_request(request: CommitmentRequest) -> bytes:
    """The information of an N-ACTION, implicit VR little endian."""
    return _transaction(request.transaction_uid) + _sequence(_REFERENCED_SEQUENCE, map(_item, request.references))


def encode_report(report: CommitmentReport) -> bytes:
    """The information of an N-EVENT-REPORT, implicit VR little endian; a sequence that would be empty is left out."""
    failed = (_item(it, reason) for it, reason in report.failed.items())
    return b"".join(
        (
            _transaction(report.transaction_uid),
            _sequence(_FAILED_SEQUENCE, failed) if report.failed else b"",
            _sequence(_REFERENCED_SEQUENCE, map(_item, report.committed)) if report.committed else b"",
        )
    )


def parse_request(encoded: bytes, transfer_syntax_uid: str) -> CommitmentRequest:
    """Read the information of an N-ACTION.

    Raises:
        ProtocolError: it cannot be read, lacks something, or names more than `MOST_REFERENCES` instances.
    """
    read = _Reading(encoded, transfer_syntax_uid)
    references = tuple(dict.fromkeys(reference for reference, _ in read.references(_REFERENCED_SEQUENCE)))
    if not references:
        raise ProtocolError("a request for storage commitment names no instance")
    return CommitmentRequest(transaction_uid=read.transaction_uid(), references=references)


def parse_report(encoded: bytes, transfer_syntax_uid: str) -> CommitmentReport:
    """Read the information of an N-EVENT-REPORT; an instance that stands among the failed ones is not committed.

    Raises:
        ProtocolError: as `parse_request`.
    """
    read = _Reading(encoded, transfer_syntax_uid)
    failed = {it: PROCESSING_FAILURE if why is None else why for it, why in read.references(_FAILED_SEQUENCE)}
    committed = dict.fromkeys(it for it, _ in read.references(_REFERENCED_SEQUENCE) if it not in failed)
    return CommitmentReport(transaction_uid=read.transaction_uid(), committed=tuple(committed), failed=failed)


class _Reading:
    def __init__(self, encoded: bytes, transfer_syntax_uid: str) -> None:
        self._elements = Elements(encoded, explicit=transfer_syntax_uid == EXPLICIT_LITTLE_ENDIAN)
        self._there = self._elements.of_data_set()

    def transaction_uid(self) -> str:
        return self._uid(self._there, _TRANSACTION_UID)

    def references(self, tag: int) -> list[tuple[Reference, int | None]]:
        """The instances of a sequence, which may be absent, and their failure reasons."""
        if tag not in self._there:
            return []
        found: list[tuple[Reference, int | None]] = []
        for item in self._elements.items_of(self._there[tag]):
            if len(found) == MOST_REFERENCES:
                raise TooManyReferencesError(f"storage commitment of over {MOST_REFERENCES} instances at once")
            reference = Reference(self._uid(item, _REFERENCED_CLASS), self._uid(item, _REFERENCED_INSTANCE))
            found.append((reference, self._number(item.get(_FAILURE_REASON))))
        return found

    def _uid(self, there: Mapping[int, Value], tag: int) -> str:
        uid = self._elements.text(there[tag]) if tag in there else ""
        if not is_uid(uid):
            raise ProtocolError("a UID of storage commitment is missing, or is none")
        return uid

    def _number(self, value: Value | None) -> int | None:
        if value is None or value.end - value.begin != _US.size:
            return None
        return int(_US.unpack_from(self._elements.encoded, value.begin)[0])


class TooManyReferencesError(ProtocolError):
    """More instances are named than one request or answer may name."""


def _transaction(uid: str) -> bytes:
    return _element(_TRANSACTION_UID, _padded(uid))


def _sequence(tag: int, items: Iterable[bytes]) -> bytes:
    return _element(tag, b"".join(_element(_ITEM, item) for item in items))


def _item(reference: Reference, failure_reason: int | None = None) -> bytes:
    uids = ((_REFERENCED_CLASS, reference.sop_class_uid), (_REFERENCED_INSTANCE, reference.sop_instance_uid))
    reason = b"" if failure_reason is None else _element(_FAILURE_REASON, _US.pack(failure_reason))
    return b"".join(_element(tag, _padded(uid)) for tag, uid in uids) + reason


def _element(tag: int, value: bytes) -> bytes:
    return _ELEMENT.pack(tag >> 16, tag & 0xFFFF, len(value)) + value


def _padded(uid: str) -> bytes:
    return uid.encode("ascii") + b"\0" * (len(uid) % 2)
