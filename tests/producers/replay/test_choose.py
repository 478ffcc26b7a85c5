"""Which dead letters a person means."""

from datetime import UTC, datetime, timedelta

import pytest

from producers.replay.choose import DeadLetter, Wish, chosen

_DAY = datetime(2026, 1, 1, tzinfo=UTC)


def letter(id_: str, *, part: str = "p1", destination: str = "archive", hours: int = 0) -> DeadLetter:
    """A dead letter held so many hours after the day began."""
    return DeadLetter(
        id=id_,
        n=3,
        part=part,
        stage="send",
        destination=destination,
        source="ct-1",
        since=_DAY + timedelta(hours=hours),
        dead_letter_class="refused" if destination == "archive" else "unreachable",
        reason="",
    )


A = letter("daa1", part="p11", hours=2)
B = letter("daa2", part="p12", hours=1)
C = letter("dcc3", part="p12", destination="reading", hours=3)


@pytest.mark.parametrize(
    ("wish", "meant"),
    [
        (Wish(all=True), [B, A, C]),
        (Wish(destination="reading"), [C]),
        (Wish(dead_letter_class="refused"), [B, A]),
        (Wish(destination="reading", dead_letter_class="refused"), []),
        (Wish(ids=("daa1",)), [A]),
        (Wish(ids=("dc",)), [C]),
        (Wish(ids=("dc", "daa1", "dcc3")), [C, A]),
        (Wish(ids=("p12",)), [B, C]),
        (Wish(ids=("p12",), destination="reading"), [C]),
        (Wish(source="ct-1"), [B, A, C]),
        (Wish(source="mr-1"), []),
        (Wish(since=_DAY + timedelta(hours=2)), [A, C]),
        (Wish(before=_DAY + timedelta(hours=2)), [B, A]),
        (Wish(since=_DAY + timedelta(hours=2), before=_DAY + timedelta(hours=2)), [A]),
        (Wish(parts=frozenset({"p12"})), [B, C]),
        (Wish(parts=frozenset()), []),
    ],
)
def test_all_that_is_given_must_fit(wish: Wish, meant: list[DeadLetter]) -> None:
    assert chosen([A, B, C], wish) == meant


@pytest.mark.parametrize(
    ("wanted", "why"), [("daa", "2 dead letters"), ("p1", "2 dead letters"), ("dx", "no dead letter")]
)
def test_an_id_that_fits_none_or_several_is_refused(wanted: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        chosen([A, B, C], Wish(ids=(wanted,)))


def test_an_empty_wish_is_known_as_such() -> None:
    assert Wish().is_empty
    for wish in (Wish(all=True), Wish(parts=frozenset()), Wish(before=_DAY), Wish(since=_DAY), Wish(source="ct-1")):
        assert not wish.is_empty
