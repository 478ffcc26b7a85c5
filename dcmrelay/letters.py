"""Dead letters as a person sees them."""

from typing import Any

from dcmrelay import views
from dcmrelay.output import as_json, one_line, say, table
from producers.replay.choose import DeadLetter
from producers.replay.remedies import remedies
from producers.replay.show import attempts, instances_of, missing_of
from shared.forms import Form
from shared.spool.commitments import COMMIT
from shared.spool.spool import Spool
from shared.spool.units import Unit

Row = dict[str, Any]
MOST_ROWS = 100
_COLUMNS = ("id", "class", "destination", "source", "age", "reason", "next")
_WORDS = ("delivered", "refused", "held", "dropped", "elsewhere")


def print_list(spool: Spool, letters: list[DeadLetter], *, json: bool) -> None:
    """Print a listing."""
    if json:
        as_json([views.letter_facts(letter) for letter in letters])
    elif letters:
        table(_COLUMNS, [views.letter_row(letter, spool.now()) for letter in letters[:MOST_ROWS]])
        if len(letters) > MOST_ROWS:
            say(f"... and {len(letters) - MOST_ROWS} more; narrow it, as `dcmrelay dead list --help` says")
    else:
        say("No dead letters.")


def print_letters(spool: Spool, letters: list[DeadLetter], *, json: bool) -> None:
    """Print each dead letter whole: what stopped, instances, attempts, what a person can do."""
    if json:
        as_json([_facts(spool, letter) for letter in letters])
        return
    for letter in letters:
        _print_letter(letter, _facts(spool, letter))


def _print_letter(letter: DeadLetter, facts: Row) -> None:
    where = f" for {letter.destination}, {facts['form']}" if letter.destination else ", not routed"
    if letter.stage == COMMIT:
        where = f", {letter.source} was not told what is safe"
    say(one_line(f"{letter.id}: dead letter, class {letter.dead_letter_class}, at stage {letter.stage}{where}"))
    say(one_line(f"  reason: {letter.reason}"))
    if letter.stage == COMMIT:
        say(f"  instances asked about: {facts['instances']}")
    else:
        counts = (f"{len(facts[word])} {word}" for word in _WORDS if facts[word])
        say(f"  instances: {', '.join((*counts, str(facts['missing']) + ' missing'))}, of {facts['instances']}")
    table(("at", "what", "why"), facts["attempts"], title="attempts")
    for remedy in facts["remedies"]:
        say(one_line(f"  - {remedy}"))


def _facts(spool: Spool, letter: DeadLetter) -> Row:
    units = spool.units(letter.id)
    unit = units.load(letter.id)
    if unit is None:
        return views.letter_facts(letter)
    left, total = missing_of(spool, unit), instances_of(spool, unit) or len(unit.order.get("references", ()))
    return {
        **views.letter_facts(letter),
        "form": form_of(unit),
        "instances": total,
        "missing": len(left),
        **{word: unit.facts.get(word, {}) for word in _WORDS},
        "attempts": [vars(attempt) for attempt in attempts(units.history(letter.id))],
        "remedies": remedies(letter),
    }


def form_of(unit: Unit) -> str:
    """The form that a delivery leaves in, for a person; empty for a part."""
    return Form(**unit.order["form"]).label if "form" in unit.order else ""
