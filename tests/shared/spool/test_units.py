"""Units: the highest record is true, and who writes the next one has won."""

from dataclasses import replace
from pathlib import Path

import pytest

from shared.errors import SupersededError
from shared.spool import states
from shared.spool.spool import Spool
from shared.spool.states import State
from shared.spool.units import merged
from tests.shared.spool.examples import LEASE, NOW, damage, new_spool, reads_of

PART = "p" + "1" * 32
FIRST = State(n=0, stage="route", status="waiting", at=NOW)


def record(n: int, **facts: object) -> State:
    return State(n=n, stage="send", status="working", at=NOW, facts=facts)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return new_spool(tmp_path)


def test_a_unit_is_made_whole_with_its_order_and_only_once(spool: Spool) -> None:
    assert spool.parts.create(PART, {"source": "ct-1"}, FIRST)
    assert not spool.parts.create(PART, {"source": "other"}, replace(FIRST, config="other"))
    unit = spool.parts.load(PART)
    assert unit is not None
    assert (unit.order, unit.state, unit.made_at, unit.facts) == ({"source": "ct-1"}, FIRST, NOW, {})


def test_a_unit_that_nobody_made_is_none(spool: Spool) -> None:
    assert spool.parts.newest(PART) is None
    assert spool.parts.load(PART) is None
    assert spool.parts.history(PART) == []


def test_the_record_with_the_highest_number_is_true(spool: Spool) -> None:
    spool.parts.create(PART, {}, FIRST)
    for n in range(1, 12):
        spool.parts.append(PART, record(n))
    assert spool.parts.newest(PART) == record(11)
    assert [state.n for state in spool.parts.history(PART)] == list(range(12))


def test_of_two_who_write_the_next_record_one_has_lost(spool: Spool) -> None:
    spool.parts.create(PART, {}, FIRST)
    mine = states.claimed(FIRST, owner="me", now=NOW, lease=LEASE, faults=0)
    spool.parts.append(PART, mine)
    with pytest.raises(SupersededError, match="record 1 of p1111"):
        spool.parts.append(PART, replace(mine, owner="you"))
    assert spool.parts.newest(PART) == mine


def test_what_lies_beside_the_records_is_no_record(spool: Spool) -> None:
    spool.parts.create(PART, {}, FIRST)
    for name in ("manifest.json", "decision.json", "1.json", "adopted-0000", "99999999.json.old"):
        spool.store.put_new(f"parts/{PART}/{name}", b"{}")
    assert spool.parts.newest(PART) == FIRST


def test_an_id_tells_its_kind(spool: Spool) -> None:
    assert spool.units(PART) is spool.parts
    assert spool.units("d" + "1" * 32) is spool.deliveries


@pytest.mark.parametrize("content", [b"", b"{", b"null", b"[]", b"\xff\xfe", b'{"n": 0}'])
def test_a_damaged_record_is_an_error_that_says_nothing_of_its_content(spool: Spool, content: bytes) -> None:
    spool.parts.create(PART, {}, FIRST)
    damage(spool, f"parts/{PART}/00000000.json", content)
    with pytest.raises((ValueError, TypeError, KeyError)):
        spool.parts.load(PART)


def test_a_record_that_the_disk_refuses_to_read_is_like_a_damaged_one(spool: Spool) -> None:
    spool.parts.create(PART, {}, FIRST)
    path = spool.store.path(f"parts/{PART}/00000000.json")
    path.unlink()
    path.mkdir()
    with pytest.raises(ValueError, match="cannot be read"):
        spool.parts.newest(PART)


def test_an_outline_has_all_but_the_facts_and_costs_two_records(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    spool.parts.create(PART, {"source": "ct-1"}, FIRST)
    for n in range(1, 50):
        spool.parts.append(PART, record(n, delivered={str(n): "0000"}))
    whole = spool.parts.load(PART)
    opened = reads_of(spool, monkeypatch)
    outline = spool.parts.outline(PART)
    assert whole is not None
    assert outline == replace(whole, facts={})
    assert len(opened) == 3  # one listing, two records
    assert spool.parts.outline("p" + "2" * 32) is None


@pytest.mark.parametrize(
    ("records", "facts"),
    [
        ([], {}),
        ([{"delivered": {"0": "a"}}, {"delivered": {"1": "b"}}], {"delivered": {"0": "a", "1": "b"}}),
        ([{"delivered": {"0": "a"}}, {"delivered": {"0": "b"}}], {"delivered": {"0": "b"}}),
        ([{"count": 1}, {"count": 2}, {"other": True}], {"count": 2, "other": True}),
        ([{"refused": {"0": "x"}, "delivered": {"1": "a"}, "dropped": {"2": "d"}}, {"replayed": True}],
         {"delivered": {"1": "a"}, "dropped": {"2": "d"}, "replayed": True}),
        ([{"held": {"0": "x"}}, {"replayed": True}, {"held": {"3": "y"}}], {"held": {"3": "y"}, "replayed": True}),
        ([{"refused": {"0": "x"}}, {"replayed": True}, {"refused": {"1": "y"}}, {"replayed": True}],
         {"replayed": True}),
    ],
)  # fmt: skip
def test_facts_grow_and_a_replay_forgets_what_was_withheld(
    records: list[dict[str, object]], facts: dict[str, object]
) -> None:
    assert merged([record(n, **added) for n, added in enumerate(records)]) == facts
