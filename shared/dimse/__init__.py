"""Our own small DICOM upper layer: the only package that knows pynetdicom.

`Listener` and `StorageService` receive, `request` and `Association` send.
"""

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
    "FIND_CONTEXT",
    "IMPLEMENTATION_CLASS_UID",
    "IMPLEMENTATION_VERSION_NAME",
    "LOCAL_LIMIT",
    "NO_REASON",
    "TEMPORARY_CONGESTION",
    "VERIFICATION",
    "Association",
    "Listener",
    "Proposal",
    "Rejection",
    "StorageService",
    "StoreRequest",
    "StoreSink",
    "Timeouts",
    "TlsFiles",
    "TlsPeer",
    "instances_of",
    "is_conformant_uid",
    "is_uid",
    "part10_header",
    "request",
]
