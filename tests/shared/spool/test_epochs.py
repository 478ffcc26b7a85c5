"""Epochs: the highest owns the destination."""

from pathlib import Path

import pytest

from shared import owner
from shared.spool.epochs import newest_epoch, take_over
from shared.spool.spool import Spool
from tests.shared.spool.examples import NOW, new_spool


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return new_spool(tmp_path)


def test_nobody_has_owned_a_destination_at_first(spool: Spool) -> None:
    assert newest_epoch(spool, "archive") == 0


def test_whoever_takes_over_has_the_highest_epoch(spool: Spool) -> None:
    assert [take_over(spool, "archive") for _ in range(12)] == list(range(1, 13))
    assert newest_epoch(spool, "archive") == 12
    assert newest_epoch(spool, "reading") == 0


def test_an_epoch_says_whose_it_is(spool: Spool) -> None:
    take_over(spool, "archive")
    assert spool.read_json("owners/archive/00000001.json") == {"owner": owner.this_process(), "at": NOW.isoformat()}


def test_old_epochs_do_not_pile_up(spool: Spool) -> None:
    for _ in range(10):
        take_over(spool, "archive")
    assert spool.store.list("owners/archive") == ["00000008.json", "00000009.json", "00000010.json"]


def test_of_two_who_take_over_at_once_both_have_an_epoch_and_one_the_higher(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_json, others = spool.put_json, []

    def overtaken(name: str, content: dict[str, object]) -> bool:
        monkeypatch.setattr(spool, "put_json", put_json)
        others.append(take_over(spool, "archive"))
        return put_json(name, content)

    monkeypatch.setattr(spool, "put_json", overtaken)
    assert take_over(spool, "archive") == 2
    assert others == [1]
