"""Which studies, by whom, when, and how much of them went where."""

import time
from datetime import timedelta

import pytest
from sqlalchemy import text

from consumers.ledger.folding import went
from consumers.ledger.patients import name_key
from consumers.ledger.tables import deliveries, parts, patients
from consumers.router.handler import Router
from shared.outcomes import Held
from tests.consumers.bench import Bench, data_set
from tests.consumers.ledger.ledgers import Ledger
from tests.consumers.ledger.test_feeding import delivers, routed

DAY = "2026-03-04T12:00:00.000000+00:00"


@pytest.mark.parametrize(
    ("facts", "word"),
    [
        ({"delivered": 3, "status": "final", "outcome": "delivered"}, "complete"),
        ({"delivered": 2, "dropped": 1, "status": "final", "outcome": "delivered"}, "complete"),
        ({"delivered": 2, "held": 1, "status": "held"}, "partial"),
        ({"delivered": 2, "status": "final", "outcome": "discarded"}, "partial"),
        ({"delivered": 2, "status": "final", "outcome": "moved"}, "moved"),
        ({"delivered": 2, "elsewhere": 1, "status": "final", "outcome": "redirected"}, "moved"),
        ({"delivered": 2, "elsewhere": 1, "status": "final", "outcome": "replaced"}, "moved"),
        ({"delivered": 1, "elsewhere": 2, "status": "final", "outcome": "delivered"}, "complete"),
        ({"elsewhere": 2, "status": "waiting"}, "waiting"),
        ({"status": "held"}, "dead letter"),
        ({"status": "final", "outcome": "discarded"}, "discarded"),
        ({"dropped": 3, "status": "final", "outcome": "dropped"}, "dropped"),
        ({"status": "working"}, "waiting"),
    ],
)
def test_how_much_of_a_part_went_is_one_word(facts: dict[str, object], word: str) -> None:
    assert went({"delivered": 0, "dropped": 0, "elsewhere": 0, "outcome": "", **facts}, instances=3) == word


def test_a_later_part_of_a_study_is_an_addendum(relay: Bench, ledger: Ledger) -> None:
    _, first = routed(relay)
    relay.look(first, delivers)
    relay.now += timedelta(hours=1)
    part = relay.part(data_set(3))
    relay.look(part, Router(relay.spool).handle)
    other, _ = routed(relay, "9.9")
    ledger.fed()
    found = {row["id"]: [delivery["addendum"] for delivery in row["deliveries"]] for row in ledger.asked()}
    assert found[part] == [True]
    assert found[other] == [False]
    assert sorted(found.values()) == [[False], [False], [True]]


def test_studies_are_asked_for_by_source_destination_and_time(relay: Bench, ledger: Ledger) -> None:
    early, _ = routed(relay, "1.1")
    relay.now += timedelta(days=1)
    late, _ = routed(relay, "1.2")
    ledger.fed()
    assert [row["id"] for row in ledger.asked()] == [late, early]
    assert [row["id"] for row in ledger.asked(since="2026-03-05")] == [late]
    assert [row["id"] for row in ledger.asked(until="2026-03-05")] == [early]
    assert [row["id"] for row in ledger.asked(to="archive", source="ct-1")] == [late, early]
    assert ledger.asked(to="reading") == ledger.asked(source="mr-1") == []


def test_patients_are_found_by_id_name_and_accession_number(relay: Bench, ledger: Ledger) -> None:
    first = {"PatientID": "4711", "PatientName": "JOSÉ DA SILVA^ANA", "AccessionNumber": "A1"}
    jose = relay.part(data_set(1, "1.1", SpecificCharacterSet="ISO_IR 100", **first), study="1.1")
    relay.part(data_set(1, "1.2", PatientID="47110", PatientName="SILVA^RUI", AccessionNumber="A12"), study="1.2")
    ledger.fed()
    for question in (
        {"patient": "4711"}, {"patient": "jose da silva"}, {"patient": "José da Silva^Ana"}, {"accession": "A1"},
        {"patient": "4711", "accession": "A1"},
    ):  # fmt: skip
        assert [row["id"] for row in ledger.asked(**question)] == [jose], question
    assert ledger.asked(patient="da silva") == ledger.asked(patient="4711", accession="A12") == []


