"""How a study stands with the candidate that has it, read from the records of its deliveries."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from consumers.router.candidates import Candidates, candidates_of
from consumers.router.hand_over import Holding, Situation, holding_of
from shared.config import Config
from shared.config.rules import Route
from shared.forms import corrected, form_to_json, hashed_id
from shared.spool.circuits import newest_circuit
from shared.spool.corrections import corrections_of
from shared.spool.diverts import Divert, divert_in_force
from shared.spool.parts import Manifest, Part, read_manifest, read_part
from shared.spool.pauses import pause_in_force
from shared.spool.pins import Choice, Pin, newest_pin, noted_parts
from shared.spool.progress import last_progress
from shared.spool.spool import Spool
from shared.spool.states import HAND_OVER, State
from shared.spool.units import Unit

UNDER_WAY = "under_way"
"""The fact that says how many instances a sender that died may have sent since its last record."""


@dataclass(frozen=True, kw_only=True)
class Site:
    """A part, the configuration that it was decided under, and the name of what a person corrected in it before."""

    part: Part
    manifest: Manifest
    config: Config
    config_hash: str
    corrections: str = ""


@dataclass(frozen=True, kw_only=True)
class Stand:
    """One part of a study at the candidate that has it.

    Args:
        part: id of the part.
        opened_at: when the part was begun.
        unit: its delivery to the candidate; None when its records are gone with the part.
        history: the delivery's records, oldest first.
        holding: what the candidate has of it.
        is_watched: whether the part's own record says that the router looks after it.
    """

    part: str
    opened_at: datetime
    unit: Unit | None
    history: tuple[State, ...]
    holding: Holding
    is_watched: bool

    @property
    def is_open(self) -> bool:
        """Whether something is left to do for it."""
        return self.unit is not None and self.unit.state.status != "final"

    @property
    def is_asked(self) -> bool:
        """Whether it waits for a person because its route asks."""
        return self._is_held and bool(self.unit and self.unit.state.facts.get("person_asked"))

    @property
    def is_policy(self) -> bool:
        """Whether it waits for a person because what it was decided by is gone or was changed.

        What the profile withholds from an otherwise answered delivery is no reason to keep the study there.
        """
        is_policy = self.unit is not None and self.unit.state.dead_letter_class == "policy"
        return self._is_held and is_policy and not self.is_asked and not self.holding.settled

    @property
    def _is_held(self) -> bool:
        return self.unit is not None and self.unit.state.status == "held"


def divert_of(spool: Spool, route: Route) -> Divert | None:
    """The divert in force for a route, if it is to one of its candidates."""
    divert = divert_in_force(spool, route.name) if route.one_of else None
    return divert if divert is not None and divert.destination in route.destinations else None


def candidates_now(spool: Spool, config: Config, route: Route) -> Candidates:
    """The candidates of a route, as calendars and a person who diverted it say."""
    divert = divert_of(spool, route)
    return candidates_of(config, route.one_of, "" if divert is None else divert.destination)


def candidate_in(pin: Pin) -> Choice | None:
    """The choice of a pin that is one of several candidates."""
    return next((it for it in pin.choices if it.one_of), None)


def delivery_to(spool: Spool, part_id: str, choice: Choice) -> str:
    """Id of the delivery of a part to a choice, as `Order.id` makes it; with what a person corrected in the part."""
    corrections = corrections_of(spool.read_json(f"parts/{part_id}/decision.json") or {})
    form = corrected(choice.form, corrections) if corrections else choice.form
    return hashed_id("d", part_id, choice.destination, choice.identity, form_to_json(form))


def stands_at(spool: Spool, folder: str, route: str, choice: Choice) -> list[Stand]:
    """The parts of a study that a route gave to a candidate, the oldest first."""
    found = (_stand(spool, part_id, choice) for part_id in noted_parts(spool, folder, route))
    return sorted((it for it in found if it is not None), key=lambda it: (it.opened_at, it.part))


def begun_at(spool: Spool, folder: str, route: str, choice: Choice) -> bool:
    """Whether a candidate has, or may have, something of the study."""
    return any(it.holding.some for it in stands_at(spool, folder, route, choice))


def situation_of(spool: Spool, pin: Pin, choice: Choice, stands: list[Stand]) -> Situation:
    """What the rules of the hand-over ask about.

    While none of the study had its turn, it counts as success that the candidate answers others before it.
    """
    now = spool.now()
    due = [_due_since(it.history, now) for it in stands if it.is_open]
    successes = [at for it in stands if (at := _last_success(it.history)) is not None]
    if not any(_had_its_turn(it.history, now) for it in stands if it.is_open):
        successes += filter(None, [last_progress(spool, choice.destination)])
    is_paused = pause_in_force(spool, choice.destination) is not None
    since = now if is_paused else min(due, default=now)
    opened, probe_at = (None, None) if is_paused else _circuit(spool, choice.destination, since, now)
    return Situation(
        current=choice.destination,
        parts=tuple(it.holding for it in stands),
        due_since=since,
        last_success=max(successes, default=None),
        circuit_open_since=opened,
        probe_at=probe_at,
        tried=frozenset((*pin.tried, choice.destination)),
        urgent=pin.urgent or any(it.unit is not None and it.unit.state.urgent for it in stands),
    )


def _circuit(spool: Spool, destination: str, due: datetime, now: datetime) -> tuple[datetime | None, datetime | None]:
    """Since when a destination's circuit is open, if it failed after a delivery was due; else when it may be probed.

    It stays open while nothing waits, so that it was open before says nothing of a destination that came back.
    """
    circuit = newest_circuit(spool, destination)
    if circuit is None or not circuit.open or due > now:
        return None, None
    if circuit.failed_at is not None and circuit.failed_at >= due:
        return circuit.since, None
    return None, circuit.probe_at or now


def stage_of(history: tuple[State, ...] | list[State]) -> str:
    """The stage at which a delivery stands or stood before it was fenced."""
    return next((it.stage for it in reversed(history) if it.stage != HAND_OVER), "send")


def left_behind(spool: Spool, folder: str, pin: Pin, part_id: str) -> Iterator[tuple[Unit, Choice]]:
    """Unfinished deliveries of a part to candidates of earlier epochs, with the choice that made them."""
    seen: set[str] = set()
    for choice in _earlier(spool, folder, pin):
        delivery = delivery_to(spool, part_id, choice)
        unit = None if delivery in seen else spool.deliveries.load(delivery)
        seen.add(delivery)
        if unit is not None and unit.state.status != "final" and unit.order.get("one_of"):
            yield unit, choice


def _earlier(spool: Spool, folder: str, pin: Pin) -> Iterator[Choice]:
    current = candidate_in(pin)
    for epoch in range(pin.epoch):
        before = newest_pin(spool, folder, pin.route, epoch)
        choice = None if before is None else candidate_in(before)
        if choice is not None and choice != current and choice.destination in pin.tried:
            yield choice


def _stand(spool: Spool, part_id: str, choice: Choice) -> Stand | None:
    part, manifest = read_part(spool, part_id), read_manifest(spool, part_id)
    if part is None or manifest is None:  # removed after it was delivered: what is there is not known any more
        gone = Holding(count=1, delivered=1)
        return Stand(part=part_id, opened_at=spool.now(), unit=None, history=(), holding=gone, is_watched=False)
    delivery = delivery_to(spool, part_id, choice)
    unit = spool.deliveries.load(delivery)
    if unit is None or not unit.order.get("one_of"):
        return None
    state = spool.parts.newest(part_id)
    facts = {**unit.facts, "dropped": {**unit.facts.get("dropped", {}), **_out(unit)}}
    if unit.state.outcome in ("corrected", "replaced"):  # a person has the rest sent there in another form
        facts["delivered"] = {**unit.facts.get("elsewhere", {}), **unit.facts.get("delivered", {})}
    return Stand(
        part=part_id,
        opened_at=part.opened_at,
        unit=unit,
        history=tuple(spool.deliveries.history(delivery)),
        holding=holding_of(len(manifest.instances), facts, unrecorded=unit.facts.get(UNDER_WAY, 0)),
        is_watched=state is not None and state.status in ("waiting", "working"),
    )


def _out(unit: Unit) -> dict[str, str]:
    return dict.fromkeys((str(index) for index in unit.order.get("excluded", ())), "excluded")


def _due_since(history: tuple[State, ...], now: datetime) -> datetime:
    """Since when it is the candidate's turn; a delivery that is still being de-identified is not due yet.

    What a person paused or replayed, and what was put off until a window opens, begins anew then.
    """
    since, before = None, ""
    for state in history:
        if state.stage == HAND_OVER:
            continue
        begins = state.n == 0 or state.stage != before or state.facts.keys() & {"paused", "put_off", "replayed"}
        if state.status == "waiting" and (begins or state.by):
            since = max(state.at, state.due or state.at)
        before = state.stage
    return now if since is None or before == "render" else since


def _had_its_turn(history: tuple[State, ...], now: datetime) -> bool:
    due = _due_since(history, now)
    return any(it.status == "working" and it.stage == "send" and it.at >= due for it in history)


def _last_success(history: tuple[State, ...]) -> datetime | None:
    answered = (it.at for it in reversed(history) if any(it.facts.get("delivered", {}).values()))
    return next(answered, None)


def soon(now: datetime, moment: datetime | None, longest: timedelta) -> datetime:
    """A moment to look again: the given one, but neither at once nor later than so long from now."""
    latest = now + longest
    return max(now + timedelta(seconds=1), min(moment or latest, latest))
