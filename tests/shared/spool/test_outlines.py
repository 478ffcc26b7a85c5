"""Outlines kept by a sweep: true whatever happened since, and told without opening what they are of."""

from dataclasses import replace
from pathlib import Path

import pytest

from shared.spool import outlines
from shared.spool.outlines import Keeper, Outlines
from shared.spool.spool import Spool
from shared.spool.states import State
from shared.spool.units import Unit
from tests.shared.spool.examples import NOW, new_spool, reads_of

ORDER = {"destination": "archive", "part": "p" + "1" * 32}
FIRST = State(n=0, stage="send", status="waiting", at=NOW)
HELD = State(n=1, stage="send", status="held", at=NOW, reason="refused", dead_letter_class="refused")


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Spool:
    monkeypatch.setattr(outlines, "WORTH_KEEPING", 2)
    return new_spool(tmp_path)


def deliveries(spool: Spool, count: int, first: int = 0) -> list[str]:
    ids = [f"d{number:032x}" for number in range(first, first + count)]
    for unit in ids:
        spool.deliveries.create(unit, {**ORDER, "id": unit}, FIRST)
    return ids


def swept(spool: Spool, ids: list[str]) -> list[Unit]:
    return [outline for unit in ids if (outline := spool.deliveries.outline(unit)) is not None]


def test_what_a_sweep_kept_is_told_as_the_records_say_it_and_none_of_them_is_opened(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = deliveries(spool, 5)
    spool.deliveries.append(ids[0], HELD)
    expected = swept(spool, ids)
    assert Keeper(spool).keep(expected)
    reads = reads_of(spool, monkeypatch)
    kept = Outlines(spool)
    assert [kept.outline(unit) for unit in ids] == expected
    assert [unit for unit in ids if kept.outline(unit, "held")] == ids[:1]
    assert reads == ["outlines/", "outlines/00000000.json"]


def test_what_went_on_since_is_told_as_it_is_now(spool: Spool) -> None:
    ids = deliveries(spool, 3)
    Keeper(spool).keep(swept(spool, ids))
    kept = Outlines(spool)
    spool.deliveries.append(ids[1], HELD)
    outline = kept.outline(ids[1])
    assert outline is not None
    assert outline.state == HELD
    assert kept.outline(ids[1], "waiting") is None
    assert kept.outline(ids[2]) == spool.deliveries.outline(ids[2])


def test_what_was_not_kept_is_read(spool: Spool) -> None:
    Keeper(spool).keep(swept(spool, deliveries(spool, 3)))
    (later,) = deliveries(spool, 1, first=3)
    assert Outlines(spool).outline(later) == spool.deliveries.outline(later)
    assert Outlines(spool).outline("d" + "f" * 32) is None


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"\xff", b'{"orders": 1}', b'{"states": [[]]}', b'{"states": [1]}',
        b'{"other": []}', b'{"units": {"d%032x": []}}' % 0,
        b'{"units": {"d%032x": [0, 0, 0, "p", "", {}]}}' % 0,
        b'{"orders": [{}], "states": [{"status": "held"}], "units": {"d%032x": [0, 0, 0, "p", "then", {}]}}' % 0,
    ],
)  # fmt: skip
def test_outlines_that_cannot_be_read_hide_nothing(spool: Spool, body: bytes) -> None:
    (unit,) = deliveries(spool, 1)
    spool.store.put_new("outlines/00000007.json", body)
    assert Outlines(spool).outline(unit) == spool.deliveries.outline(unit)
    assert Keeper(spool).keep(swept(spool, [unit, *deliveries(spool, 3, first=1)]))
    assert spool.store.list("outlines") == ["00000008.json"]


def test_outlines_are_kept_anew_when_it_pays_and_then_alone(spool: Spool) -> None:
    keeper, ids = Keeper(spool), deliveries(spool, 30)
    assert not keeper.keep(swept(spool, ids[:1]))
    assert keeper.keep(swept(spool, ids))
    spool.deliveries.append(ids[0], HELD)
    assert not keeper.keep(swept(spool, ids))
    for unit in ids[1:4]:
        spool.deliveries.append(unit, replace(HELD, reason="gone"))
    assert keeper.keep(swept(spool, ids))
    assert spool.store.list("outlines") == ["00000001.json"]


def test_parts_are_not_kept(spool: Spool) -> None:
    units = [Unit(id="p" + 32 * digit, order={}, state=FIRST, made_at=NOW, facts={}) for digit in "1234"]
    assert not Keeper(spool).keep(units)
