"""Deliveries: one part, in one form, to one destination.

deliveries/<id>/<n>.json     the unit's records; record 0 holds the order too
active/deliveries/<id>       there while the delivery is unfinished
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from shared.forms import Form, form_to_json, hashed_id
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
        again: 0 for what the router decided; counts the times a person ordered it once more.
        one_of: its destination is one of several candidates, and another may get the study instead.
        addendum: later images of a study that its route was given before.
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
    again: int = 0
    one_of: bool = False
    addendum: bool = False
    excluded: tuple[int, ...] = ()

    @property
    def id(self) -> str:
        """Id of the delivery: the same part, form and destination are one delivery, whatever routes ask for it."""
        repeated = (self.again,) if self.again else ()
        return hashed_id("d", self.part, self.destination, self.identity, form_to_json(self.form), *repeated)


@dataclass(frozen=True, kw_only=True)
class Ordered:
    """A delivery that a person ordered of a part that was routed before.

    Args:
        order: the delivery.
        elsewhere: by index, ids of deliveries that brought an instance already; it is left out.
        due: not to be sent before.
    """

    order: Order
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    due: datetime | None = None


InstanceOutcome = Literal["delivered", "refused", "held", "dropped", "elsewhere"]


def order_to_json(order: Order) -> dict[str, Any]:
    """An order as record 0 and the decision hold it."""
    return {"id": order.id, **asdict(order), "form": form_to_json(order.form)}


def order_from_json(content: Mapping[str, Any]) -> Order:
    """An order as it was written."""
    facts = {key: value for key, value in content.items() if key in Order.__dataclass_fields__}
    return Order(**{**facts, "form": Form(**content["form"]), "excluded": tuple(content.get("excluded", ()))})


def marker(delivery: str) -> str:
    """The name that stands in `active/` while a delivery is unfinished."""
    return f"active/deliveries/{delivery}"


def ordered_to_json(ordered: Ordered) -> dict[str, Any]:
    """What a person ordered, as the part's record holds it."""
    due = None if ordered.due is None else ordered.due.isoformat()
    return {"order": order_to_json(ordered.order), "elsewhere": dict(ordered.elsewhere), "due": due}


def ordered_of(facts: Mapping[str, Any]) -> dict[str, Ordered]:
    """The deliveries that persons ordered of a part, by id; `facts` are those of the part's records."""
    return {id_: _ordered(content) for id_, content in facts.get("ordered", {}).items()}


def _ordered(content: Mapping[str, Any]) -> Ordered:
    due = None if content["due"] is None else datetime.fromisoformat(content["due"])
    return Ordered(order=order_from_json(content["order"]), elsewhere=content["elsewhere"], due=due)


def create_delivery(
    spool: Spool, order: Order, config: str, *, ordered: Ordered | None = None, moved_from: str = ""
) -> None:
    """Make a delivery unless it is there: first the marker that a sweep finds, then the unit, whole.

    Args:
        spool: the spool.
        order: what it is.
        config: hash of the configuration in force.
        ordered: when it is due, and what of it is elsewhere.
        moved_from: name of the candidate that it was handed over from.
    """
    if spool.deliveries.newest(order.id) is not None:
        return
    spool.store.put_new(marker(order.id), b"")
    stage = "send" if order.form.kind == "received" else "render"
    state = State(n=0, stage=stage, status="waiting", at=spool.now(), config=config)
    if ordered is not None:
        state = replace(state, due=ordered.due, facts={"elsewhere": ordered.elsewhere} if ordered.elsewhere else {})
    if moved_from:
        state = replace(state, facts={**state.facts, "moved_from": moved_from})
    spool.deliveries.create(order.id, order_to_json(order), state)


def active_deliveries(spool: Spool) -> Iterator[str]:
    """Ids of unfinished deliveries, dead letters among them."""
    yield from spool.store.list("active/deliveries")


def routing_key(stage: str, order: Mapping[str, Any], *, urgent: bool = False) -> str:
    """The key under which a unit's bell is rung: `route`, `render`, `send.<destination>[.urgent]`.

    A delivery at stage `verify` is its destination's owner's too.

    Args:
        stage: where the unit stands.
        order: what it is.
        urgent: a person made it so; its order may say so too.
    """
    if stage not in ("send", "verify"):
        return stage
    return f"send.{order['destination']}" + (".urgent" if urgent or order.get("urgent") else "")
