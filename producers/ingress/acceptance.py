"""Who may come in, and which instances can be kept. No I/O, no clock, no globals."""

from shared.config import Mismatch
from shared.dimse import (
    CALLED_NOT_RECOGNIZED,
    CALLING_NOT_RECOGNIZED,
    TEMPORARY_CONGESTION,
    Proposal,
    Rejection,
    StoreRequest,
)
from shared.headers import Identity

SUCCESS = 0x0000
OUT_OF_RESOURCES = 0xA700
DOES_NOT_MATCH_SOP_CLASS = 0xA900
CANNOT_UNDERSTAND = 0xC000


def refusal(mismatch: Mismatch | None, *, has_room: bool) -> Rejection | None:
    """Why an association is refused, or None.

    Args:
        mismatch: what about the caller fits no source, None when it is one.
        has_room: whether the spool can take more.

    Source: PS3.8 9.3.4 for the reasons. An unlisted host, and who does not have the source's certificate, are told the
    same as an unknown AE title.
    """
    if mismatch is not None:
        return CALLED_NOT_RECOGNIZED if mismatch == "called" else CALLING_NOT_RECOGNIZED
    return None if has_room else TEMPORARY_CONGESTION


def who(proposal: Proposal) -> tuple[str, str, str, frozenset[str] | None]:
    """What says which source a caller is, in the order of `Config.source_of`."""
    return proposal.calling_ae_title, proposal.host, proposal.called_ae_title, proposal.certificate


def status_of(request: StoreRequest, identity: Identity) -> int:
    """The C-STORE status for a whole instance, before it is kept (PS3.4 B.2.3).

    Args:
        request: what the command said.
        identity: what the data set says.
    """
    if not all(vars(identity).values()):
        return CANNOT_UNDERSTAND
    asked = (request.affected_sop_class_uid, request.affected_sop_instance_uid)
    return SUCCESS if asked == (identity.sop_class_uid, identity.sop_instance_uid) else DOES_NOT_MATCH_SOP_CLASS
