"""`ledger` and what `studies` asks of it."""

import csv
import io
import json
import os
import sqlite3
from datetime import timedelta

import pytest

from consumers.janitor.retention import expire
from consumers.janitor.sweep import sweep
from consumers.ledger.database import database_of
from consumers.ledger.feeding import Feeder
from consumers.ledger.tables import entries
from shared.outcomes import Done
from shared.spool.spool import Spool
from tests.dcmrelay.relays import NOW, Command, Prepared


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)


def fed(relay: Prepared) -> None:
    database = database_of(relay.config)
    Feeder(relay.spool, relay.config, database).catch_up(full=True)
    database.close()


def delivered(relay: Prepared, study: str, *, minutes: int = 60, instances: int = 2, taken: int = 2) -> str:
    """A part of which a destination has taken so many."""
    part = relay.part(study, minutes=minutes, instances=instances)
    (delivery,) = relay.routed(part, "archive")
    relay.settle(delivery, Done(outcome="delivered", facts={"delivered": {str(k): "0000" for k in range(taken)}}))
    return part


def gone(relay: Prepared) -> None:
    """All that is finished goes from the spool."""
    sweep(relay.spool, relay.config.hash)
    later = Spool(relay.spool.store.root, clock=lambda: NOW + timedelta(days=30))
    assert expire(later, relay.config.spool.retention)


def lines_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_which_studies_went_to_a_destination_is_one_command_with_a_line_each(relay: Prepared, command: Command) -> None:
    whole = delivered(relay, "1.1", minutes=50)
    partly = delivered(relay, "1.2", minutes=40, taken=1)
    addendum = delivered(relay, "1.1", minutes=30)
    relay.routed(relay.part("1.3", minutes=20), "reading")
    fed(relay)
    said = command("studies", "--to", "archive", "--since", "2026-03-01", "--until", "2026-04-01", "--csv")
    told = {row["part"]: (row["went"], row["addendum"], row["delivered"]) for row in lines_of(said.out)}
    assert told == {
        whole: ("complete", "no", "2"),
        partly: ("partial", "no", "1"),
        addendum: ("complete", "yes", "2"),
    }
    assert lines_of(said.out)[-1]["received"] == "2026-03-04T11:10:00+00:00"
    assert lines_of(command("studies", "--to", "archive", "--until", "2026-03-01", "--csv").out) == []


def test_what_has_gone_from_the_spool_is_listed_when_a_time_is_given(relay: Prepared, command: Command) -> None:
    old = delivered(relay, "1.1", minutes=90)
    fed(relay)
    gone(relay)
    waiting = relay.part("1.2", minutes=5)
    both = json.loads(command("studies", "--since", "2026-03-01", "--json").out)
    assert [row["part"] for row in both] == [waiting, old]
    assert both[1]["deliveries"][0]["outcome"] == "delivered"
    assert [row["part"] for row in json.loads(command("studies", "--json").out)] == [waiting]
    assert "archive: delivered" in command("studies", "--since", "2026-03-01").out


def test_a_day_begins_at_midnight_where_the_relay_is(relay: Prepared, command: Command) -> None:
    path = relay.config.relay.data_dir.parent / "dcmrelay.toml"
    path.write_text(path.read_text().replace("[relay]", '[relay]\ntimezone = "Asia/Tokyo"'), encoding="utf-8")
    part = relay.part(minutes=-4 * 60)  # 16:00 UTC is 01:00 of the next day there
    fed(relay)
    assert part in command("studies", "--since", "2026-03-05", "--csv").out
    assert part not in command("studies", "--until", "2026-03-05", "--csv").out
    assert json.loads(command("studies", "--since", "2026-03-05", "--json").out)[0]["part"] == part


def test_without_a_ledger_its_questions_are_answered_with_one_clear_line(relay: Prepared, command: Command) -> None:
    for question in (("studies", "--patient", "4711"), ("studies", "--csv"), ("ledger", "verify"), ("ledger", "log")):
        said = command(*question)
        assert (said.code, said.out) == (1, "")
        assert "there is no ledger yet in" in said.err
        assert "`dcmrelay up` or `dcmrelay ledger` makes and fills it" in said.err
        assert said.err.count("\n") == 1
    assert command("studies", "--since", "2026-03-01").code == 0


def test_who_looked_for_a_patient_is_recorded_without_saying_whom(relay: Prepared, command: Command) -> None:
    relay.part()
    fed(relay)
    said = command("studies", "--patient", "CANARY^PATIENT", "--accession", "CANARY1")
    assert (said.code, said.out) == (0, "No study fits; `dcmrelay studies` shows all there are.\n")
    (search,) = json.loads(command("ledger", "log", "--kind", "searched", "--json").out)
    assert sorted(search["content"]["fields"]) == ["accession", "patient"]
    assert search["content"]["by"]
    assert search["content"]["identified"] is False
    assert "CANARY" not in json.dumps(search).upper()
    assert len(json.loads(command("ledger", "log", "--searched", "canary patient", "--json").out)) == 1
    assert json.loads(command("ledger", "log", "--searched", "somebody else", "--json").out) == []


def test_a_patient_search_that_cannot_be_recorded_shows_nothing(
    relay: Prepared, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay.part()
    fed(relay)
    monkeypatch.setattr("consumers.ledger.database._WAIT_SECONDS", 0.05)
    somebody = sqlite3.connect(relay.config.relay.data_dir / "ledger.sqlite", isolation_level=None)
    somebody.execute("begin immediate")
    said = command("studies", "--with-patient")
    somebody.close()
    assert (said.code, said.out) == (1, "")
    assert said.err == "dcmrelay: the ledger's database refused (SQLITE_BUSY)\n"


def test_a_search_by_one_letter_is_refused(relay: Prepared, command: Command) -> None:
    assert command("studies", "--patient", "x").err == "dcmrelay: --patient needs two characters or more\n"


def test_verify_says_that_all_is_well_and_names_the_first_broken_entry(relay: Prepared, command: Command) -> None:
    delivered(relay, "1.1")
    fed(relay)
    well = command("ledger", "verify")
    assert well.code == 0
    assert "entries of 1 days are as they were entered; the ledger ends with " in well.out
    database = database_of(relay.config)
    with database.appending() as connection:
        connection.execute(entries.delete().where(entries.c.place == 3))
    database.close()
    broken = command("ledger", "verify", "--day", "2026-03-04")
    assert (broken.code, broken.out) == (1, "")
    assert broken.err.startswith("! entry 3 of 2026-03-04 is missing\n")
    assert json.loads(command("ledger", "verify", "--json").out)["problems"][0] == "entry 3 of 2026-03-04 is missing"


def test_log_tells_what_people_did_and_a_units_whole_story(relay: Prepared, command: Command) -> None:
    part = relay.part()
    relay.held(part)
    assert command("dead", "discard", part, "--why", "sent twice").code == 0
    fed(relay)
    told = command("ledger", "log").out
    assert "discarded" in told
    assert "sent twice" in told
    story = json.loads(command("ledger", "log", "--unit", part[:9], "--json").out)
    assert [entry["kind"] for entry in story] == ["received", "attempt", "dead letter", "discarded"]
    assert "Nothing of that kind" in command("ledger", "log", "--kind", "redirected").out


def test_a_cell_that_a_spreadsheet_would_compute_is_text(relay: Prepared, command: Command) -> None:
    part = relay.part()
    (delivery,) = relay.routed(part, "archive")
    relay.failed(delivery, "=1+1")
    fed(relay)
    assert [row["reason"] for row in lines_of(command("studies", "--csv").out)] == ["'=1+1"]
