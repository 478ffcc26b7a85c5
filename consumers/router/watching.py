"""The router's look after a study at the candidate that has it: it stays, waits, moves, or a person is asked.

Each part that a route gave to one of several candidates is looked at again when the rules say so. One part of the study
decides for all, the oldest that is unfinished; its claim makes that one process does. To move, it first takes the
study's unfinished deliveries from their sender (`hand_over`), so that what the candidate has stands still, and decides
on that; then it pins the next candidate, and every part makes its own delivery to it and ends its old one. Killed at
any line, whoever claims the part next finds how far it came.
Source: design, "No silent second reader"; ADR 0016.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import structlog

from consumers.router.calendar import changes
from consumers.router.candidates import Candidates
from consumers.router.choice import candidate_choice, order_of
from consumers.router.hand_over import Answer, Ask, Move, Stay, Wait, decide, patience
from consumers.router.standing import (
    Site,
    Stand,
    candidate_in,
    candidates_now,
    left_behind,
    situation_of,
    soon,
    stage_of,
    stands_at,
)
from consumers.router.telling import handed_over_event, note_hand_over
from shared import metrics
from shared.config.rules import Route
from shared.errors import SupersededError
from shared.messages import Bell, Event, Ring
from shared.outcomes import Watched
from shared.spool import states
from shared.spool.deliveries import Order, Ordered, create_delivery, marker, ordered_to_json, routing_key
from shared.spool.keys import edit_key_id, key_id
from shared.spool.parts import decided_deliveries
from shared.spool.pins import Choice, Pin, handed_over, keep_form, newest_pin, noted_parts, put_handed_over, study_pins
from shared.spool.spool import Spool
from shared.spool.states import HAND_OVER, State
from shared.spool.units import Unit
from shared.work import Claim

log = structlog.get_logger()
_LOOK_AGAIN, _LONGEST = timedelta(minutes=15), timedelta(days=1)
_OTHERS = timedelta(seconds=5)
Next = Callable[[Unit], State | None]


class Watch:
    """One look at one part.

    Args:
        spool: the spool.
        claim: the part.
        site: what it is, and the configuration it was decided under.
        excluded: which instances of an order its destination excludes.
    """

    def __init__(self, spool: Spool, claim: Claim, site: Site, excluded: Callable[[Order], tuple[int, ...]]) -> None:
        self._spool, self._claim, self._site, self._excluded = spool, claim, site, excluded
        self._folder = study_pins(site.part.study_instance_uid, site.part.called_ae_title)
        self._rings: list[Ring] = []
        self._events: list[Event] = []
        self._why, self._alert = "", False

    def look(self, made: tuple[Ring, ...]) -> Watched | None:
        """Decide and act for each route that chose; None when nothing of the part is unfinished at a candidate.

        Args:
            made: bells of deliveries that were made just now.
        """
        routes = [route for route in self._site.config.routes if route.one_of]
        looks = [at for route in routes if (at := self._route(route)) is not None]
        if not looks:
            return None
        events = tuple(self._events)
        rings = (*self._still(made), *self._rings)
        return Watched(
            outcome="routed", until=min(looks), reason=self._why, alert=self._alert, rings=rings, events=events
        )

    def _still(self, made: tuple[Ring, ...]) -> Iterator[Ring]:
        """The bells whose record is still the newest."""
        for ring in made:
            if self._spool.deliveries.is_newest(ring.bell.unit, ring.bell.n):
                yield ring

    def _route(self, route: Route) -> datetime | None:
        """When to look again; None when nothing is left to look after."""
        pin = newest_pin(self._spool, self._folder, route.name)
        choice = None if pin is None else candidate_in(pin)
        if pin is None or choice is None:
            return self._let_go(route)
        for unit, _ in list(left_behind(self._spool, self._folder, pin, self._claim.id)):
            self._follow(unit, pin, choice)
        stands = self._stands(route, choice)
        behind = self._wake_others(route, pin)
        mine = next((it for it in stands if it.part == self._claim.id), None)
        if mine is None or not mine.is_open:
            return self._spool.now() + _OTHERS if behind else None
        if (leader := self._leader(stands)) is not None and leader.part != self._claim.id:
            return soon(self._spool.now(), None, patience(route, urgent=pin.urgent))
        at = self._lead(route, pin, choice, stands)
        return min(at, self._spool.now() + _OTHERS) if behind else at

    def _let_go(self, route: Route) -> datetime | None:
        """A person chose for the study: what was fenced at that moment goes on where it is; when to look again."""
        ours = (self._spool.deliveries.load(it) for it in decided_deliveries(self._spool, self._claim.id) or ())
        fenced = [it for it in ours if it and it.state.stage == HAND_OVER and it.order["route"] == route.name]
        for unit in fenced:
            self._change(unit.id, self._unfenced)
        return self._spool.now() + _OTHERS if fenced else None

    def _stands(self, route: Route, choice: Choice) -> list[Stand]:
        return stands_at(self._spool, self._folder, route.name, choice)

    def _leader(self, stands: list[Stand]) -> Stand | None:
        return next((it for it in stands if it.is_open and it.is_watched), None)

    def _lead(self, route: Route, pin: Pin, choice: Choice, stands: list[Stand]) -> datetime:
        answer = self._decide(route, pin, choice, stands)
        if isinstance(answer, Move):
            self._each(stands, lambda unit: _fenced(unit, self._spool.now()))
            stands = self._stands(route, choice)
            answer = self._decide(route, pin, choice, stands)
        if isinstance(answer, Move):
            return self._move(route, pin, choice, stands, answer)
        self._act(stands, answer)
        return self._look_at(route, stands, answer)

    def _decide(self, route: Route, pin: Pin, choice: Choice, stands: list[Stand]) -> Answer:
        still_open = [it for it in stands if it.is_open]
        if any(it.is_policy for it in still_open) or (still_open and all(it.is_asked for it in still_open)):
            return Stay(why="a person is asked", look_at=self._spool.now() + _LOOK_AGAIN)
        situation = situation_of(self._spool, pin, choice, stands)
        return decide(route, self._candidates(route), situation, self._spool.now())

    def _candidates(self, route: Route) -> Candidates:
        return candidates_now(self._spool, self._site.config, route)

    def _act(self, stands: list[Stand], answer: Answer) -> None:
        now = self._spool.now()
        match answer:
            case Stay(why=why, alert=alert):
                self._say(why if alert else "", alert=alert)
                self._each(stands, self._unfenced)
            case Wait(until=until, why=why):
                self._say(why)
                due = until or now + _LONGEST
                self._each(stands, lambda unit: self._put_off(unit, due, why))
            case Ask(why):
                self._say(why)
                helps = _commands(stands)
                self._each(stands, lambda unit: self._asked(unit, f"{why}; {helps}"))

    def _say(self, why: str, *, alert: bool = False) -> None:
        self._why, self._alert = why or self._why, alert or self._alert

    def _look_at(self, route: Route, stands: list[Stand], answer: Answer) -> datetime:
        now = self._spool.now()
        moment = answer.until if isinstance(answer, Wait) else answer.look_at if isinstance(answer, Stay) else None
        if not any(it.holding.some for it in stands):  # when its window closes, it is chosen for again
            candidates = self._candidates(route)
            them = map(candidates.calendar, candidates.them)
            edge = next(changes(them, now, now + _LONGEST, candidates.zone), None)
            moment = min(filter(None, (moment, edge)), default=None)
        longest = _LONGEST if moment is not None else max(_LOOK_AGAIN, patience(route, urgent=False))
        return soon(now, moment, longest)

    def _move(self, route: Route, pin: Pin, choice: Choice, stands: list[Stand], answer: Move) -> datetime:
        config = self._site.config
        source = config.source(self._site.part.source)
        issuer = (source.issuer or "") if source is not None else ""
        to = candidate_choice(
            route,
            config,
            issuer,
            lambda profile: key_id(config, profile),
            answer.to,
            lambda it: edit_key_id(config, it),
        )
        keep_form(self._spool, config, to.form)
        why = "; ".join(filter(None, (answer.why, answer.notice)))
        wanted = handed_over(
            pin, choice.destination, to, made_at=self._spool.now(), config=self._site.config_hash, why=why
        )
        standing = put_handed_over(self._spool, self._folder, wanted)
        if standing == wanted:
            metrics.HANDED_OVER.labels(route=route.name, destination=choice.destination).inc()
            log.warning("handed_over", route=route.name, destination=choice.destination, to=answer.to)
            self._events.append(handed_over_event(self._claim, pin, choice.destination, answer.to, stands))
        return self._route(route) or self._spool.now() + _OTHERS

    def _follow(self, unit: Unit, pin: Pin, choice: Choice) -> None:
        """Give this part to the candidate that has the study now: named, made, and then the old delivery ended."""
        config = self._site.config
        source = config.source(self._site.part.source)
        ours = "" if source is None else source.ae_title
        order = order_of(self._site.part, pin, choice, config, ours, self._site.corrections)
        urgent = pin.urgent or unit.state.urgent or bool(unit.order.get("urgent"))
        order = replace(order, urgent=urgent, addendum=bool(unit.order.get("addendum")))
        ordered = Ordered(order=replace(order, excluded=self._excluded(order)))
        if order.id not in self._claim.facts.get("ordered", {}):
            self._claim.record({"ordered": {order.id: ordered_to_json(ordered)}})
        old = str(unit.order["destination"])
        note_hand_over(self._spool, self._folder, pin, unit, order, len(self._site.manifest.instances))
        create_delivery(self._spool, ordered.order, self._site.config_hash, moved_from=old)
        made = self._spool.deliveries.newest(order.id)
        if made is not None and made.n == 0:
            self._ring(order.id, made, {"part": order.part, "destination": order.destination, "urgent": order.urgent})
        self._change(unit.id, lambda it: self._handed_over(it, pin, order))
        self._spool.store.delete(marker(unit.id))

    def _handed_over(self, unit: Unit, pin: Pin, order: Order) -> State | None:
        there = {index for word in ("delivered", "dropped", "elsewhere") for index in unit.facts.get(word, ())}
        missing = [index for index in map(str, range(len(self._site.manifest.instances))) if index not in there]
        stage = stage_of(self._spool.deliveries.history(unit.id))
        return states.handed_over(
            unit.state, stage, now=self._spool.now(), why=pin.why, to=order.destination, by=order.id, missing=missing
        )

    def _wake_others(self, route: Route, pin: Pin) -> bool:
        """Have the study's other parts follow the pin; whether some have not yet."""
        behind = [
            part
            for part in noted_parts(self._spool, self._folder, route.name)
            if part != self._claim.id and any(left_behind(self._spool, self._folder, pin, part))
        ]
        for part in behind:
            state = self._spool.parts.newest(part)
            if state is not None and state.status == "waiting" and state.due is not None:
                self._append_part(part, states.looked_at(state, now=self._spool.now()))
        return bool(behind)

    def _append_part(self, part: str, state: State) -> None:
        try:
            self._spool.parts.append(part, state)
        except SupersededError:
            return
        self._rings.append(Ring(routing_key="route", bell=Bell(unit=part, n=state.n), journey=part))

    def _each(self, stands: list[Stand], change: Next) -> None:
        for stand in stands:
            if stand.unit is not None and stand.is_open:
                self._change(stand.unit.id, change)

    def _change(self, delivery: str, change: Next) -> None:
        """Write a delivery's next record, as often as somebody else is faster."""
        while True:
            unit = self._spool.deliveries.load(delivery)
            state = None if unit is None or unit.state.status == "final" else change(unit)
            if unit is None or state is None:
                return
            try:
                self._spool.deliveries.append(delivery, state)
            except SupersededError:
                continue
            if state.status == "waiting" and state.stage != HAND_OVER:
                self._ring(delivery, state, unit.order)
            return

    def _ring(self, delivery: str, state: State, order: Mapping[str, Any]) -> None:
        key = routing_key(state.stage, order, urgent=state.urgent)
        wait = max(timedelta(0), state.due - self._spool.now()) if state.due else timedelta(0)
        self._rings.append(
            Ring(routing_key=key, bell=Bell(unit=delivery, n=state.n), wait=wait, journey=self._claim.id)
        )

    def _unfenced(self, unit: Unit) -> State | None:
        if unit.state.stage != HAND_OVER:
            return None
        stage = stage_of(self._spool.deliveries.history(unit.id))
        return states.unfenced(unit.state, stage, now=self._spool.now())

    def _put_off(self, unit: Unit, due: datetime, why: str) -> State | None:
        if unit.state.status == "held" or (unit.state.status == "waiting" and unit.state.due == due):
            return None
        stage = stage_of(self._spool.deliveries.history(unit.id))
        return states.unfenced(unit.state, stage, now=self._spool.now(), due=due, why=why)

    def _asked(self, unit: Unit, why: str) -> State | None:
        if unit.state.facts.get("person_asked"):
            return None
        return states.asked(
            unit.state, stage_of(self._spool.deliveries.history(unit.id)), now=self._spool.now(), why=why
        )


def _fenced(unit: Unit, now: datetime) -> State | None:
    return None if unit.state.stage == HAND_OVER else states.fenced(unit.state, now=now)


def _commands(stands: list[Stand]) -> str:
    first = next(it.unit.id[:10] for it in stands if it.unit is not None and it.is_open)
    return f"`dcmrelay dead redirect {first} --to NAME --whole-study` moves it, `dcmrelay dead replay {first}` goes on"
