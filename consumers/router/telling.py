"""What a hand-over leaves for people: the event, the notice, and what the old candidate has and must discard."""

from collections.abc import Sequence

from consumers.router.hand_over import holding_of
from consumers.router.standing import UNDER_WAY, Stand
from shared.messages import StudyHandedOver
from shared.notices.happened import note
from shared.spool.copies import PartialCopy, put_copy
from shared.spool.deliveries import Order
from shared.spool.pins import Pin
from shared.spool.spool import Spool
from shared.spool.units import Unit
from shared.work import Claim


def handed_over_event(claim: Claim, pin: Pin, left: str, to: str, stands: Sequence[Stand]) -> StudyHandedOver:
    """The fact that a study was handed over, with what the old candidate has of all its parts.

    Args:
        claim: the part that decided.
        pin: the old one.
        left: the old candidate.
        to: the new one.
        stands: the study's parts at the old one.
    """
    there, doubt, count = (
        sum(getattr(it.holding, word) for it in stands) for word in ("delivered", "in_doubt", "count")
    )
    return StudyHandedOver(
        id=claim.id,
        n=claim.state.n,
        part=claim.id,
        route=pin.route,
        destination=left,
        to=to,
        delivered=there,
        in_doubt=doubt,
        instances=count,
    )


def note_hand_over(spool: Spool, folder: str, pin: Pin, unit: Unit, order: Order, count: int) -> None:
    """Note for people that a part follows a hand-over; harmless when it was noted before.

    Args:
        spool: the spool.
        folder: of the study's pins.
        pin: the new one.
        unit: the delivery to the old candidate, before it ends.
        order: the delivery to the new one.
        count: instances of the part.
    """
    key = f"{folder.rpartition('/')[2]}-{pin.route}-{pin.epoch}"
    what = f"{unit.order['destination']} to {order.destination}: {pin.why}"
    note(spool, "handed_over", key, route=pin.route, part=order.part, what=what)
    holding = holding_of(count, unit.facts, unrecorded=unit.facts.get(UNDER_WAY, 0))
    if holding.some:
        copy = PartialCopy(
            delivery=unit.id,
            part=order.part,
            route=pin.route,
            destination=str(unit.order["destination"]),
            to=order.destination,
            at=pin.made_at,
            delivered=holding.delivered,
            in_doubt=holding.in_doubt,
            instances=count,
        )
        put_copy(spool, copy)
