"""`dead redirect`, `dead replay --profile-now` and `--set`: deliveries go on as others, a whole study with its pins."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from dcmrelay import correcting, views
from dcmrelay.acting import Desk, Row, amounts, print_plan, report, schedule
from dcmrelay.output import complain, one_line, progress
from producers.replay import redirect as redirecting
from producers.replay import ring
from producers.replay.bulk import in_bulk
from producers.replay.choose import DeadLetter
from producers.replay.correct import correct_part
from producers.replay.pinning import move_pins, moved_elsewhere
from producers.replay.redirect import Step, Way
from shared.errors import StartError
from shared.messages import Ring
from shared.spool.commitments import COMMIT
from shared.spool.deliveries import Order
from shared.spool.parts import decided_deliveries, read_part
from shared.spool.spool import Spool
from shared.spool.units import Unit

_ASKED = "is a request for storage commitment: `dcmrelay dead replay` tells its source"
_NOT_ROUTED = "is not routed: `dcmrelay dead replay` decides it anew, `--to NAME --whole-study` moves its study first"


@dataclass(frozen=True, kw_only=True)
class Unrouted:
    """A part that is held because its study's pins cannot be followed: what they say, and what they say instead."""

    letter: DeadLetter
    moves: tuple[tuple[Order, Order], ...] = ()
    refused: str = ""


def redirect(desk: Desk, letters: list[DeadLetter], way: Way, rate: str) -> int:
    """Let deliveries go on as others; 1 when one may not.

    Raises:
        StartError: a part among them is not routed, and not the whole study is meant.
    """
    asked = [(it.id, _ASKED) for it in letters if it.stage == COMMIT]
    letters = [it for it in letters if it.stage != COMMIT]
    unrouted = [_unrouted(desk, it, way) for it in letters if it.stage == "route"]
    parts = _by_part(_meant(desk.spool, letters, unrouted, way))
    planned = list(zip(parts, schedule(desk, rate), strict=False))
    if desk.dry_run:
        steps = [(step, due) for units, due in planned for step in redirecting.planned(desk.site, units, way)]
        rows = [_would_go(desk, step, due, way) for step, due in steps]
        print_plan(desk, [*rows, *(_would_follow(desk, it, way) for it in unrouted)])
        return int(any(step.refused for step, _ in steps) or any(it.refused for it in unrouted))

    def carry_out(one: tuple[list[Unit], datetime | None]) -> tuple[Ring | None, list[Step]]:
        units, due = one
        return redirecting.carried_out(desk.site, redirecting.planned(desk.site, units, way), way, due)

    done: list[str] = []
    refused = [*asked, *((it.letter.id, it.refused) for it in unrouted if it.refused)]
    with desk.bells() as bells, progress(way.outcome, len(planned)) as advance:
        for batch in in_bulk(carry_out, planned):
            bells.ring(one for one, _ in batch if one is not None)
            done += [step.unit.id for _, steps in batch for step in steps if not step.refused]
            refused += [(step.unit.id, step.refused) for _, steps in batch for step in steps if step.refused]
            advance(len(batch))
        followed = [(it.letter.id, _follow(desk, it, way)) for it in unrouted if not it.refused]
        bells.ring((one for _, one in followed if one is not None), replayed=True)
        done += [id_ for id_, one in followed if one is not None]
    for unit, why in refused:
        complain(one_line(f"{unit[: views.SHORT]}: {why}"))
    report(desk, way.outcome, done, len(done), rung=bells.all_rung)
    return int(bool(refused))


def _unrouted(desk: Desk, letter: DeadLetter, way: Way) -> Unrouted:
    if way.correction is not None:
        return Unrouted(letter=letter, refused=correcting.refusal(desk, letter, way.correction))
    if not (way.whole and way.to):
        raise StartError(f"{letter.id[: views.SHORT]} {_NOT_ROUTED}")
    try:
        return Unrouted(letter=letter, moves=tuple(moved_elsewhere(desk.site, letter.part, way.to)))
    except ValueError as error:
        return Unrouted(letter=letter, refused=str(error))


