"""Which presentation contexts an acceptor takes, and in which transfer syntax. No I/O, no clock, no globals.

A relay stores what it is sent and reads as little of it as it can, so any abstract syntax that is not known to be
another service is storage, private ones included. The requestor's order of transfer syntaxes is kept: what the modality
holds wins, except that a lossy syntax is taken only if nothing lossless stands beside it, or the sender might compress
for us.
Source: PS3.8 9.3.3.2 (results), PS3.6 Annex A (UIDs), PS3.5 section 10 and Annex A (transfer syntaxes).
"""

from dataclasses import dataclass
from functools import lru_cache

from pydicom.uid import UID

from shared.dimse.items import ProposedContext
from shared.dimse.terms import VERIFICATION
from shared.uids import is_conformant_uid

IMPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2"
EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
COMMITMENT = "1.2.840.10008.1.20.1"
"""Storage Commitment Push Model SOP Class."""

_DICOM = "1.2.840.10008."
_UNCOMPRESSED = ("1.2", "1.2.1", "1.2.1.98", "1.2.1.99", "1.2.2")
_LOSSLESS_IMAGE = (*(f"1.2.4.{n}" for n in (57, 58, 65, 66, 70, 80, 90, 92, 110, 201, 202)), "1.2.5", "1.2.8.1")
_LOSSY_IMAGE = tuple(f"1.2.4.{n}" for n in (*range(50, 57), *range(59, 65), 81, 91, 93, 111, 112, 203))
_VIDEO = (*(f"1.2.4.{n}{part}" for n in range(100, 107) for part in ("", ".1")), "1.2.4.107", "1.2.4.108")

LOSSLESS = frozenset(_DICOM + suffix for suffix in _UNCOMPRESSED + _LOSSLESS_IMAGE)
LOSSY = frozenset(_DICOM + suffix for suffix in _LOSSY_IMAGE + _VIDEO)
"""Transfer syntaxes taken. Not among them: JPIP, whose pixels are elsewhere, and SMPTE 2110, which is never stored."""

_OF_COMMITMENT = (IMPLICIT_LITTLE_ENDIAN, EXPLICIT_LITTLE_ENDIAN)

ACCEPTED, ABSTRACT_SYNTAX_REFUSED, TRANSFER_SYNTAXES_REFUSED = 0, 3, 4


@dataclass(frozen=True, kw_only=True)
class ContextAnswer:
    """The answer to one proposed context; the transfer syntax means nothing unless the result is `ACCEPTED`."""

    context_id: int
    result: int
    abstract_syntax: str
    transfer_syntax: str


def negotiate(proposed: ProposedContext, *, takes_commitment: bool = False) -> ContextAnswer:
    """Answer one proposed context.

    Args:
        proposed: the context.
        takes_commitment: whether storage commitment may be spoken of, too.
    """
    is_commitment = proposed.abstract_syntax == COMMITMENT
    offered = proposed.transfer_syntaxes
    chosen = choose_transfer_syntax(tuple(it for it in offered if not is_commitment or it in _OF_COMMITMENT))
    if not (takes_commitment if is_commitment else is_accepted_service(proposed.abstract_syntax)):
        result = ABSTRACT_SYNTAX_REFUSED
    else:
        result = TRANSFER_SYNTAXES_REFUSED if chosen is None else ACCEPTED
    return ContextAnswer(
        context_id=proposed.context_id,
        result=result,
        abstract_syntax=proposed.abstract_syntax,
        transfer_syntax=chosen or IMPLICIT_LITTLE_ENDIAN,
    )


def choose_transfer_syntax(offered: tuple[str, ...]) -> str | None:
    """The first lossless one offered, else the first lossy one, else None."""
    for group in (LOSSLESS, LOSSY):
        for syntax in offered:
            if syntax in group:
                return syntax
    return None


def is_accepted_service(abstract_syntax: str) -> bool:
    """Whether it is Verification, a storage SOP Class, or nothing we know."""
    return abstract_syntax == VERIFICATION or is_storage(abstract_syntax)


@lru_cache(maxsize=256)
def is_storage(abstract_syntax: str) -> bool:
    """Whether it may be a storage SOP Class: named one in PS3.6, or not in PS3.6 at all."""
    if not is_conformant_uid(abstract_syntax):
        return False
    uid = UID(abstract_syntax)
    if uid.is_private or not uid.type or not uid.name:
        return True
    return (
        uid.type == "SOP Class" and "Storage" in uid.name and "Commitment" not in uid.name and "Media" not in uid.name
    )
