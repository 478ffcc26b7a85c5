"""One part to be decided: which routes want it, what they chose for its study, which deliveries that makes.

It reads the spool and pins choices there; who asks for a decision writes it down.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import date, datetime
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import structlog
from pydicom import Dataset

from consumers.router.candidates import opens, turn_of
from consumers.router.choice import changed, choices_of, orders_of
from consumers.router.facts import facts_of, sop_class_values, texts_at
from consumers.router.priors import PATIENT_ID, followed, note_choices, prior_choices
from consumers.router.rules import Header, Passed, Wanted, excluded_by, is_open_to, keywords_of, weighed
from consumers.router.standing import Site, begun_at, candidate_in, candidates_now, divert_of
from consumers.router.vetting import Vetting
from shared.config import Config, Route, Source
from shared.editing.corrected import corrected_header
from shared.errors import DataSetError, PermanentError, StorageError
from shared.headers import read_header
from shared.outcomes import Held
from shared.spool.corrections import read_corrections
from shared.spool.deliveries import (
    Order,
    order_to_json,
)
from shared.spool.keys import edit_key_id, key_id
from shared.spool.parts import Instance, Manifest, Part, read_manifest, read_part
from shared.spool.pins import Choice, Pin, keep_form, live_pins, note_part, put_pin, study_pins
from shared.spool.spool import Spool

log = structlog.get_logger()


class Routing:
    """One part to be decided.

    Args:
        spool: the spool.
        part_id: the part.
        config_hash: the configuration to decide under.
        corrections: name of what a person corrected in the part; rules see the corrected values.
        key: gives the public name of a profile's key.
        edit_key: gives that of an edit's key.
        read: reads elements of a file.

    Raises:
        PermanentError: the part, or the configuration or corrections it names, are not in the spool.
    """

    def __init__(
        self,
        spool: Spool,
        part_id: str,
        config_hash: str,
        corrections: str = "",
        *,
        key: Callable[[Config, str], str] = key_id,
        edit_key: Callable[[Config, str], str] = edit_key_id,
        read: Callable[[Path, Collection[str]], Dataset] = read_header,
    ) -> None:
        part, manifest, snapshot = read_part(spool, part_id), read_manifest(spool, part_id), spool.config(config_hash)
        if part is None or manifest is None or snapshot is None:
            raise PermanentError("the part, its manifest or its configuration is missing in the spool", "bug")
        self._spool, self._hash, self._read = spool, config_hash, read
        self._key_id, self._edit_key_id = key, edit_key
        self.part: Part = part
        self.manifest: Manifest = manifest
        self.config = _config(snapshot)
        self._corrections = corrections
        self._edit = read_corrections(spool, part_id, corrections) if corrections else None
        self._folder = study_pins(part.study_instance_uid, part.called_ae_title)

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
        source = self._source
        if isinstance(source, Held):
            return source
        if held := self.vetting.before_routing(source, self._today):
            return held
        wanted = [it for it in self.weighed if isinstance(it, Wanted)]
        gone = sorted(pin.route for pin in self._live.values() if pin.choices and self.config.route(pin.route) is None)
        if gone:
            return Held(
                f"route '{gone[0]}', which earlier parts of the study took, is gone from the configuration", "policy"
            )
        if not wanted:
            return Held(
                f"no route wants it: source '{source.name}', {len(self.manifest.instances)} instances", "policy"
            )
        if held := self.vetting.against_study():
            return held
        pins = self.pinned()
        if isinstance(pins, Held):
            return pins
        orders = list(orders_of(self.part, pins, self.config, source.ae_title, self._given_before(), self._corrections))
        if not orders:
            return Held("its routes choose nobody for the study any more; a person sent it elsewhere", "policy")
        self._note(pins, source)
        return self._decision(pins, [replace(order, excluded=self.excluded(order)) for order in orders])

    def _note(self, pins: Mapping[str, Pin], source: Source) -> None:
        """What later looks ask for: the parts that have a candidate, and for which patient one was chosen."""
        for route in self.config.routes:
            if route.one_of and route.name in pins:
                note_part(self._spool, self._folder, route.name, self.part.id)
        note_choices(self._spool, self.config, source, self._folder, pins, lambda: self.headers)

    def pinned(self) -> dict[str, Pin] | Held:
        """The pin of each route that wants the part, or why a person is needed."""
        source, pins = self._source, dict[str, Pin]()
        if isinstance(source, Held):
            return source
        for want in (it for it in self.weighed if isinstance(it, Wanted)):
            pin = self._live.get(want.route.name) or self._pin(want, source)
            if isinstance(pin, Held):
                return pin
            if reason := changed(pin, self.config):
                return Held(reason, "policy")
            pins[want.route.name] = pin
        return pins

    @cached_property
    def weighed(self) -> list[Wanted | Passed]:
        """Each route, and whether it gets the part."""
        return weighed(self.config.routes, self.facts, lambda: self.headers, self._live)

    @cached_property
    def _live(self) -> dict[str, Pin]:
        """The pins of the study that are open to this part's source, by route."""
        pins = live_pins(self._spool, self._folder, self.config.relay.follow)
        return {route: pin for route, pin in pins.items() if self._is_open(pin)}

    def _given_before(self) -> set[str]:
        """The routes that were given the study before this part was begun."""
        return {pin.route for pin in self._live.values() if pin.tried or pin.made_at < self.part.opened_at}

    def excluded(self, order: Order) -> tuple[int, ...]:
        """Indexes of the instances that the destination excludes."""
        return self.excluded_from(order.destination)

    def excluded_from(self, name: str) -> tuple[int, ...]:
        """Indexes of the instances that a destination of that name excludes."""
        destination = self.config.destination(name)
        return excluded_by(destination.exclude, self.headers) if destination and destination.exclude else ()

    def _is_open(self, pin: Pin) -> bool:
        """Whether a pinned route is open to this part's source; one that is gone, as it stood when it was pinned."""
        route = self.config.route(pin.route)
        if route is None:
            snapshot = self._spool.config(pin.config)
            route = None if snapshot is None else _config(snapshot).route(pin.route)
        return route is None or is_open_to(route.match, self.facts)

    def _choices(self, route: Route, source: Source) -> tuple[Choice, ...] | Held:
        """What a route chooses for a study now, or why a person is needed."""
        if route.kind == "prior":
            return prior_choices(self._spool, self.config, route, source, self.headers)
        turn = turn_of(candidates_now(self._spool, self.config, route), self._spool.now()) if route.one_of else None
        if route.one_of and turn is None:
            return Held(f"no calendar of route '{route.name}' opens within 400 days", "policy")
        candidate, issuer = turn.destination if turn else "", source.issuer or ""
        return choices_of(
            route,
            self.config,
            issuer,
            lambda profile: self._key_id(self.config, profile),
            candidate,
            lambda edit: self._edit_key_id(self.config, edit),
        )

    def _pin(self, want: Wanted, source: Source) -> Pin | Held:
        """The choice for a study, pinned, or why a person is needed."""
        choices = self._choices(want.route, source)
        if isinstance(choices, Held):
            return choices
        if want.route.kind == "new":  # of a prior it was kept with the choice that it follows
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
        due = {it.id: at.isoformat() for it in orders if it.one_of and (at := self.due_of(pins[it.route]))}
        return {
            **({"corrections": self._corrections} if self._corrections else {}),
            "due": due,
            "config": self._hash,
            "at": self._spool.now().isoformat(),
            "routes": sorted(pins),
            "why": {route: pin.why for route, pin in pins.items() if pin.why},
            "pins": {route: pin.epoch for route, pin in pins.items()},
            "deliveries": [order_to_json(order) for order in orders],
            "warned": self.vetting.warnings(),
        }

    def due_of(self, pin: Pin) -> datetime | None:
        """From when the candidate of a pin may be given something; None: now, or it has begun with the study."""
        route = self.config.route(pin.route)
        current = candidate_in(pin)
        if route is None or current is None or begun_at(self._spool, self._folder, pin.route, current):
            return None
        return opens(candidates_now(self._spool, self.config, route), current.destination, self._spool.now())

    @cached_property
    def vetting(self) -> Vetting:
        """The checks that look at the part."""
        return Vetting(self._spool, self.config, self.part, self.manifest, self.facts, lambda: self.headers)

    @property
    def _source(self) -> Source | Held:
        found = self.config.source(self.part.source)
        return found or Held(f"source '{self.part.source}' is not configured any more", "policy")

    @property
    def _today(self) -> date:
        return self._spool.now().astimezone(ZoneInfo(self.config.relay.timezone)).date()

    @cached_property
    def facts(self) -> dict[str, str]:
        """What the relay knows of the part, for match tables."""
        return facts_of(self.part, self.manifest, self._spool.now(), ZoneInfo(self.config.relay.timezone))

    @cached_property
    def headers(self) -> list[Header]:
        """What rules ask of each instance."""
        excludes = (match for destination in self.config.destinations for match in destination.exclude)
        keywords = {*keywords_of(self.config.routes, excludes), *self.vetting.keywords}
        keywords |= {PATIENT_ID} if followed(self.config) else set()
        return [self._header(instance, keywords) for instance in self.manifest.instances]

    def elements(self, instance: Instance, keywords: Collection[str]) -> Dataset:
        """Top-level elements of an instance, with what a person corrected; raises as `corrected_header`."""
        path = self._spool.store.path(instance.file)
        return corrected_header(path, keywords, self._edit, self.part, self._read)

    def _header(self, instance: Instance, keywords: Collection[str]) -> Header:
        """The values that rules ask about; an instance that cannot be read has none, and matches by the others'."""
        known = sop_class_values(instance.sop_class_uid)
        if not keywords:
            return known
        try:
            header = self.elements(instance, {path.partition(".")[0] for path in keywords})
        except (DataSetError, StorageError) as error:
            if isinstance(error, StorageError) and instance.sop_class_uid:
                raise
            log.warning("unreadable_instance", part=self.part.id, why=str(error))
            return known
        return {**known, **{path: texts_at(header, path) for path in keywords}}


@lru_cache(maxsize=4)
def _config(snapshot: bytes) -> Config:
    return Config.from_snapshot(snapshot)
