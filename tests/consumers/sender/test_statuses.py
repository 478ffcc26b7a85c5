"""What each C-STORE status means, by table; what of a delivery a set of answers makes."""

from typing import Any

import pytest

from consumers.sender.statuses import Meaning, meaning, text
from consumers.sender.verdict import verdict
from shared.outcomes import Done, Held

# PS3.4 Table B.2-1 and PS3.7 Annex C, with what the relay makes of each.
TABLE: dict[Meaning, tuple[int, ...]] = {
    "delivered": (0x0000, 0x0001, 0x0107, 0x0111, 0x0116, 0xB000, 0xB006, 0xB007),
    "transient": (0x0110, 0x0210, 0x0213, 0xA700, 0xA701, 0xA7FF),
    "refused": (
        *(0x0105, 0x0106, 0x0112, 0x0115, 0x0117, 0x0118, 0x0119, 0x0120, 0x0121, 0x0122, 0x0124, 0x0211, 0x0212),
        *(0xA900, 0xA901, 0xA9FF, 0xC000, 0xC001, 0xC123, 0xCFFF),
    ),
    "unknown": (0xFF00, 0xFE00, 0xFFFF, 0x0002, 0x0110 + 3, 0xA800, 0xB001, 0xD000, 0x8000, 0xA600),
}


@pytest.mark.parametrize(("word", "status"), [(word, status) for word, row in TABLE.items() for status in row])
def test_a_status_means_what_the_standard_says(word: Meaning, status: int) -> None:
    assert meaning(status) == word
    assert text(status).startswith(f"{status:04X} ")


def test_nothing_outside_the_table_is_taken_for_success() -> None:
    delivered = [status for status in range(0x10000) if meaning(status) == "delivered"]
    assert tuple(delivered) == TABLE["delivered"]


REFUSED = {"1": "0122 no"}


@pytest.mark.parametrize(
    ("facts", "answer"),
    [
        ({"delivered": {"0": "0000", "1": "B000"}}, Done(outcome="delivered", facts={"count": 2})),
        ({"delivered": {"0": "0000"}, "dropped": {"1": "x"}}, Done(outcome="delivered", facts={"count": 1})),
        ({"dropped": {"0": "x", "1": "x"}}, Done(outcome="dropped", facts={"count": 0})),
        (
            {"delivered": {"0": "0000"}, "refused": REFUSED},
            Held("1 of 2 instances refused (0122 no); 1 delivered", "refused"),
        ),
        (
            {"refused": {"0": "a", "1": "b", "2": "a"}},
            Held("3 of 2 instances refused (a and 1 other reasons); 0 delivered", "refused"),
        ),
        ({"delivered": {"0": "0000"}, "held": {"1": "x"}}, Held("1 of 2 instances held (x); 1 delivered", "policy")),
        ({"refused": REFUSED, "held": {"1": "x"}}, Held("1 of 2 instances refused (0122 no); 0 delivered", "refused")),
    ],
)  # fmt: skip
def test_the_answers_make_the_verdict(facts: dict[str, Any], answer: Done | Held) -> None:
    assert verdict(facts, 2) == answer