def test_a_name_is_searched_without_case_accents_and_separators() -> None:
    assert name_key("Müller^Jörg^^Dr.=ミュラー") == name_key(" muller  jorg, dr.") == "muller jorg dr."


def test_a_part_without_a_readable_header_is_in_the_ledger_all_the_same(relay: Bench, ledger: Ledger) -> None:
    part = relay.part(data_set())
    for instance in relay.manifest(part).instances:
        relay.spool.store.path(instance.file).write_bytes(b"damaged")
    ledger.fed()
    assert [row["id"] for row in ledger.asked()] == [part]
    assert ledger.verdict().problems == []


def test_ten_thousand_parts_are_answered_by_an_index(relay: Bench, ledger: Ledger) -> None:
    ledger.fed()
    _fill(ledger, 10_000)
    begun = time.perf_counter()
    found = ledger.asked(patient="P00042")
    named = ledger.asked(patient="name04242")
    month = ledger.asked(to="archive", since="2026-03-01", until="2026-04-01")
    took = time.perf_counter() - begun
    assert (len(found), len(named), len(month)) == (1, 1, 10_000)
    assert took < 20, f"took {took:.1f} s: a second or so on a quiet machine"
    for column, value in (("patient_id", "'P00042'"), ("accession_number", "'A1'")):
        assert "USING INDEX patients_by" in _plan(ledger, f"select part from patients where {column} = {value}")
    assert "USING INDEX parts_by_time" in _plan(
        ledger, "select * from parts where opened >= '2026' order by opened desc"
    )
    assert "deliveries_by_destination" in _plan(ledger, "select part from deliveries where destination = 'archive'")


def test_a_dead_letter_without_anything_delivered_went_nowhere(relay: Bench, ledger: Ledger) -> None:
    _, delivery = routed(relay)
    relay.look(delivery, lambda _: Held("refused", "refused"))
    ledger.fed()
    assert [it["went"] for it in ledger.asked()[0]["deliveries"]] == ["dead letter"]


def _plan(ledger: Ledger, query: str) -> str:
    with ledger.database.reading() as connection:
        return str(connection.execute(text(f"explain query plan {query}")).all())


def _fill(ledger: Ledger, count: int) -> None:
    """Rows as they would be after so many parts, without the parts."""
    part = {
        "n": 2,
        "source": "ct-1",
        "calling": "CT1",
        "called": "DCMRELAY",
        "opened": DAY,
        "closed": DAY,
        "late_of": "",
    }
    part |= {"instances": 1, "duplicates": 0, "bytes": 1, "status": "final", "outcome": "routed", "at": DAY}
    part |= {"dead_letter_class": "", "reason": "", "config": "", "routes": "all"}
    sent = {"n": 2, "destination": "archive", "route": "all", "form": "received", "profile": "", "optional": False}
    sent |= {"urgent": False, "ordered": DAY, "stage": "send", "status": "final", "outcome": "delivered", "tries": 0}
    sent |= {"dead_letter_class": "", "reason": "", "attempts": 1, "delivered": 1, "refused": 0, "held": 0}
    sent |= {"dropped": 0, "elsewhere": 0, "at": DAY}
    told = {"study_date": "", "study_description": "", "salt": "", "patient_name": ""}
    ids = [f"{k:05}" for k in range(count)]
    ledger_rows = [
        (parts, [{**part, "id": f"p{k}", "study": k, "study_key": f"s{k}"} for k in ids]),
        (deliveries, [{**sent, "id": f"d{k}", "part": f"p{k}"} for k in ids]),
        (
            patients,
            [
                {**told, "part": f"p{k}", "patient_id": f"P{k}", "name_key": f"name{k}", "accession_number": f"A{k}"}
                for k in ids
            ],
        ),
    ]
    with ledger.database.appending() as connection:
        for table, rows in ledger_rows:
            connection.execute(table.insert(), rows)
