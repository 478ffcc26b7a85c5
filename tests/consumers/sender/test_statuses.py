"""What each C-STORE status means, by table; what of a delivery a set of answers makes."""

from typing import Any

import pytest

from consumers.sender.statuses import Meaning, meaning, text
from consumers.sender.verdict import given_up, verdict
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


def test_what_is_held_for_its_own_bytes_is_invalid_and_the_profile_goes_first() -> None:
    facts = {"delivered": {"0": "0000"}, "held": {"1": "cut short", "2": "scanned document"}}
    assert verdict({"held": {"1": "cut short"}}, 3, {"1"}) == Held("1 of 3 instances held (cut short); 0 delivered",
                                                                    "invalid")  # fmt: skip
    assert verdict(facts, 3, {"1"}) == Held("2 of 3 instances held (cut short and 1 other reasons); 1 delivered",
                                            "policy")  # fmt: skip


@pytest.mark.parametrize(
    ("facts", "left", "word"),
    [
        ({}, ["0", "1"], "unreachable"),
        ({"failed": {"0": "4", "1": "3"}}, ["0", "1"], "unreachable"),
        ({"delivered": {"0": "0000"}}, ["1"], "unreachable"),
        ({"delivered": {"0": "0000"}, "failed": {"1": "9"}}, ["1"], "refused"),
        ({"delivered": {"0": "0000"}, "failed": {"1": "9"}}, ["1", "2"], "unreachable"),
    ],
)
def test_a_destination_that_took_others_is_not_away(facts: dict[str, Any], left: list[str], word: str) -> None:
    there = len(facts.get("delivered", {}))
    why = f"why; {len(left)} of 3 instances not delivered, {there} delivered"
    assert given_up("why", facts, left, 3) == Held(why, word)  # type: ignore[arg-type]


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
