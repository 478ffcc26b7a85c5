"""A request for storage commitment in; the source told what is safe, when all is, or its time is over.

The answer is put on record before it is said, so that it is the same however often it has to be said. It is said on
an association of our own, on which we are the SCP.
Source: ADR 0019; PS3.4 J.3.3.
"""

from collections.abc import Callable

from consumers.janitor.safety import Standing, brought, failures, may_change
from shared import metrics, tls
from shared.config import Config
from shared.config.peers import Commitment, Source
from shared.dimse import (
    COMMITMENT_CONTEXT,
    CommitmentReport,
    Reference,
    Timeouts,
    report_commitment,
    request,
)
from shared.errors import PermanentError
from shared.outcomes import Done, Later, Outcome
from shared.spool.closing import late_id
from shared.spool.commitments import Asked, asked_from_json, received_parts
from shared.spool.deliveries import order_from_json
from shared.spool.parts import decided_deliveries, read_manifest
from shared.spool.spool import Spool
from shared.spool.units import Unit
from shared.work import Claim


class Committer:
    """Answers requests for storage commitment.

    Args:
        spool: the spool.
        config: which destination answers for which source.
        timeouts: of the association; the defaults when None.
        is_current: looks whether `config` changed, and `use`s what it became; whether it is certainly the newest now.
    """

    def __init__(
        self,
        spool: Spool,
        config: Config,
        timeouts: Timeouts | None = None,
        is_current: Callable[[], bool] = lambda: True,
    ) -> None:
        self._spool, self._config, self._timeouts, self._is_current = spool, config, timeouts, is_current

    def use(self, config: Config) -> None:
        """Another configuration is in force."""
        self._config = config

    def is_due(self, unit: Unit) -> bool:
        """Whether a request can be answered now; costs reading, and leaves no record."""
        if unit.state.status != "waiting" or "answer" in unit.facts:
            return True
        asked = asked_from_json(unit.order)
        # The ingress may have taken a request by a configuration that this process has not seen yet.
        if not self._may_ask(asked) and not self._is_current():
            return False
        source = self._config.source(asked.source)
        if source is None or source.commitment is None or self._is_over(unit, source.commitment):
            return True
        return not may_change(self._failures(asked, source.commitment))

    def handle(self, claim: Claim) -> Outcome:
        """Tell the source."""
        asked = asked_from_json(claim.order)
        source = self._config.source(asked.source)
        if source is None or source.commitment is None:
            raise PermanentError(f"source '{asked.source}' has no commitment in its configuration any more", "policy")
        if "answer" not in claim.facts:
            unit = self._spool.commitments.outline(claim.id)
            failed = self._failures(asked, source.commitment)
            if may_change(failed) and unit is not None and not self._is_over(unit, source.commitment):
                return Later(f"{len(failed)} instances are not safe yet")
            claim.record({"answer": {"failed": failed}})
        failed = claim.facts["answer"]["failed"]
        self._tell(asked, source, source.commitment, failed)
        outcome = "partial" if failed else "committed"
        metrics.COMMITMENTS.labels(source=source.name, outcome=outcome).inc()
        return Done(outcome=outcome, facts={"count": len(asked.references) - len(failed)})

    def _may_ask(self, asked: Asked) -> bool:
        source = self._config.source(asked.source)
        return source is not None and source.commitment is not None

    def _is_over(self, unit: Unit, commitment: Commitment) -> bool:
        return self._spool.lapsed(unit.made_at, commitment.within)

    def _failures(self, asked: Asked, commitment: Commitment) -> dict[str, int]:
        return failures(asked.references, self._standings(asked, commitment.by))

    def _standings(self, asked: Asked, by: str) -> dict[str, Standing]:
        """How each instance stands: as the newest part of the source that holds it. Ends when all are found."""
        wanted = {sop_instance_uid for _, sop_instance_uid in asked.references}
        found: dict[str, Standing] = {}
        for part_id in received_parts(self._spool, asked.source):
            for one in self._with_late(part_id):
                if not wanted - found.keys():
                    return found
                found = {**self._in_part(one, by, wanted), **found}
        return found

    def _with_late(self, part_id: str) -> list[str]:
        """A part, and before it those that were made of what missed its closing."""
        parts, k = [part_id], 1
        while read_manifest(self._spool, late := late_id(part_id, k)) is not None:
            parts.insert(0, late)
            k += 1
        return parts

    def _in_part(self, part_id: str, by: str, wanted: set[str]) -> dict[str, Standing]:
        manifest = read_manifest(self._spool, part_id)
        if manifest is None:
            return {}
        there = self._there(part_id, by)
        standings: dict[str, Standing] = {}
        for index, instance in enumerate(manifest.instances):
            uid = instance.sop_instance_uid
            if uid in wanted:
                before = standings.get(uid)
                is_there = str(index) in there and (before is None or before.is_there)
                standings[uid] = Standing(instance.sop_class_uid, is_there)
        return standings

    def _there(self, part_id: str, by: str) -> frozenset[str]:
        """Indices of the instances that the destination has under the SOP Instance UIDs that they came with."""
        destination = self._config.destination(by)
        is_verified = destination is not None and destination.verify != "none"
        there: frozenset[str] = frozenset()
        for delivery in decided_deliveries(self._spool, part_id) or ():
            unit = self._spool.deliveries.load(delivery)
            order = None if unit is None else order_from_json(unit.order)
            if unit is not None and order is not None and order.destination == by and order.form.keeps_uids:
                there |= brought(unit.facts, is_verified=is_verified)
        return there

    def _tell(self, asked: Asked, source: Source, commitment: Commitment, failed: dict[str, int]) -> None:
        references = [Reference(*reference) for reference in asked.references]
        report = CommitmentReport(
            transaction_uid=asked.transaction_uid,
            committed=tuple(it for it in references if it.sop_instance_uid not in failed),
            failed={it: failed[it.sop_instance_uid] for it in references if it.sop_instance_uid in failed},
        )
        with request(
            commitment.host or asked.host,
            commitment.port,
            calling_ae_title=asked.called_ae_title,
            called_ae_title=commitment.ae_title or asked.calling_ae_title,
            contexts=[(COMMITMENT_CONTEXT[0], [COMMITMENT_CONTEXT[1]])],
            timeouts=self._timeouts,
            tls=tls.of_commitment(source),
            as_scp_of=(COMMITMENT_CONTEXT[0],),
        ) as association:
            report_commitment(association, report)
