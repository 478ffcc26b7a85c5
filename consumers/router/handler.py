"""A closed part in; its decision, the pins of its study and its deliveries out.

Decided once, under the configuration that was in force when the part closed; whoever comes second reads the first's
decision. No route wants it, or a pinned choice cannot be followed: held, never a guess. A decided part comes once more
when a person ordered a delivery of it on top: that is made too.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, replace
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

import structlog

from consumers.router.candidates import opens, turn_of
from consumers.router.choice import changed, choices_of, orders_of
from consumers.router.facts import facts_of, sop_class_values, texts_at
from consumers.router.rules import Header, Wanted, excluded_by, is_open_to, keywords_of, wanted_by
from consumers.router.standing import Site, begun_at, candidate_in, candidates_now, divert_of
from consumers.router.vetting import Vetting, count_warnings
from consumers.router.watching import Watch
from shared import metrics
from shared.config import Config
from shared.editing.corrected import corrected_header
from shared.errors import DataSetError, PermanentError, StorageError
from shared.messages import Bell, Ring
from shared.notices.happened import note
from shared.outcomes import Done, Held, Outcome, Watched
from shared.spool.corrections import corrections_of, read_corrections
from shared.spool.deliveries import (
    Order,
    Ordered,
    create_delivery,
    order_from_json,
    order_to_json,
    ordered_of,
    routing_key,
)
from shared.spool.keys import edit_key_id, key_id
from shared.spool.parts import Instance, Manifest, Part, read_manifest, read_part
from shared.spool.pins import Pin, keep_form, live_pins, note_part, put_pin, study_pins
from shared.spool.spool import Spool
from shared.work import Claim

log = structlog.get_logger()


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
            self._spool.put_json(name, decided)
            decision = self._spool.read_json(name) or decided
            for route in decision["routes"]:
                metrics.PARTS_ROUTED.labels(route=route).inc()
            count_warnings(decision.get("warned", ()))
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


class Routing:
    """One part to be decided.

    Args:
        spool: the spool.
        part_id: the part.
        config_hash: the configuration to decide under.
        corrections: name of what a person corrected in the part; rules see the corrected values.

    Raises:
        PermanentError: the part, or the configuration or corrections it names, are not in the spool.
    """

    def __init__(self, spool: Spool, part_id: str, config_hash: str, corrections: str = "") -> None:
        part, manifest, snapshot = read_part(spool, part_id), read_manifest(spool, part_id), spool.config(config_hash)
        if part is None or manifest is None or snapshot is None:
            raise PermanentError("the part, its manifest or its configuration is missing in the spool", "bug")
        self._spool, self._hash = spool, config_hash
        self.part: Part = part
        self.manifest: Manifest = manifest
        self.config = Config.from_snapshot(snapshot)
        self._corrections = corrections
        self._edit = read_corrections(spool, part_id, corrections) if corrections else None
        self._folder = study_pins(part.study_instance_uid, part.called_ae_title)
        self._due: dict[str, datetime] = {}

    def site(self) -> Site:
        """Where a part stands, for who looks after its candidates."""
        return Site(
            part=self.part,
            manifest=self.manifest,
            config=self.config,
            config_hash=self._hash,
            corrections=self._corrections,
        )

    def decide(self) -> dict[str, Any] | Held:
        """The decision as it is written, or why a person is needed."""
        source = self.config.source(self.part.source)
        if source is None:
            return Held(f"source '{self.part.source}' is not configured any more", "policy")
        if held := self._vetting.before_routing(source, self._today):
            return held
        pins_of_study = live_pins(self._spool, self._folder, self.config.relay.follow)
        live = {route: pin for route, pin in pins_of_study.items() if self._is_open(pin)}
        wanted = wanted_by(self.config.routes, self._facts, lambda: self._headers, live)
        gone = sorted(pin.route for pin in live.values() if pin.choices and self.config.route(pin.route) is None)
        if gone:
            return Held(
                f"route '{gone[0]}', which earlier parts of the study took, is gone from the configuration", "policy"
            )
        if not wanted:
            return Held(
                f"no route wants it: source '{source.name}', {len(self.manifest.instances)} instances", "policy"
            )
        if held := self._vetting.against_study():
            return held
        pins = self._pinned(wanted, live, source.issuer or "")
        if isinstance(pins, Held):
            return pins
        late = self._given_before(live)
        orders = list(orders_of(self.part, pins, self.config, source.ae_title, late, self._corrections))
        if not orders:
            return Held("its routes choose nobody for the study any more; a person sent it elsewhere", "policy")
        for route in self.config.routes:
            if route.one_of and route.name in pins:
                note_part(self._spool, self._folder, route.name, self.part.id)
        return self._decision(pins, [replace(order, excluded=self.excluded(order)) for order in orders])

    def _pinned(self, wanted: list[Wanted], live: Mapping[str, Pin], issuer: str) -> dict[str, Pin] | Held:
        """The pin of each route that wants the part, or why a person is needed."""
        pins: dict[str, Pin] = {}
        for want in wanted:
            pin = live.get(want.route.name) or self._pin(want, issuer)
            if pin is None:
                return Held(f"no calendar of route '{want.route.name}' opens within 400 days", "policy")
            if reason := changed(pin, self.config):
                return Held(reason, "policy")
            pins[want.route.name] = pin
            self._note_addendum(pin)
        return pins

    def _given_before(self, live: Mapping[str, Pin]) -> set[str]:
        """The routes that were given the study before this part was begun."""
        return {pin.route for pin in live.values() if pin.tried or pin.made_at < self.part.opened_at}

    def _note_addendum(self, pin: Pin) -> None:
        """Note that earlier parts of the study took this route before this one was closed."""
        unit = self._spool.parts.outline(self.part.id)
        if unit is not None and pin.made_at < unit.made_at:
            note(self._spool, "addendum", f"{self.part.id}-{pin.route}", route=pin.route, part=self.part.id)

    def excluded(self, order: Order) -> tuple[int, ...]:
        """Indexes of the instances that the destination excludes."""
        destination = self.config.destination(order.destination)
        return excluded_by(destination.exclude, self._headers) if destination and destination.exclude else ()

    def _is_open(self, pin: Pin) -> bool:
        """Whether a pinned route is open to this part's source; one that is gone, as it stood when it was pinned."""
        route = self.config.route(pin.route)
        if route is None:
            snapshot = self._spool.config(pin.config)
            route = None if snapshot is None else Config.from_snapshot(snapshot).route(pin.route)
        return route is None or is_open_to(route.match, self._facts)

    def _pin(self, want: Wanted, issuer: str) -> Pin | None:
        """The choice for a study, pinned; None when no candidate is ever there."""
        them = candidates_now(self._spool, self.config, want.route)
        turn = turn_of(them, self._spool.now()) if want.route.one_of else None
        if want.route.one_of and turn is None:
            return None
        choices = choices_of(
            want.route,
            self.config,
            issuer,
            lambda profile: key_id(self.config, profile),
            turn.destination if turn else "",
            lambda edit: edit_key_id(self.config, edit),
        )
        for form in {choice.form for choice in choices}:
            keep_form(self._spool, self.config, form)
        urgent = want.route.priority == "urgent"
        divert = divert_of(self._spool, want.route)
        pin = Pin(
            route=want.route.name,
            epoch=0,
            made_at=self._spool.now(),
            choices=choices,
            urgent=urgent,
            config=self._hash,
            why="" if divert is None else divert.sentence,
        )
        return put_pin(self._spool, self._folder, pin, self.config.relay.follow)

    def _decision(self, pins: Mapping[str, Pin], orders: list[Order]) -> dict[str, Any]:
        due = {it.id: at.isoformat() for it in orders if it.one_of and (at := self._due_of(pins[it.route]))}
        return {
            **({"corrections": self._corrections} if self._corrections else {}),
            "due": due,
            "config": self._hash,
            "at": self._spool.now().isoformat(),
            "routes": sorted(pins),
            "why": {route: pin.why for route, pin in pins.items() if pin.why},
            "pins": {route: pin.epoch for route, pin in pins.items()},
            "deliveries": [order_to_json(order) for order in orders],
            "warned": self._vetting.warnings(),
        }

    def _due_of(self, pin: Pin) -> datetime | None:
        """From when the candidate of a pin may be given something; None: now, or it has begun with the study."""
        route = self.config.route(pin.route)
        current = candidate_in(pin)
        if route is None or current is None or begun_at(self._spool, self._folder, pin.route, current):
            return None
        return opens(candidates_now(self._spool, self.config, route), current.destination, self._spool.now())

    @cached_property
    def _vetting(self) -> Vetting:
        return Vetting(self._spool, self.config, self.part, self.manifest, self._facts, lambda: self._headers)

    @property
    def _today(self) -> date:
        return self._spool.now().astimezone(ZoneInfo(self.config.relay.timezone)).date()

    @cached_property
    def _facts(self) -> dict[str, str]:
        return facts_of(self.part, self.manifest, self._spool.now(), ZoneInfo(self.config.relay.timezone))

    @cached_property
    def _headers(self) -> list[Header]:
        excludes = (match for destination in self.config.destinations for match in destination.exclude)
        keywords = {*keywords_of(self.config.routes, excludes), *self._vetting.keywords}
        return [self._header(instance, keywords) for instance in self.manifest.instances]

    def _header(self, instance: Instance, keywords: Collection[str]) -> Header:
        """The values that rules ask about; an instance that cannot be read has none, and matches by the others'."""
        known = sop_class_values(instance.sop_class_uid)
        if not keywords:
            return known
        try:
            names = {path.partition(".")[0] for path in keywords}
            header = corrected_header(self._spool.store.path(instance.file), names, self._edit, self.part)
        except (DataSetError, StorageError) as error:
            if isinstance(error, StorageError) and instance.sop_class_uid:
                raise
            log.warning("unreadable_instance", part=self.part.id, why=str(error))
            return known
        return {**known, **{path: texts_at(header, path) for path in keywords}}
