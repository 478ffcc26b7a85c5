"""What a person decides about many dead letters: done in bulk, rung for, told."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dcmrelay import views
from dcmrelay.letters import MOST_ROWS, form_of
from dcmrelay.output import as_json, clock, progress, say, table
from dcmrelay.person import who
from producers.replay import ring
from producers.replay.bulk import in_bulk
from producers.replay.choose import DeadLetter
from producers.replay.orders import Site
from producers.replay.schedule import due_times, parse_rate
from producers.replay.show import instances_of, missing_of, scheduled_until
from shared.config import Config, find_broker
from shared.errors import StartError
from shared.messages import Ring
from shared.spool.commitments import COMMIT
from shared.spool.spool import Spool
from shared.spool.units import Unit
from shared.spool.volume import attach

Row = dict[str, Any]
SWEEP_RINGS = "RabbitMQ is away: the sweep rings for them within a minute of its return; see `dcmrelay status`"


@dataclass(frozen=True, kw_only=True)
class Desk:
    """Where a person acts.

    Args:
        config: the configuration in force.
        spool: the spool.
        by: who acts.
        why: their words.
        json: print JSON.
        dry_run: only say what would happen.
    """

    config: Config
    spool: Spool
    by: str
    why: str
    json: bool
    dry_run: bool

    @property
    def site(self) -> Site:
        """The same for orders."""
        return Site(spool=self.spool, config=self.config, by=self.by, why=self.why)

    def bells(self) -> AbstractContextManager[ring.Bells]:
        """A connection to ring on."""
        return ring.bells(find_broker(self.config), tuple(it.name for it in self.config.destinations))


def desk(config: Config, *, why: str, json: bool, dry_run: bool = False) -> Desk:
    """A desk at a relay's spool; the configuration in force is kept there, as what a person orders refers to it."""
    spool = attach(config)
    if not dry_run:
        spool.keep_config(config.snapshot(), config.hash)
    return Desk(config=config, spool=spool, by=who(), why=why, json=json, dry_run=dry_run)


def replay(desk: Desk, letters: list[DeadLetter], rate: str) -> int:
    """Release dead letters, all now or each at its due time."""
    planned = list(zip(letters, schedule(desk, rate), strict=False))
    if desk.dry_run:
        print_plan(desk, [_would(desk, it, _replayed(desk, it), due) for it, due in planned])
        return 0

    def release(one: tuple[DeadLetter, datetime | None]) -> tuple[DeadLetter, Ring | None]:
        letter, due = one
        by, why, config = desk.by, desk.why, desk.config.hash
        return letter, ring.release(desk.spool, letter, by=by, why=why, config=config, due=due)

    released: list[DeadLetter] = []
    with desk.bells() as bells, progress("replaying", len(planned)) as advance:
        for batch in in_bulk(release, planned):
            bells.ring([one for _, one in batch if one is not None], replayed=True)
            released += [letter for letter, one in batch if one is not None]
            advance(len(batch))
    report(desk, "replayed", [it.id for it in released], len(letters), rung=bells.all_rung)
    return 0


def discard(desk: Desk, letters: list[DeadLetter]) -> int:
    """Give dead letters up."""
    if desk.dry_run:
        print_plan(desk, [_would(desk, it, "given up: what is missing is not sent", None) for it in letters])
        return 0
    gone: list[str] = []
    with progress("discarding", len(letters)) as advance:
        for batch in in_bulk(lambda it: (it, ring.discard(desk.spool, it, by=desk.by, why=desk.why)), letters):
            gone += [letter.id for letter, done in batch if done]
            advance(len(batch))
    report(desk, "discarded", gone, len(letters))
    return 0


def schedule(desk: Desk, rate: str) -> Iterator[datetime | None]:
    """When each of what a person lets go on is due, behind what others scheduled; None: at once.

    Raises:
        StartError: the rate cannot be read.
    """
    if not rate:
        return due_times(desk.spool.now(), None)
    try:
        apart = parse_rate(rate)
    except ValueError as error:
        raise StartError(f"--rate: {error}") from None
    before = scheduled_until(desk.spool)
    return due_times(max(desk.spool.now(), before + apart) if before else desk.spool.now(), apart)


def _replayed(desk: Desk, letter: DeadLetter) -> str:
    if letter.stage == COMMIT:
        return "told what is safe, as soon as it listens"
    if letter.stage == "route":
        return f"decided anew under configuration {desk.config.hash[:12]}"
    return "what is missing is sent, in the same form"


def _would(desk: Desk, letter: DeadLetter, what: str, due: datetime | None) -> Row:
    unit = desk.spool.units(letter.id).load(letter.id)
    row = views.letter_facts(letter) if unit is None else {**views.letter_facts(letter), **amounts(desk.spool, unit)}
    return {**row, "due": due, "would": what}


def amounts(spool: Spool, unit: Unit) -> Row:
    """How much of a unit is missing, in which form it goes."""
    left, total = missing_of(spool, unit), instances_of(spool, unit)
    return {"missing": len(left), "instances": total, "form": form_of(unit)}


def print_plan(desk: Desk, rows: list[Row]) -> None:
    """Print what would happen to each, and that nothing did."""
    if desk.json:
        as_json(rows)
        return
    for row in rows[:MOST_ROWS]:
        row |= {"id": row["id"][: views.SHORT], "sent": f"{row['missing']} of {row['instances']}"}
    table(("id", "destination", "form", "sent", "due", "would"), rows[:MOST_ROWS])
    if len(rows) > MOST_ROWS:
        say(f"... and {len(rows) - MOST_ROWS} more, which --json lists too; the last is due {_text(rows[-1]['due'])}")
    say("Nothing was changed.")


def _text(due: datetime | None) -> str:
    return "at once" if due is None else clock(due)


def report(desk: Desk, done: str, ids: list[str], wanted: int, *, rung: bool = True) -> None:
    """Print what was done.

    Args:
        desk: where.
        done: what, in one word.
        ids: to which.
        wanted: how many were meant.
        rung: whether nothing was left to the sweep.
    """
    if desk.json:
        as_json({done: ids, "rung": rung})
        return
    say(f"{done}: {len(ids)}" + (f"; {wanted - len(ids)} were none any more" if wanted > len(ids) else ""))
    if not rung:
        say(SWEEP_RINGS)
