"""Asks a destination for storage commitment of what it answered with success for, and reads what it answered.

A question is put on record before it is asked, so that its answer is known for one however late it comes and whoever
was killed meanwhile. The answer comes on the same association, or into our listener; either way it is in the spool.
Source: ADR 0019; PS3.4 Annex J.
"""

import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from shared.config.peers import Destination
from shared.dimse import (
    COMMITMENT_CONTEXT,
    INVALID_ARGUMENT,
    NOT_AUTHORIZED,
    Association,
    CommitmentReport,
    CommitmentRequest,
    Reference,
    Timeouts,
    TlsPeer,
    ask_commitment,
    hear_report,
    request,
)
from shared.errors import PermanentError
from shared.spool.deliveries import Order
from shared.spool.parts import Instance
from shared.spool.spool import Spool
from shared.spool.verifications import put_report, read_report, transaction_uid
from shared.work import Claim

_ASK_AGAIN_AFTER = timedelta(minutes=10)
_STAY_SECONDS, _LOOK_SECONDS = 2.0, 0.1


class Pledges:
    """Of one destination. Arguments as of `Verification`."""

    def __init__(self, spool: Spool, destination: Destination, timeouts: Timeouts | None, tls: TlsPeer | None) -> None:
        self._spool, self._destination, self._timeouts, self._tls = spool, destination, timeouts, tls

    def committed(self, claim: Claim, order: Order, asked_for: Mapping[str, Instance]) -> frozenset[str]:
        """Indices of the instances that are committed by now; asks when there is no answer to wait for.

        Args:
            claim: the delivery.
            order: what it is.
            asked_for: its instances that were answered with success, and are not known to be committed.

        Raises:
            PeerError: the destination could not be asked.
            PermanentError: it takes no storage commitment; class refused.
        """
        there = self._heard(claim, asked_for)
        left = {index: instance for index, instance in asked_for.items() if index not in there}
        if left and not self._is_waiting(claim):
            self._ask(claim, order, left)
            there |= self._heard(claim, left)
        return there

    def _heard(self, claim: Claim, asked_for: Mapping[str, Instance]) -> frozenset[str]:
        """What the answers so far say, put on record."""
        uids = {uid for report in self._reports(claim).values() if report for uid in report["committed"]}
        there = frozenset(index for index, it in asked_for.items() if it.sop_instance_uid in uids)
        if there:
            claim.record({"verified": dict.fromkeys(sorted(there), "committed")})
        return there

    def _reports(self, claim: Claim) -> dict[str, dict[str, Any] | None]:
        """The answers, by the number of their question; of those since a person had the delivery sent again."""
        asked = claim.facts.get("asked", {})
        since = claim.state.since
        return {
            k: read_report(self._spool, claim.id, int(k))
            for k, at in asked.items()
            if since is None or datetime.fromisoformat(at) >= since
        }

    def _is_waiting(self, claim: Claim) -> bool:
        """Whether a question was asked lately that has no answer yet."""
        asked = claim.facts.get("asked", {})
        return any(
            report is None and not self._spool.lapsed(datetime.fromisoformat(asked[k]), _ASK_AGAIN_AFTER)
            for k, report in self._reports(claim).items()
        )

    def _ask(self, claim: Claim, order: Order, left: Mapping[str, Instance]) -> None:
        k = 1 + max(map(int, claim.facts.get("asked", {})), default=0)
        references = dict.fromkeys(Reference(it.sop_class_uid, it.sop_instance_uid) for it in left.values())
        question = CommitmentRequest(transaction_uid=transaction_uid(claim.id, k), references=tuple(references))
        with request(
            self._destination.host,
            self._destination.port,
            calling_ae_title=order.calling_ae_title,
            called_ae_title=self._destination.ae_title,
            contexts=[(COMMITMENT_CONTEXT[0], [COMMITMENT_CONTEXT[1]])],
            timeouts=self._timeouts,
            tls=self._tls,
        ) as association:
            if association.accepted_context(*COMMITMENT_CONTEXT) is None:
                name = self._destination.name
                raise PermanentError(f"destination '{name}' takes no storage commitment", "refused")
            claim.record({"asked": {str(k): self._spool.now().isoformat()}})
            ask_commitment(association, question)
            self._stay(association, claim.id, k)

    def _stay(self, association: Association, delivery: str, k: int) -> None:
        """Stay a moment, as some answer on the same association; until there is an answer, wherever it came."""
        until = time.monotonic() + _STAY_SECONDS
        while time.monotonic() < until and read_report(self._spool, delivery, k) is None:
            if association.speaks(_LOOK_SECONDS):
                hear_report(association, _Here(self._spool), self._destination.name)
                return


class _Here:
    """Takes the answer that comes on the association of the question."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool

    def takes_commitment(self, session: str) -> bool:
        return bool(session)

    def commitment_asked(self, session: str, request: CommitmentRequest) -> int:  # noqa: ARG002  (nobody may ask here)
        return NOT_AUTHORIZED

    def commitment_reported(self, session: str, report: CommitmentReport) -> int:
        return 0 if put_report(self._spool, session, report) else INVALID_ARGUMENT
