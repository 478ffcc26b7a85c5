"""Whoever changes the ledger behind its back is found, at the first entry that is not what was entered."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from consumers.ledger.chain import Entry, hash_of
from consumers.ledger.tables import days, deliveries, entries, parts, patients
from consumers.router.handler import Router
from shared.errors import StartError
from shared.outcomes import Done
from shared.spool.parts import decided_deliveries
from tests.consumers.bench import Bench, data_set
from tests.consumers.ledger.ledgers import Ledger

FIRST, SECOND = "2026-03-04", "2026-03-05"


@pytest.fixture
def two_days(relay: Bench, ledger: Ledger) -> Ledger:
    """A ledger with a sealed day and one that goes on."""
    for study in ("1.1", "1.2"):
        part = relay.part(data_set(1, study), study=study)
        relay.look(part, Router(relay.spool).handle)
        for delivery in decided_deliveries(relay.spool, part) or ():
            relay.look(delivery, lambda _: Done(outcome="delivered", facts={"count": 1}))
        ledger.fed()
        relay.now += timedelta(days=1)
    relay.now -= timedelta(days=1)
    ledger.fed()
    assert {row["day"] for row in ledger.rows()} == {FIRST, SECOND}
    return ledger


def place_of(ledger: Ledger, kind: str, day: str = FIRST) -> int:
    return int(next(row["place"] for row in ledger.rows(kind) if row["day"] == day))


def changed(ledger: Ledger, place: int) -> Any:
    return entries.update().where(entries.c.day == FIRST, entries.c.place == place).values(content="{}")


def deleted(ledger: Ledger, place: int) -> Any:
    return entries.delete().where(entries.c.day == FIRST, entries.c.place == place)


def moved_to_another_unit(ledger: Ledger, place: int) -> Any:
    return entries.update().where(entries.c.day == FIRST, entries.c.place == place).values(unit="d" + "0" * 32)


def test_an_untouched_ledger_is_what_was_entered(two_days: Ledger) -> None:
    verdict = two_days.verdict()
    assert verdict.problems == []
    assert (verdict.days, verdict.entries) == (2, len(two_days.rows()))
    assert verdict.newest == two_days.rows()[-1]["hash"]


@pytest.mark.parametrize("tampered", [changed, deleted, moved_to_another_unit])
def test_a_changed_or_deleted_entry_is_named_as_the_first_broken_one(
    two_days: Ledger, tampered: Callable[[Ledger, int], Any]
) -> None:
    place = place_of(two_days, "routed")
    two_days.execute(tampered(two_days, place))
    for verdict in (two_days.verdict(), two_days.verdict(FIRST)):
        assert verdict.problems[0].startswith(f"entry {place} of {FIRST} ")
    assert two_days.verdict(SECOND).problems == []


def test_an_inserted_entry_is_named(two_days: Ledger) -> None:
    last = [row for row in two_days.rows() if row["day"] == FIRST][-1]
    forged = Entry(**{**last, "place": last["place"] + 1, "unit": "q0", "kind": "searched"})
    two_days.execute(entries.insert().values({**vars(forged), "hash": hash_of(forged, last["hash"])}))
    (problem,) = two_days.verdict().problems
    assert problem.startswith(f"{FIRST} has {forged.place} entries and not the {last['place']} it was closed with")


def test_the_newest_entries_cannot_be_cut_off(two_days: Ledger) -> None:
    last = two_days.rows()[-1]
    two_days.execute(entries.delete().where(entries.c.day == last["day"], entries.c.place == last["place"]))
    assert any(SECOND in problem for problem in two_days.verdict().problems)


def test_a_day_that_was_made_anew_with_right_hashes_is_not_what_was_sealed(two_days: Ledger) -> None:
    last = [row for row in two_days.rows() if row["day"] == FIRST][-1]
    before = [row for row in two_days.rows() if row["day"] == FIRST][-2]
    two_days.execute(entries.delete().where(entries.c.day == FIRST, entries.c.place == last["place"]))
    head = {"entries": before["place"], "hash": before["hash"]}
    two_days.execute(update(days).where(days.c.day == FIRST).values(head))
    problems = two_days.verdict(FIRST).problems
    assert f"{FIRST} is not what was sealed in the spool ({last['place']} entries): it was made anew" in problems
    assert f"{SECOND} does not begin where {FIRST} ended: a day is missing, or was made anew" in problems


def test_a_day_that_was_taken_out_is_missed(two_days: Ledger) -> None:
    two_days.execute(entries.delete().where(entries.c.day == FIRST))
    two_days.execute(days.delete().where(days.c.day == FIRST))
    assert any(it.startswith(f"{FIRST} was sealed with") for it in two_days.verdict().problems)


@pytest.mark.parametrize(
    ("statement", "table"),
    [
        (deliveries.update().values(outcome="delivered", delivered=99), "deliveries"),
        (parts.update().values(source="mr-1"), "parts"),
        (patients.update().values(patient_id="0815"), "patients"),
        (patients.update().values(name_key="nobody"), "patients"),
        (deliveries.delete(), "deliveries"),
        (patients.delete(), "patients"),
    ],
)
def test_a_row_that_is_not_what_the_entries_say_is_named(two_days: Ledger, statement: Any, table: str) -> None:
    two_days.execute(statement)
    problems = two_days.verdict().problems
    assert problems
    assert all(problem.startswith(f"{table}: ") for problem in problems)
    assert "CANARY" not in str(problems)


def test_old_days_go_after_the_retention_and_the_rest_still_holds(two_days: Ledger, relay: Bench) -> None:
    relay.now += timedelta(days=400)
    two_days.fed()
    assert {row["day"] for row in two_days.rows()} == {SECOND}
    assert [part["study"] for part in two_days.asked()] == ["1.2"]
    assert two_days.verdict().problems == []
    relay.now += timedelta(days=1)
    two_days.fed()
    assert two_days.asked() == []
    with two_days.database.reading() as connection:
        assert connection.execute(patients.select()).all() == []


def test_a_day_that_nothing_is_kept_of_is_said_to_be_so(two_days: Ledger) -> None:
    with pytest.raises(
        StartError, match=f"nothing is kept of the day 2026-03-03 in the ledger: it has {FIRST} to {SECOND}"
    ):
        two_days.verdict("2026-03-03")


def test_a_clock_that_goes_back_changes_no_sealed_day(two_days: Ledger, relay: Bench) -> None:
    relay.now -= timedelta(days=1)
    relay.part(data_set(1, "1.3"), study="1.3")
    two_days.fed()
    assert two_days.rows()[-1]["day"] == SECOND
    assert two_days.verdict().problems == []


def test_a_seal_is_never_changed(two_days: Ledger, relay: Bench) -> None:
    name = f"seals/{FIRST}.json"
    before = relay.spool.read_json(name)
    two_days.execute(deleted(two_days, 1))
    two_days.fed()
    assert relay.spool.read_json(name) == before
    assert Path(relay.spool.store.path("seals")).exists()
