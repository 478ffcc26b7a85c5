"""A closed part in; its decision, the pins of its study and its deliveries out.

Decided once, under the configuration that was in force when the part closed; whoever comes second reads the first's
decision. No route wants it, or a pinned choice cannot be followed: held, never a guess. A decided part comes once more
when a person ordered a delivery of it on top: that is made too.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any

from consumers.router.routing import Routing
from consumers.router.vetting import count_warnings
from consumers.router.watching import Watch
from shared import metrics
from shared.messages import Bell, Ring
from shared.notices.happened import note
from shared.outcomes import Done, Held, Outcome, Watched
from shared.spool.corrections import corrections_of
from shared.spool.deliveries import (
    Ordered,
    create_delivery,
    order_from_json,
    ordered_of,
    routing_key,
)
from shared.spool.spool import Spool
from shared.work import Claim


class Router:
    """Answers bells of parts.

    Args:
        spool: the spool.
    """

    def __init__(self, spool: Spool) -> None:
        self._spool = spool

    def handle(self, claim: Claim) -> Outcome:
        """Decide where a part goes, if nobody has; make the deliveries; ring for them."""
        name = f"parts/{claim.id}/decision.json"
        decision = self._spool.read_json(name)
        if decision is None:
            routing = Routing(self._spool, claim.id, claim.state.config, corrections_of(claim.facts))
            decided = routing.decide()
            if isinstance(decided, Held):
                return decided
            for route in {order["route"] for order in decided["deliveries"] if order["addendum"]}:
                note(self._spool, "addendum", f"{claim.id}-{route}", route=route, part=claim.id)
            claim.check()  # a decision is for good: not by one whose part another held, and a person then corrected
            if self._spool.put_json(name, decided):  # or another router was faster, and counted
                for route in decided["routes"]:
                    metrics.PARTS_ROUTED.labels(route=route).inc()
                count_warnings(decided.get("warned", ()))
            decision = self._spool.read_json(name) or decided
        if corrections_of(decision) != corrections_of(claim.facts):
            return Held("it was decided while a person corrected it; nothing of it goes uncorrected", "policy")
        due = {id_: datetime.fromisoformat(at) for id_, at in decision.get("due", {}).items()}
        by_router = (
            Ordered(order=order_from_json(content), due=due.get(content["id"])) for content in decision["deliveries"]
        )
        rings = [
            *(self._deliver(it, decision["config"]) for it in by_router),
            *(self._deliver(it, claim.state.config) for it in self._by_a_person(claim)),
        ]
        made = tuple(ring for ring in rings if ring is not None)
        return self._watched(claim, decision, made) or Done(outcome="routed", rings=made)

    def _watched(self, claim: Claim, decision: Mapping[str, Any], made: tuple[Ring, ...]) -> Watched | None:
        """What a look at the candidates that have the part says; None when none has any of it unfinished."""
        if not any(it.get("one_of") for it in decision["deliveries"]):
            return None
        routing = Routing(self._spool, claim.id, decision["config"], decision.get("corrections", ""))
        return Watch(self._spool, claim, routing.site(), routing.excluded).look(made)

    def _by_a_person(self, claim: Claim) -> Iterator[Ordered]:
        """What was ordered on top, without what its destination excludes by now."""
        ordered = ordered_of(claim.facts).values()
        for corrections in sorted({it.order.form.corrections for it in ordered}):
            routing = Routing(self._spool, claim.id, claim.state.config, corrections)
            for it in ordered:
                if it.order.form.corrections == corrections:
                    yield replace(it, order=replace(it.order, excluded=routing.excluded(it.order)))

    def _deliver(self, ordered: Ordered, config: str) -> Ring | None:
        """Make a delivery unless it is there; its bell, while nobody has looked at it."""
        order = ordered.order
        create_delivery(self._spool, order, config, ordered=ordered)
        state = self._spool.deliveries.newest(order.id)
        if state is None or state.n:
            return None
        bell, key = Bell(unit=order.id, n=0), routing_key(state.stage, asdict(order))
        wait = max(timedelta(0), state.due - self._spool.now()) if state.due else timedelta(0)
        return Ring(routing_key=key, bell=bell, wait=wait, journey=order.part)