def _follow(desk: Desk, unrouted: Unrouted, way: Way) -> Ring | None:
    """Let a part be decided anew: corrected, or by the pins of its study, which are moved first."""
    letter, part = unrouted.letter, read_part(desk.spool, unrouted.letter.part)
    if way.correction is not None:
        by, why, config = desk.by, desk.why, desk.config.hash
        try:
            return correct_part(desk.spool, letter, way.correction, by=by, why=why, config=config)
        except ValueError:  # somebody else let it go on at the same moment
            return None
    for old, new in unrouted.moves:
        if part is not None:
            move_pins(desk.site, part, old, new)
    return ring.release(desk.spool, letter, by=desk.by, why=desk.why, config=desk.config.hash)


def _meant(spool: Spool, letters: list[DeadLetter], unrouted: list[Unrouted], way: Way) -> list[Unit]:
    """The deliveries that are meant; of a whole study also those that are no dead letters."""
    found = {it.id: redirecting.load_delivery(spool, it.id) for it in letters if it.stage != "route"}
    if way.whole:
        leave = {(it.part, it.destination) for it in letters if it.stage != "route"}
        leave |= {(it.letter.part, old.destination) for it in unrouted for old, _ in it.moves}
        found |= {it.id: it for it in _of_studies(spool, leave)}
    return list(found.values())


def _of_studies(spool: Spool, leave: set[tuple[str, str]]) -> Iterator[Unit]:
    """The deliveries of all parts of some studies, whoever sent them, to a destination.

    Args:
        spool: the spool.
        leave: a part of each study, and the destination.
    """
    destinations: dict[tuple[str, str], set[str]] = defaultdict(set)
    for part_id, destination in leave:
        if (part := read_part(spool, part_id)) is not None:
            destinations[part.study_instance_uid, part.called_ae_title].add(destination)
    for other in spool.parts.ids():
        part = read_part(spool, other)
        names = destinations.get((part.study_instance_uid, part.called_ae_title), ()) if part is not None else ()
        units = (spool.deliveries.load(it) for it in decided_deliveries(spool, other) or ()) if names else ()
        # Of what was corrected, the delivery that went on for it is among them.
        there = (it for it in units if it is not None and it.state.outcome != "corrected")
        yield from (it for it in there if it.order["destination"] in names)


def _by_part(units: list[Unit]) -> list[list[Unit]]:
    by_part = sorted(units, key=lambda unit: str(unit.order["part"]))
    return [list(of_one) for _, of_one in groupby(by_part, key=lambda unit: str(unit.order["part"]))]


def _would_go(desk: Desk, step: Step, due: datetime | None, way: Way) -> Row:
    unit, ordered = step.unit, step.ordered
    order = {word: unit.order[word] for word in ("part", "destination")}
    row = {"id": unit.id, **order, **amounts(desk.spool, unit)}
    what = f"refused: {step.refused}"
    if ordered is not None:
        row["missing"] = row["instances"] - len(ordered.elsewhere)
        there = f"; {len(ordered.elsewhere)} are at {row['destination']} and stay there" if ordered.elsewhere else ""
        what = f"goes on to {ordered.order.destination} as {ordered.order.id[: views.SHORT]}{there}"
        if way.correction is not None:
            what += f"; {correcting.of_delivery(desk, unit, way.correction)}"
    return {**row, "due": due, "would": what}


def _would_follow(desk: Desk, it: Unrouted, way: Way) -> Row:
    unit = desk.spool.parts.load(it.letter.id)
    counts = {} if unit is None else amounts(desk.spool, unit)
    moves = ", ".join(f"{old.destination} to {new.destination}" for old, new in it.moves)
    what = f"its study moves from {moves}; it is decided by that"
    if it.refused:
        what = f"refused: {it.refused}"
    elif way.correction is not None:
        what = f"decided anew; {correcting.of_part(desk, it.letter, way.correction)}"
    return {**views.letter_facts(it.letter), **counts, "due": None, "would": what}
