"""Where each instance of a part or delivery is: exactly one word for each, or it is unexplained.

No I/O, no clock, no globals.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from shared.spool.removal import outcome_of
from shared.spool.states import State

WORDS = ("delivered", "elsewhere", "waiting", "held", "refused", "dropped", "discarded", "failed", "unexplained")
"""What may be true of an instance for a destination, in the order of a report's columns; `elsewhere`: another delivery
brought it."""

_ANSWERS = ("delivered", "elsewhere", "refused", "held", "dropped")
_GIVEN_UP = ("discarded", "failed")
_PART_OUTCOMES = {"routed": "routed", "discarded": "discarded"}


def words_of_delivery(state: State, facts: Mapping[str, Any], count: int) -> Counter[str]:
    """How many instances of a delivery are where.

    Args:
        state: its newest record.
        facts: what its records say: `delivered`, `refused`, `held`, `dropped` by index.
        count: instances of the part.

    Returns:
        By word; their sum is `count`. An index that the part does not have is unexplained on top of that.
    """
    found = Counter(_word(state, facts, str(index)) for index in range(count))
    answered = {index for word in _ANSWERS for index in facts.get(word, {})}
    found["unexplained"] += len(answered - {str(index) for index in range(count)})
    return +found


def word_of_part(state: State | None) -> str:
    """Where the instances of a closed part are: `routed`, `waiting`, `held`, `discarded` or `unexplained`."""
    if state is None:
        return "waiting"
    if state.status == "final":
        return _PART_OUTCOMES.get(outcome_of(state), "unexplained")
    return "held" if state.status == "held" else "waiting"


def _word(state: State, facts: Mapping[str, Any], index: str) -> str:
    for word in ("delivered", "elsewhere", "dropped"):
        if index in facts.get(word, {}):
            return word
    if state.status == "final":
        return state.outcome if state.outcome in _GIVEN_UP else "unexplained"
    for word in ("refused", "held"):
        if index in facts.get(word, {}):
            return word
    return "held" if state.status == "held" else "waiting"
