"""Deliveries: one part, in one form, to one destination.

deliveries/<id>/<n>.json     the unit's records; record 0 holds the order too
active/deliveries/<id>       there while the delivery is unfinished
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from shared.forms import Form, hashed_id
from shared.spool.spool import Spool
from shared.spool.states import State


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is to be delivered; decided once.

    Args:
        part: id of the part.
        route: name of the route that decided it.
        destination: name of the destination.
        identity: what the destination was when it was decided; see `Destination.identity`.
        calling_ae_title: how we call ourselves to it.
        form: the only form in which it may leave.
        source: name of the source, for people.
        optional: never delays or fails the study.
        urgent: overtakes routine work to the same destination.
        excluded: indexes, in the manifest, of instances that never go to this destination.
    """

    part: str
    route: str
    destination: str
    identity: str
    calling_ae_title: str
    form: Form
    source: str
    optional: bool = False
    urgent: bool = False
    excluded: tuple[int, ...] = ()

    @property
    def id(self) -> str:
        """Id of the delivery: the same part, form and destination are one delivery, whatever routes ask for it."""
        return hashed_id("d", self.part, self.destination, self.identity, asdict(self.form))


InstanceOutcome = Literal["delivered", "refused", "held", "dropped"]


def order_to_json(order: Order) -> dict[str, Any]:
    """An order as record 0 and the decision hold it."""
    return {"id": order.id, **asdict(order)}


def order_from_json(content: Mapping[str, Any]) -> Order:
    """An order as it was written."""
    facts = {key: value for key, value in content.items() if key in Order.__dataclass_fields__}
    return Order(**{**facts, "form": Form(**content["form"]), "excluded": tuple(content.get("excluded", ()))})


def marker(delivery: str) -> str:
    """The name that stands in `active/` while a delivery is unfinished."""
    return f"active/deliveries/{delivery}"


def create_delivery(spool: Spool, order: Order, config: str) -> None:
    """Make a delivery unless it is there: first the marker that a sweep finds, then the unit, whole."""
    if spool.deliveries.newest(order.id) is not None:
        return
    spool.store.put_new(marker(order.id), b"")
    stage = "send" if order.form.kind == "received" else "render"
    state = State(n=0, stage=stage, status="waiting", at=spool.now(), config=config)
    spool.deliveries.create(order.id, order_to_json(order), state)


def active_deliveries(spool: Spool) -> Iterator[str]:
    """Ids of unfinished deliveries, dead letters among them."""
    yield from spool.store.list("active/deliveries")


def routing_key(stage: str, order: Mapping[str, Any]) -> str:
    """The key under which a unit's bell is rung: `route`, `render`, `send.<destination>[.urgent]`."""
    if stage != "send":
        return stage
    return f"send.{order['destination']}" + (".urgent" if order.get("urgent") else "")
