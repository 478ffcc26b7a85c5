"""The words both sides of an association share: time limits, what a requestor proposes, why it is refused.

No I/O, no clock, no globals.
"""

from dataclasses import dataclass

VERIFICATION = "1.2.840.10008.1.1"
APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
IMPLEMENTATION_CLASS_UID = "2.25.275182458763214808819071100322544695201"
IMPLEMENTATION_VERSION_NAME = "DCMRELAY_1"
OUR_MAX_PDU = 131072
"""What we say we take, in bytes; the largest PDU we send whatever a peer would take."""


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """How long we wait for a peer, in seconds.

    Args:
        connect: for the TCP connection.
        handshake: for the whole TLS handshake.
        associate: for the whole A-ASSOCIATE-RQ, or the whole answer to ours.
        pdu: for one whole PDU once it began, for the next one inside a message, and for any progress in sending.
        slowest: not a time but bytes a second: who sends a message slower, `pdu` seconds aside, is too slow.
        idle: between two messages of an association.
        response: for the first byte of a DIMSE response.
        release: for the answer to A-RELEASE-RQ.
    """

    connect: float = 10
    handshake: float = 5
    associate: float = 10
    pdu: float = 30
    slowest: float = 1000
    idle: float = 900
    response: float = 120
    release: float = 5


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """Who a requestor says it is.

    Args:
        calling_ae_title: without padding; what is not printable ASCII reads "?". May be empty.
        called_ae_title: likewise.
        host: the requestor's IP address.
        certificate: who its TLS certificate says it is (`tls.identities_of`); None on a plain connection.
    """

    calling_ae_title: str
    called_ae_title: str
    host: str
    certificate: frozenset[str] | None = None


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """An A-ASSOCIATE-RJ in three numbers. Source: PS3.8 9.3.4."""

    result: int
    source: int
    reason: int

    @property
    def text(self) -> str:
        """What the three numbers mean."""
        kind = {1: "permanent", 2: "transient"}.get(self.result, "unknown result")
        return f"{_REASONS.get((self.source, self.reason), 'unknown reason')} ({kind})"


NO_REASON = Rejection(result=1, source=1, reason=1)
APPLICATION_CONTEXT_NOT_SUPPORTED = Rejection(result=1, source=1, reason=2)
CALLING_NOT_RECOGNIZED = Rejection(result=1, source=1, reason=3)
CALLED_NOT_RECOGNIZED = Rejection(result=1, source=1, reason=7)
PROTOCOL_VERSION_NOT_SUPPORTED = Rejection(result=1, source=2, reason=2)
TEMPORARY_CONGESTION = Rejection(result=2, source=3, reason=1)
LOCAL_LIMIT = Rejection(result=2, source=3, reason=2)

# PS3.8 Table 9-21.
_REASONS = {
    (1, 1): "no reason given",
    (1, 2): "application context name not supported",
    (1, 3): "calling AE title not recognized",
    (1, 7): "called AE title not recognized",
    (2, 1): "no reason given",
    (2, 2): "protocol version not supported",
    (3, 1): "temporary congestion",
    (3, 2): "local limit exceeded",
}
