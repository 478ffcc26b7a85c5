"""Every instance of a delivery is in exactly one place, or nobody knows where."""

from collections import Counter
from typing import Any

import pytest

from shared.accounts.counting import WORDS, word_of_part, words_of_delivery
from shared.spool.states import State
from tests.shared.spool.examples import NOW


def state(status: str, outcome: str = "") -> State:
    return State(n=3, stage="send", status=status, at=NOW, outcome=outcome)  # type: ignore[arg-type]


ANSWERS = {
    "delivered": {"0": "0000", "1": "B000"},
    "refused": {"2": "0122"},
    "held": {"3": "rot"},
    "dropped": {"4": ""},
}


@pytest.mark.parametrize(("now", "facts", "words"), [
    (state("waiting"), {}, {"waiting": 6}),
    (state("working"), {"delivered": {"0": "0000"}}, {"delivered": 1, "waiting": 5}),
    (state("waiting"), ANSWERS, {"delivered": 2, "refused": 1, "held": 1, "dropped": 1, "waiting": 1}),
    (state("held"), ANSWERS, {"delivered": 2, "refused": 1, "held": 2, "dropped": 1}),
    (state("final", "discarded"), ANSWERS, {"delivered": 2, "dropped": 1, "discarded": 3}),
    (state("final", "failed"), {}, {"failed": 6}),
    (state("final", "delivered"), {"delivered": {str(k): "0000" for k in range(6)}}, {"delivered": 6}),
    (state("final", "delivered"), {"delivered": {"0": "0000"}}, {"delivered": 1, "unexplained": 5}),
    (state("waiting"), {"delivered": {"6": "0000"}}, {"waiting": 6, "unexplained": 1}),
])  # fmt: skip
def test_each_instance_of_a_delivery_has_one_word(now: State, facts: dict[str, Any], words: dict[str, int]) -> None:
    found = words_of_delivery(now, facts, 6)
    assert found == Counter(words)
    assert set(found) <= set(WORDS)


@pytest.mark.parametrize(("now", "word"), [
    (None, "waiting"),
    (state("waiting"), "waiting"),
    (state("held"), "held"),
    (state("final", "routed"), "routed"),
    (state("final", "discarded"), "discarded"),
    (state("final", "empty"), "unexplained"),
])  # fmt: skip
def test_a_part_that_is_not_routed_has_one_word_for_all(now: State | None, word: str) -> None:
    assert word_of_part(now) == word
