"""Our own small DICOM upper layer: the only package that knows pynetdicom.

`Listener` and `StorageService` receive, `request` and `Association` send.
"""

from shared.dimse.commitment import (
    CLASS_INSTANCE_CONFLICT,
    COMMITMENT_CONTEXT,
    INVALID_ARGUMENT,
    NO_SUCH_INSTANCE,
    NOT_AUTHORIZED,
    PROCESSING_FAILURE,
    CommitmentReport,
    CommitmentRequest,
    CommitmentService,
    Reference,
)
from shared.dimse.committing import ask_commitment, hear_report, report_commitment
from shared.dimse.listener import Listener
from shared.dimse.part10 import part10_header
from shared.dimse.query import FIND_CONTEXT, instances_of
from shared.dimse.scu import Association, request
from shared.dimse.service import StorageService, StoreRequest, StoreSink
from shared.dimse.terms import (
    CALLED_NOT_RECOGNIZED,
    CALLING_NOT_RECOGNIZED,
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    LOCAL_LIMIT,
    NO_REASON,
    TEMPORARY_CONGESTION,
    VERIFICATION,
    Proposal,
    Rejection,
    Timeouts,
)
from shared.dimse.tls import TlsFiles, TlsPeer
from shared.uids import is_conformant_uid, is_uid

__all__ = [
    "CALLED_NOT_RECOGNIZED",
    "CALLING_NOT_RECOGNIZED",
    "CLASS_INSTANCE_CONFLICT",
    "COMMITMENT_CONTEXT",
    "FIND_CONTEXT",
    "IMPLEMENTATION_CLASS_UID",
    "IMPLEMENTATION_VERSION_NAME",
    "INVALID_ARGUMENT",
    "LOCAL_LIMIT",
    "NOT_AUTHORIZED",
    "NO_REASON",
    "NO_SUCH_INSTANCE",
    "PROCESSING_FAILURE",
    "TEMPORARY_CONGESTION",
    "VERIFICATION",
    "Association",
    "CommitmentReport",
    "CommitmentRequest",
    "CommitmentService",
    "Listener",
    "Proposal",
    "Reference",
    "Rejection",
    "StorageService",
    "StoreRequest",
    "StoreSink",
    "Timeouts",
    "TlsFiles",
    "TlsPeer",
    "ask_commitment",
    "hear_report",
    "instances_of",
    "is_conformant_uid",
    "is_uid",
    "part10_header",
    "report_commitment",
    "request",
]
