"""Asks a destination whether it has what it answered with success for; only then a delivery is final.

A stage of its own, `verify`, after everything was sent: the study goes to the end of the destination's queue, and its
owner asks by C-FIND, or for storage commitment, in an association of its own. What is not found yet is asked for again
after growing pauses; what is not found within `verify_within` was answered with success and not kept, and becomes a
dead letter. Replayed, it is sent again.
Source: ADR 0014, ADR 0019.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping

import structlog

from consumers.sender.parcel import Parcel
from consumers.sender.pledges import Pledges
from shared import metrics
from shared.config.peers import Destination
from shared.dimse import FIND_CONTEXT, Timeouts, TlsPeer, instances_of, request
from shared.errors import DataSetError, PermanentError
from shared.headers import Identity, read_identity
from shared.outcomes import Later, Next
from shared.spool.deliveries import Order
from shared.spool.parts import Instance
from shared.spool.spool import Spool
from shared.work import Claim

log = structlog.get_logger()
ROTTEN = "sent, but its bytes on disk were damaged before the destination was asked whether it has it"
KEEPS_NOTHING = "the destination answered success and does not have it"


class Verification:
    """Of deliveries to one destination.

    Args:
        spool: the spool.
        destination: as configured now.
        timeouts: of the association; the defaults when None.
        tls: whom its certificate must show; None for a plain connection.
    """

    def __init__(self, spool: Spool, destination: Destination, timeouts: Timeouts | None, tls: TlsPeer | None) -> None:
        self._spool, self._destination, self._timeouts, self._tls = spool, destination, timeouts, tls
        self._pledges = Pledges(spool, destination, timeouts, tls)

    def look(self, claim: Claim, order: Order, parcel: Parcel, *, just_sent: bool = False) -> Next | Later | None:
        """What a delivery of which nothing is left to send still waits for; None when nothing is to be asked any more.

        Args:
            claim: the delivery.
            order: what it is.
            parcel: its instances.
            just_sent: some were sent in this turn, so `verify_within` begins now, also for one that was replayed.

        Raises:
            PeerError: the destination could not be asked.
            PermanentError: it cannot be asked so; class refused.
        """
        asked_for = _unverified(claim, parcel)
        if self._destination.verify == "none" or not asked_for:
            return None
        if just_sent or claim.state.stage != "verify":
            return Next("verify")
        claim.check()
        if self._destination.verify == "storage-commitment":
            missing: Collection[str] = asked_for.keys() - self._pledges.committed(claim, order, asked_for)
        else:
            missing = self._missing(claim, order, asked_for)
        if missing and not self._spool.lapsed(claim.state.since, self._destination.verify_within):
            return Later(f"{len(missing)} instances that were answered with success are not found there")
        if missing:
            self._take_back(claim, sorted(missing))
        return None

    def _missing(self, claim: Claim, order: Order, asked_for: Mapping[str, Instance]) -> Collection[str]:
        """Which of the instances C-FIND does not find; the others are put on record."""
        readable = self._readable(claim, asked_for)
        there = self._found(order, readable) if readable else ()
        if there:
            claim.record({"verified": dict.fromkeys(sorted(there), "C-FIND")})
        return readable.keys() - there

    def _readable(self, claim: Claim, asked_for: Mapping[str, Instance]) -> dict[str, Identity]:
        """Who the instances are; one whose bytes rotted here since it was sent is held: nobody can ask for it."""
        found: dict[str, Identity] = {}
        rotten: list[str] = []
        for index, instance in asked_for.items():
            try:
                found[index] = read_identity(self._spool.store.path(instance.file))
            except DataSetError:
                rotten.append(index)
        if rotten:
            claim.record({"delivered": dict.fromkeys(rotten), "held": dict.fromkeys(rotten, ROTTEN)})
        return found

    def _found(self, order: Order, asked_for: Mapping[str, Identity]) -> Collection[str]:
        """Which of the instances the destination says it has, by index."""
        series: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
        for index, it in asked_for.items():
            series[it.study_instance_uid, it.series_instance_uid][index] = it.sop_instance_uid
        there: set[str] = set()
        with request(
            self._destination.host,
            self._destination.port,
            calling_ae_title=order.calling_ae_title,
            called_ae_title=self._destination.ae_title,
            contexts=[(FIND_CONTEXT[0], [FIND_CONTEXT[1]])],
            timeouts=self._timeouts,
            tls=self._tls,
        ) as association:
            if association.accepted_context(*FIND_CONTEXT) is None:
                raise PermanentError(f"destination '{self._destination.name}' takes no C-FIND", "refused")
            for (study, one), wanted in series.items():
                uids = instances_of(association, study, one)
                there |= {index for index, uid in wanted.items() if uid in uids}
        return there

    def _take_back(self, claim: Claim, missing: list[str]) -> None:
        """Put on record that a success was none: the instances are refused, and a replay sends them again."""
        name = self._destination.name
        metrics.KEPT_NOTHING.labels(destination=name).inc(len(missing))
        log.error("not_kept", delivery=claim.id, destination=name, instances=len(missing))
        claim.record({"delivered": dict.fromkeys(missing), "refused": dict.fromkeys(missing, KEEPS_NOTHING)})


def _unverified(claim: Claim, parcel: Parcel) -> dict[str, Instance]:
    """The instances that were answered with success and not found yet."""
    verified = claim.facts.get("verified", {})
    answered = (index for index in claim.facts.get("delivered", {}) if index not in verified)
    return {index: parcel.instances[index] for index in answered if index in parcel.instances}
