"""The ledger in PostgreSQL: the same tests as in a file, and what only a server can do."""

import os
import threading
from pathlib import Path

import pytest
from sqlalchemy import text

from shared import metrics
from tests.consumers.bench import ALL, RELAY, Bench, bench, data_set
from tests.consumers.ledger.ledgers import Ledger, file_of, in_spool
from tests.consumers.ledger.test_feeding import (  # noqa: F401  (collected here again, on PostgreSQL)
    finished,
    test_a_damaged_record_keeps_back_nobody_else,
    test_a_part_that_expired_while_the_ledger_was_down_is_taken_from_its_tombstone,
    test_an_event_is_looked_into_at_once,
    test_every_record_of_a_part_and_its_delivery_is_an_entry,
    test_failed_tries_and_answers_are_counted_and_forgotten_as_in_the_spool,
    test_nothing_is_entered_twice_however_often_it_is_told,
    test_what_nobody_told_is_found_by_a_round,
)
from tests.consumers.ledger.test_queries import (  # noqa: F401
    test_a_later_part_of_a_study_is_an_addendum,
    test_patients_are_found_by_id_name_and_accession_number,
    test_studies_are_asked_for_by_source_destination_and_time,
)
from tests.consumers.ledger.test_verifying import (  # noqa: F401
    test_a_changed_or_deleted_entry_is_named_as_the_first_broken_one,
    test_a_row_that_is_not_what_the_entries_say_is_named,
    test_an_inserted_entry_is_named,
    test_an_untouched_ledger_is_what_was_entered,
    test_old_days_go_after_the_retention_and_the_rest_still_holds,
    two_days,
)
from tests.postgres import PASSWORD, postgres, postgres_url  # noqa: F401


@pytest.fixture
def relay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, postgres_url: str) -> Bench:  # noqa: F811
    monkeypatch.setattr(os, "fsync", lambda _: None)
    (tmp_path / "password").write_text(f"{PASSWORD}\n", encoding="ascii")
    return bench(tmp_path, f'{RELAY}{ALL}[ledger]\nurl = "{postgres_url}"\npassword_file = "password"\n')


def test_nothing_is_put_into_a_file(relay: Bench, ledger: Ledger) -> None:
    ledger.fed()
    assert not file_of(relay.config).exists()
    assert PASSWORD not in repr(ledger.database.place)


def test_two_workers_that_feed_one_ledger_enter_everything_once(relay: Bench, ledger: Ledger) -> None:
    for k in range(20):
        finished(relay, f"1.{k}")
    others = [Ledger(relay.config, relay.spool) for _ in range(3)]
    threads = [threading.Thread(target=other.fed) for other in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert ledger.units() == in_spool(relay.spool)
    assert ledger.verdict().problems == []
    for other in others:
        other.database.close()


def test_a_value_with_a_nul_or_half_a_character_is_taken(relay: Bench, ledger: Ledger) -> None:
    part = relay.part(data_set(1, PatientName="DOE\x00^JANE", PatientID="4711"))
    ledger.fed()
    assert [row["id"] for row in ledger.asked(patient="4711")] == [part]


def test_a_connection_that_was_cut_is_made_again(relay: Bench, ledger: Ledger) -> None:
    from consumers.ledger.feeding import Feeder

    feeder = Feeder(relay.spool, relay.config, ledger.database)
    feeder.round()
    other = Ledger(relay.config, relay.spool)
    other.execute(text("select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()"))
    _, delivery = finished(relay)
    feeder.tell(delivery)
    assert metrics.value("dcmrelay_ledger_available") == 1
    assert ledger.units() == in_spool(relay.spool)
    other.database.close()
