"""A delivery in; its instances at the destination, each with the destination's answer on record.

One association for the study, its own or one that was kept open since the last, at the destination's pace. What was
answered is recorded per slice, so that the next try sends only what is missing. No answer, or one that no table knows,
is never success.
"""

import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

from consumers.sender.breaker import is_about_the_caller
from consumers.sender.circuit import Circuit
from consumers.sender.contexts import contexts_for, has_contexts, within
from consumers.sender.hours import SendingHours
from consumers.sender.kept import Kept
from consumers.sender.pace import Pace
from consumers.sender.parcel import Parcel, is_answered, pack
from consumers.sender.sending import Sending, settle_under_way
from consumers.sender.transcoding.transcoder import Transcoder
from consumers.sender.verdict import given_up, verdict
from consumers.sender.verification import Verification
from shared import tls
from shared.config.peers import Destination
from shared.dimse import Association, Timeouts, request
from shared.errors import HandedBackError, PausedError, PeerAbortedError, PeerError, PermanentError
from shared.outcomes import Later, Next, Outcome
from shared.spool.deliveries import Order, order_from_json
from shared.spool.parts import Instance
from shared.spool.pauses import check_not_paused
from shared.spool.progress import Progress
from shared.spool.spool import Spool
from shared.work import Claim


class Sender:
    """Answers bells of deliveries to one destination; several at the same time, of different studies.

    Args:
        spool: the spool.
        destination: as configured now.
        may_send: asked before every C-STORE; raises when another process owns the destination.
        stopping: cuts short the pauses of `max_rate`; no association is kept open after it.
        timeouts: of the association; the defaults when None.
        is_current: whether `destination` is certainly how the configuration has it at this moment.
        gives_way: asked between the instances of a routine delivery; True: something urgent goes first.
        hours: when the destination is sent to; None: always.
        rate: bytes per second at a moment, None for no limit.

    Attributes:
        circuit: of the destination.

    Raises:
        StartError: a file of [destination.tls] cannot be used.
    """

    def __init__(
        self,
        spool: Spool,
        destination: Destination,
        *,
        may_send: Callable[[], None],
        stopping: threading.Event,
        timeouts: Timeouts | None = None,
        is_current: Callable[[], bool] = lambda: True,
        gives_way: Callable[[], bool] = lambda: False,
        hours: SendingHours | None = None,
        rate: Callable[[datetime], float | None] = lambda _: None,
    ) -> None:
        self._spool, self._destination, self._may_send = spool, destination, may_send
        self._is_current = is_current
        self._gives_way, self._hours = gives_way, hours or SendingHours(None, ZoneInfo("UTC"))
        self.circuit = Circuit(spool, destination)
        self._pace, self._timeouts = Pace(lambda: rate(spool.now()), stopping), timeouts
        self._tls = tls.of_destination(destination)
        self._progress = Progress(spool, destination.name)
        self._kept = Kept(destination.keep_open, stopping)
        self._may_transcode = destination.transcode == "lossless"
        self._verification = Verification(spool, destination, timeouts, self._tls)

    def handle(self, claim: Claim) -> Outcome:
        """Send what is left of a delivery."""
        check_not_paused(self._spool, self._destination.name)
        self._check_hours(claim)
        order = order_from_json(claim.order)
        if order.identity != self._destination.identity:
            if not self._is_current():
                return Later("the configuration is being changed, or its file is refused; see `dcmrelay status`")
            reason = f"destination '{order.destination}' is another peer now than when this was routed"
            raise PermanentError(reason, "policy")
        parcel = pack(self._spool, order, deidentified_only=self._destination.deidentified_only)
        settle_under_way(claim, self._in_turn(parcel.left(claim.facts)))
        _record_withheld(claim, parcel)
        sending = self._sending(claim)
        sending.settle_unsendable(parcel.left(claim.facts))
        if left := parcel.left(claim.facts):
            why = self._tried(claim, sending, order, parcel)
            if why:
                return Later(why, given_up(why, claim.facts, parcel.left(claim.facts), parcel.count))
            if parcel.left(claim.facts):
                return Next("send")
        if claim.state.stage == "verify":
            self._kept.release()  # it asks in an association of its own
        waits = self._looked(claim, order, parcel, just_sent=bool(left))
        return waits or verdict(claim.facts, parcel.count, parcel.invalid)

    def is_open(self) -> bool:
        """Whether the destination's hours allow something to begin now."""
        return self._hours.is_open(self._spool.now())

    def _check_hours(self, claim: Claim) -> None:
        """Outside the hours only what is there in part goes on: half a study is worse than a late one.

        Raises:
            PausedError: until they begin.
        """
        now = self._spool.now()
        if self._hours.is_open(now):
            return
        self.circuit.went_well()  # nothing is known of it after a closed time
        if not claim.facts.get("delivered"):
            raise PausedError(*self._hours.closed(now))

    def _tried(self, claim: Claim, sending: Sending, order: Order, parcel: Parcel) -> str:
        """Send what is left; why the rest has to wait, or nothing. The circuit hears how it went."""
        if claim.id in self.circuit.shut_out:
            return self.circuit.why
        left = parcel.left(claim.facts)
        away = False
        try:
            why = self._send(claim, sending, order, left)
        except _NoAssociationError as error:
            why, away = str(error.cause), True
            if is_about_the_caller(error.cause):
                return why
        except PeerError as error:
            why = str(error)
        if len(parcel.left(claim.facts)) < len(left):
            self.circuit.went_well()
        elif why:
            self.circuit.failed(claim.id, why, away=away)
        return why

    def _looked(self, claim: Claim, order: Order, parcel: Parcel, *, just_sent: bool) -> Next | Later | None:
        """What it still waits for, as `Verification.look`; the circuit hears whether the destination could be asked."""
        if claim.id in self.circuit.shut_out:
            return Later(self.circuit.why)
        try:
            waits = self._verification.look(claim, order, parcel, just_sent=just_sent)
        except PeerError as error:
            self.circuit.failed(claim.id, str(error), away=False)
            raise
        if claim.state.stage == "verify":
            self.circuit.went_well()
        return waits

    def release(self) -> None:
        """Release the associations that are kept open between studies."""
        self._kept.release()

    def _sending(self, claim: Claim) -> Sending:
        return Sending(
            claim,
            self._destination.name,
            path_of=self._spool.store.path,
            may_send=lambda: self._may_go_on(claim),
            pace=self._pace,
            transcoder=Transcoder(self._spool.store) if self._may_transcode else None,
            progressed=self._progress.note,
        )

    def _in_turn(self, left: Mapping[str, Instance]) -> Mapping[str, Instance]:
        """What one association takes of what is left, in its order."""
        return within(left, contexts_for(left.values(), may_transcode=self._may_transcode))

    def _may_go_on(self, claim: Claim) -> None:
        check_not_paused(self._spool, self._destination.name)
        self._may_send()
        if not (claim.state.urgent or claim.order.get("urgent")) and self._gives_way():
            raise HandedBackError("something urgent goes first")

    def _send(self, claim: Claim, sending: Sending, order: Order, left: Mapping[str, Instance]) -> str:
        contexts = contexts_for(left.values(), may_transcode=self._may_transcode)
        now = within(left, contexts).values()
        self._may_send()
        kept = self._kept.take(
            order.calling_ae_title, lambda it: has_contexts(it, now, may_transcode=self._may_transcode)
        )
        if kept is not None:
            try:
                return self._on(kept, sending, order, within(left, contexts), reused=True)
            except PeerAbortedError:
                if sending.answered:
                    raise
                # The peer closed it meanwhile, which says nothing about this study.
                left = {index: it for index, it in left.items() if not is_answered(index, claim.facts)}
        return self._on(self._request(order, contexts), sending, order, within(left, contexts))

    def _on(
        self,
        association: Association,
        sending: Sending,
        order: Order,
        left: Mapping[str, Instance],
        *,
        reused: bool = False,
    ) -> str:
        """Send on an association, which is kept or released after it, or aborted when an exception passes."""
        try:
            why = sending.send(association, left, reused=reused)
        except HandedBackError:
            association.release()  # between two instances: nothing is in flight
            raise
        except BaseException as error:
            association.abort(error)
            raise
        if why:
            association.release()
        else:
            self._kept.keep(association, order.calling_ae_title)
        return why

    def _request(self, order: Order, contexts: list[tuple[str, list[str]]]) -> Association:
        try:
            return request(
                self._destination.host,
                self._destination.port,
                calling_ae_title=order.calling_ae_title,
                called_ae_title=self._destination.ae_title,
                contexts=contexts,
                timeouts=self._timeouts,
                tls=self._tls,
            )
        except PeerError as error:
            raise _NoAssociationError(error) from error


class _NoAssociationError(PeerError):
    """There was no association; for which reason, `cause` says."""

    def __init__(self, cause: PeerError) -> None:
        super().__init__(str(cause))
        self.cause = cause


def _record_withheld(claim: Claim, parcel: Parcel) -> None:
    """Put on record what the profile withheld, once; what another delivery brought is not missed."""
    elsewhere = claim.facts.get("elsewhere", {})
    facts = {"held": parcel.held, "dropped": parcel.dropped}
    missed = {word: {i: why for i, why in reasons.items() if i not in elsewhere} for word, reasons in facts.items()}
    new = {word: reasons for word, reasons in missed.items() if reasons and word not in claim.facts}
    if new:
        claim.record(new)
