"""Where a part would go, when, in which form, and why not elsewhere: what the router decides, in words."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

from consumers.router.candidates import Candidates
from consumers.router.reasons import why_not
from consumers.router.routing import Routing
from consumers.router.rules import Passed, Wanted
from consumers.router.standing import candidates_now
from dcmrelay.edited import Edited, edits_of
from dcmrelay.rehearsal import Question, rehearse
from shared.calendar import hours, next_opening
from shared.config import Config
from shared.config.rules import Route
from shared.forms import Form, corrected, form_to_json, hashed_id
from shared.outcomes import Held
from shared.spool.pins import Choice, Pin
from shared.spool.spool import Spool

_SHOWN = ("destination", "form", "optional", "waits_until", "why", "excluded")
Edits = Literal["none", "elements", "values"]
HELD_FIRST = "nobody gets it before a person released it"


@dataclass(frozen=True, kw_only=True)
class Target:
    """A destination that would get a part.

    Args:
        destination: its name.
        form: as people read it.
        optional: whether it never delays or fails the study.
        waits_until: nothing is sent to it before; None: at once.
        why: for a candidate, why it is its turn.
        excluded: how many of the instances it does not get.
        of: the form.
        peer: tells whether it is the same peer under another configuration.
        version: tells whether the form is the same under another configuration.
        edits: what the route's edit changes.
        uneditable: why it cannot be made in some instances; they would be held.
    """

    destination: str
    form: str
    optional: bool
    waits_until: datetime | None
    why: str
    excluded: int
    of: Form
    peer: str
    version: str
    edits: tuple[Edited, ...] = ()
    uneditable: str = ""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What becomes of a part on one route.

    Args:
        route: the route.
        matched: whether it takes the part.
        follows: an earlier part of the study went this way.
        targets: who gets it; or would, once what holds the part is settled.
        others: candidates that do not get it, each with why.
        why_not: why nobody gets it.
    """

    route: Route
    matched: bool
    follows: bool
    targets: tuple[Target, ...]
    others: tuple[tuple[str, str], ...]
    why_not: str


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """What becomes of a part.

    Args:
        routing: the part as it was decided.
        at: when.
        held: why a person is needed; None: it goes.
        answers: of each route, in the order of the file.
        warned: checks that it fails and goes on with.
    """

    routing: Routing
    at: datetime
    held: Held | None
    answers: tuple[Answer, ...]
    warned: tuple[str, ...]


def explain(
    config: Config, question: Question, at: datetime, root: Path | None = None, *, edits: Edits = "none"
) -> Explanation:
    """Have a part decided at a moment under a configuration, and say why so.

    Args:
        config: as for `rehearse`.
        question: likewise.
        at: likewise.
        root: likewise.
        edits: whether it is looked at what edits change, and with which values.
    """
    routing, spool = rehearse(config, question, at, root)
    decided = routing.decide()
    held, warned = (decided, ()) if isinstance(decided, Held) else (None, decided["warned"])
    pins = routing.pinned()
    known = {} if isinstance(pins, Held) else pins
    answers = tuple(_answer(routing, spool, it, known.get(it.route.name), held, at) for it in routing.weighed)
    if edits != "none":
        answers = tuple(_with_edits(routing, spool, it, values=edits == "values") for it in answers)
    return Explanation(routing=routing, at=at, held=held, answers=answers, warned=tuple(map(_warning, warned)))


def facts(explanation: Explanation) -> Iterator[dict[str, Any]]:
    """An explanation for JSON, a row for each route."""
    part = explanation.routing.part
    for answer in explanation.answers:
        goes = () if explanation.held else answer.targets
        waits = [it.waits_until for it in goes]
        yield {
            "route": answer.route.name,
            "matched": answer.matched,
            "chosen": [it.destination for it in goes],
            "form": answer.targets[0].form if answer.targets else None,
            "waits_until": min(filter(None, waits)) if waits and all(waits) else None,
            "why_not": answer.why_not or None,
            "follows": answer.follows,
            "targets": [_target_facts(it) for it in answer.targets],
            "others": [{"destination": name, "why": why} for name, why in answer.others],
            "held": str(explanation.held.reason) if explanation.held and answer.matched else None,
            "source": part.source,
            "study_instance_uid": part.study_instance_uid,
        }


def _target_facts(target: Target) -> dict[str, Any]:
    edits = {"edits": [it.facts() for it in target.edits], "uneditable": target.uneditable or None}
    return {**{key: vars(target)[key] for key in _SHOWN}, **edits}


def _warning(failed: Mapping[str, Any]) -> str:
    return f"check '{failed['check']}': {failed['element']} {failed['what']}"


def _answer(
    routing: Routing, spool: Spool, it: Wanted | Passed, pin: Pin | None, held: Held | None, at: datetime
) -> Answer:
    route = it.route
    if isinstance(it, Passed):
        ended = f"route '{it.ended_by}' above it matches and says last = true"
        why = ended if it.ended_by else why_not(route.match, routing.facts, routing.headers)
        return Answer(route=route, matched=False, follows=False, targets=(), others=(), why_not=why)
    candidates = candidates_now(spool, routing.config, route)
    targets = tuple(_target(routing, candidates, pin, choice, at) for choice in pin.choices) if pin else ()
    return Answer(
        route=route,
        matched=True,
        follows=it.follows,
        targets=targets,
        others=tuple(_others(candidates, {it.destination for it in targets}, at)),
        why_not=f"{held.reason}; {HELD_FIRST}" if held else "",
    )


def _with_edits(routing: Routing, spool: Spool, answer: Answer, *, values: bool) -> Answer:
    return replace(answer, targets=tuple(_edited(routing, spool, it, values=values) for it in answer.targets))


def _edited(routing: Routing, spool: Spool, target: Target, *, values: bool) -> Target:
    edits, why = edits_of(routing, spool, target.of, values=values)
    return replace(target, edits=edits, uneditable=why)


def _target(routing: Routing, candidates: Candidates, pin: Pin, choice: Choice, at: datetime) -> Target:
    config = routing.config
    named = routing.site().corrections
    form = corrected(choice.form, named) if named else choice.form
    destination = config.destination(choice.destination)
    waits = routing.due_of(pin) if choice.one_of else None
    zone = ZoneInfo(config.relay.timezone)
    if destination is not None and destination.send_during is not None:
        calendar = config.calendars[destination.send_during]
        begin = waits or at
        if not hours(calendar, begin, zone).is_open:
            waits = next_opening((calendar,), begin, zone)
    return Target(
        destination=choice.destination,
        form=form.label,
        optional=choice.optional,
        waits_until=None if waits is None else waits.astimezone(zone),
        why=pin.why or _duty_of(candidates, choice, at) if choice.one_of else "",
        excluded=len(routing.excluded_from(choice.destination)),
        of=form,
        peer=choice.identity,
        version=hashed_id("f", form_to_json(form)),
    )


def _duty_of(candidates: Candidates, choice: Choice, at: datetime) -> str:
    candidate = candidates.named(choice.destination)
    if candidate is None:
        return "the study went there before"
    found = candidates.hours(candidate, at)
    if found.is_open:
        return f"open: {found.why}"
    return "stands in: nobody is there" if candidates.may_take(candidate, at) else f"comes next: now {found.why}"


def _others(candidates: Candidates, chosen: set[str], at: datetime) -> Iterator[tuple[str, str]]:
    for candidate in candidates.them:
        if candidate.destination not in chosen:
            found = candidates.hours(candidate, at)
            is_open = "open, but another one comes first" if found.is_open else f"closed: {found.why}"
            yield candidate.destination, is_open
