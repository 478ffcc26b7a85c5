"""Storage commitment at the ingress: requests of sources and answers of destinations, durable before they are answered.

Source: ADR 0019; PS3.4 Annex J.
"""

import socket

import structlog

from producers.ingress.parts import Session
from shared import metrics
from shared.config import Config
from shared.config.peers import Destination
from shared.dimse import INVALID_ARGUMENT, NOT_AUTHORIZED, CommitmentReport, CommitmentRequest, Proposal
from shared.errors import StorageError
from shared.spool.commitments import Asked, create_commitment, note_refused
from shared.spool.spool import Spool
from shared.spool.verifications import put_report

log = structlog.get_logger()
SUCCESS = 0x0000


class Committing:
    """A `CommitmentService` over the spool.

    Args:
        spool: where requests and answers go.
        config: who may ask, and who is asked.
    """

    def __init__(self, spool: Spool, config: Config) -> None:
        self._spool, self._config = spool, config

    def use(self, config: Config) -> None:
        """Another configuration is in force."""
        self._config = config

    def takes_commitment(self, session: Session) -> bool:
        """Whether the session is of a source with `commitment`, or of a destination that is asked; else it is noted."""
        if session.source.commitment is not None or session.answers is not None:
            return True
        source = session.source.name
        metrics.COMMITMENTS.labels(source=source, outcome="refused").inc()
        log.warning("commitment_refused", source=source, remedy="add commitment = { by = ... } to the [[source]]")
        try:
            note_refused(self._spool, source)
        except StorageError as error:
            log.error("not_remembered", why=str(error))
        return False

    def commitment_asked(self, session: Session, request: CommitmentRequest) -> int:
        """Keep a request; the same one twice is one."""
        if session.source.commitment is None:
            return NOT_AUTHORIZED
        proposal, source = session.proposal, session.source.name
        asked = Asked(
            source=source,
            transaction_uid=request.transaction_uid,
            references=tuple((it.sop_class_uid, it.sop_instance_uid) for it in request.references),
            calling_ae_title=proposal.calling_ae_title,
            called_ae_title=proposal.called_ae_title,
            host=proposal.host,
        )
        if not create_commitment(self._spool, asked):
            return INVALID_ARGUMENT
        metrics.COMMITMENTS.labels(source=source, outcome="asked").inc()
        log.info("commitment_asked", source=source, commitment=asked.id, instances=len(asked.references))
        return SUCCESS

    def commitment_reported(self, session: Session, report: CommitmentReport) -> int:
        """Keep the answer of a destination to a question of ours."""
        if session.answers is None:
            return NOT_AUTHORIZED
        if not put_report(self._spool, session.answers, report):
            log.warning("foreign_report", destination=session.answers)
            return INVALID_ARGUMENT
        return SUCCESS


def answering(config: Config, proposal: Proposal) -> Destination | None:
    """The destination that a caller is, if it is one that is asked for storage commitment and calls back."""
    for destination in config.destinations:
        if (
            destination.verify == "storage-commitment"
            and destination.ae_title == proposal.calling_ae_title.strip(" ")
            and destination.calling_ae_title == proposal.called_ae_title.strip(" ")
            and _is_its_host(destination, proposal)
        ):
            return destination
    return None


def _is_its_host(destination: Destination, proposal: Proposal) -> bool:
    """Whether a caller shows the destination's certificate, or where it has none comes from its address."""
    if destination.tls is not None:
        return destination.tls.name.casefold() in (proposal.certificate or ())
    try:
        found = socket.getaddrinfo(destination.host, None, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return proposal.host in {str(address[0]).removeprefix("::ffff:") for *_, address in found}
