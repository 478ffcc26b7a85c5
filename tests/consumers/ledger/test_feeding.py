"""What the spool knows is entered once, by whatever way the ledger hears of it."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from consumers.janitor.retention import expire
from consumers.janitor.sweep import sweep
from consumers.ledger.feeding import Feeder
from consumers.router.handler import Router
from producers.replay.orders import Site
from producers.replay.redirect import Way, carried_out, planned
from shared import metrics
from shared.errors import LedgerError
from shared.outcomes import Done, Held, Later, Paused
from shared.spool import states
from shared.spool.knocks import Knock, remember
from shared.spool.parts import decided_deliveries
from shared.work import Claim
from tests.consumers.bench import ALL, NOW, RELAY, Bench, data_set
from tests.consumers.ledger.ledgers import Ledger, file_of, in_spool
from tests.shared.spool.examples import damage


def routed(relay: Bench, study: str = "1.2.3.4", count: int = 2) -> tuple[str, str]:
    """A part of so many instances and its delivery, which waits."""
    part = relay.part(*(data_set(number, study) for number in range(1, count + 1)), study=study)
    relay.look(part, Router(relay.spool).handle)
    (delivery,) = decided_deliveries(relay.spool, part) or ()
    return part, delivery


def delivers(claim: Claim) -> Done:
    claim.record({"delivered": {"0": "0000"}})
    claim.record({"delivered": {"1": "B000"}})
    return Done(outcome="delivered", facts={"count": 2})


def finished(relay: Bench, study: str = "1.2.3.4") -> tuple[str, str]:
    part, delivery = routed(relay, study)
    relay.look(delivery, delivers)
    sweep(relay.spool, relay.config.hash)
    return part, delivery


def kinds_of(ledger: Ledger, unit: str) -> list[str]:
    return [row["kind"] for row in ledger.rows() if row["unit"] == unit]


@contextmanager
def locked(ledger: Ledger) -> Iterator[None]:
    """Somebody else holds the file's write lock."""
    connection = sqlite3.connect(file_of(ledger.config), isolation_level=None)
    connection.execute("begin immediate")
    try:
        yield
    finally:
        connection.execute("rollback")
        connection.close()


def test_every_record_of_a_part_and_its_delivery_is_an_entry(relay: Bench, ledger: Ledger) -> None:
    part, delivery = finished(relay)
    ledger.fed()
    assert kinds_of(ledger, part) == ["received", "attempt", "routed"]
    assert kinds_of(ledger, delivery) == ["ordered", "attempt", "answers", "answers", "delivered"]
    assert ledger.units() == in_spool(relay.spool)
    (found,) = ledger.asked()
    (gone,) = found["deliveries"]
    assert (found["instances"], found["outcome"], found["routes"]) == (2, "routed", "all")
    assert (gone["delivered"], gone["attempts"], gone["outcome"], gone["went"]) == (2, 1, "delivered", "complete")
    answers = [json.loads(row["content"])["answers"] for row in ledger.rows("answers")]
    assert answers == [{"delivered": {"0000": 1}}, {"delivered": {"B000": 1}}]


def test_nothing_is_entered_twice_however_often_it_is_told(relay: Bench, ledger: Ledger) -> None:
    part, delivery = finished(relay)
    feeder = Feeder(relay.spool, relay.config, ledger.database)
    feeder.round()
    before = ledger.rows()
    for unit in (part, delivery, part):
        feeder.tell(unit)
    ledger.fed()
    ledger.fed(full=False)
    assert ledger.rows() == before


def test_an_event_is_looked_into_at_once(relay: Bench, ledger: Ledger) -> None:
    feeder = Feeder(relay.spool, relay.config, ledger.database)
    feeder.round()
    _, delivery = finished(relay)
    feeder.tell(delivery)
    assert ledger.units() == in_spool(relay.spool)


def test_what_nobody_told_is_found_by_a_round(relay: Bench, ledger: Ledger) -> None:
    routed(relay, "1.1")
    _, waiting = routed(relay, "1.2")
    ledger.fed()
    finished(relay, "1.3")
    relay.look(waiting, delivers)
    sweep(relay.spool, relay.config.hash)
    ledger.fed(full=False)
    assert ledger.units() == in_spool(relay.spool)


def test_a_part_that_expired_while_the_ledger_was_down_is_taken_from_its_tombstone(
    relay: Bench, ledger: Ledger
) -> None:
    known_waiting = routed(relay, "1.1")[1]
    ledger.fed()
    relay.look(known_waiting, delivers)
    part, delivery = finished(relay, "1.2")
    parts = relay.spool.parts
    removals = {(one, 1 + max(it.n for it in parts.history(one))) for one in parts.ids()}
    expected = in_spool(relay.spool) | removals
    relay.now += timedelta(days=20)
    assert expire(relay.spool, relay.config.spool.retention) == 2
    assert in_spool(relay.spool) == set()
    ledger.fed()
    assert ledger.units() == expected
    assert {it["outcome"] for part in ledger.asked() for it in part["deliveries"]} == {"delivered"}
    assert kinds_of(ledger, delivery) == ["ordered", "attempt", "answers", "answers", "delivered"]
    assert ledger.verdict().problems == []
    assert "CANARY" not in json.dumps(relay.spool.read_json(f"tombstones/{part}.json"))


def test_a_tombstone_older_than_the_ledgers_retention_is_left_alone(relay: Bench, ledger: Ledger) -> None:
    finished(relay)
    relay.now += timedelta(days=500)
    expire(relay.spool, relay.config.spool.retention)
    ledger.fed()
    assert ledger.units() == set()


def test_a_ledger_that_is_locked_is_said_once_and_catches_up_when_it_is_free(
    relay: Bench, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumers.ledger.feeding.AWAY_SECONDS", 0)
    monkeypatch.setattr("consumers.ledger.database._WAIT_SECONDS", 0.05)
    short = Ledger(relay.config, relay.spool)
    feeder = Feeder(relay.spool, relay.config, short.database)
    feeder.round()
    part, delivery = routed(relay)
    with capture_logs() as logs:
        with locked(ledger):
            feeder.tell(part)
            assert metrics.value("dcmrelay_ledger_available") == 0
            relay.look(delivery, delivers)
            for _ in range(3):
                feeder.tell(delivery)
                feeder.round()
        feeder.round()
    assert metrics.value("dcmrelay_ledger_available") == 1
    assert [it["event"] for it in logs if it["event"].startswith("ledger_")] == ["ledger_not_fed", "ledger_fed_again"]
    assert "SQLITE_BUSY" in next(it["why"] for it in logs if it["event"] == "ledger_not_fed")
    assert ledger.units() == in_spool(relay.spool)
    short.database.close()


def test_what_the_database_refuses_is_told_without_its_text(relay: Bench, ledger: Ledger) -> None:
    file_of(relay.config).write_bytes(b"CANARY^PATIENT is no database" * 100)
    relay.part(data_set())
    with pytest.raises(LedgerError) as refused:
        ledger.fed()
    assert str(refused.value) == "the ledger's database refused (SQLITE_NOTADB)"
    assert refused.value.__cause__ is None


def test_a_damaged_record_keeps_back_nobody_else(relay: Bench, ledger: Ledger) -> None:
    broken, _ = finished(relay, "1.1")
    whole, _ = finished(relay, "1.2")
    damage(relay.spool, f"parts/{broken}/00000001.json")
    relay.spool.store.put_new("knocked/k1.json", b"{")
    with capture_logs() as logs:
        ledger.fed()
    assert kinds_of(ledger, whole) == ["received", "attempt", "routed"]
    assert kinds_of(ledger, broken) == []
    assert [it["unit"] for it in logs if it["event"] == "unreadable_record"] == ["knocked", broken]


def test_who_replayed_and_who_discarded_and_why_is_remembered(relay: Bench, ledger: Ledger) -> None:
    _, delivery = routed(relay)
    relay.look(delivery, lambda _: Held("refused", "refused"))
    held = relay.spool.deliveries.newest(delivery)
    assert held is not None
    replayed = states.released(held, now=relay.now, by="ana", why="mended")
    relay.spool.deliveries.append(delivery, replayed)
    relay.look(delivery, lambda _: Held("refused again", "refused"))
    again = relay.spool.deliveries.newest(delivery)
    assert again is not None
    relay.spool.deliveries.append(delivery, states.discarded(again, now=relay.now, by="rui", why="not wanted"))
    ledger.fed()
    told = [json.loads(row["content"]) for row in ledger.rows("replayed", "discarded")]
    assert [(it["by"], it["reason"]) for it in told] == [("ana", "mended"), ("rui", "not wanted")]
    assert [row["kind"] for row in ledger.rows() if row["unit"] == delivery].count("dead letter") == 2


def test_a_configuration_is_entered_when_it_comes_into_force(relay: Bench, ledger: Ledger) -> None:
    ledger.fed()
    (row,) = ledger.rows("configuration")
    assert json.loads(row["content"])["config"] == relay.config.hash


def test_a_refused_caller_is_one_entry_a_day(relay: Bench, ledger: Ledger) -> None:
    knock = Knock(
        calling_ae_title="STRANGER", called_ae_title="DCMRELAY", host="192.0.2.1", fingerprint="", why="calling",
        first=NOW, last=NOW, times=1,
    )  # fmt: skip
    for hours in (0, 1, 24):
        remember(relay.spool, Knock(**{**vars(knock), "last": NOW + timedelta(hours=hours)}))
        ledger.fed()
    told = [json.loads(row["content"]) for row in ledger.rows("caller refused")]
    assert [it["times"] for it in told] == [1, 3]


def test_a_day_is_the_relays_own(relay: Bench, ledger: Ledger) -> None:
    relay.now = datetime(2026, 3, 4, 23, 30, tzinfo=UTC)
    ledger.config = relay.config.model_copy(
        update={"relay": relay.config.relay.model_copy(update={"timezone": "Asia/Tokyo"})}
    )
    ledger.fed()
    assert {row["day"] for row in ledger.rows()} == {"2026-03-05"}


def test_failed_tries_and_answers_are_counted_and_forgotten_as_in_the_spool(relay: Bench, ledger: Ledger) -> None:
    _, delivery = routed(relay)
    relay.look(delivery, lambda _: Later("cannot connect"))

    def some(claim: Claim) -> Held:
        claim.record({"delivered": {"0": "0000"}, "refused": {"1": "0122 SOP class not supported"}})
        return Held("1 of 2 instances refused", "refused")

    relay.look(delivery, some)
    ledger.fed()
    (found,) = ledger.asked()[0]["deliveries"]
    assert (found["attempts"], found["delivered"], found["refused"], found["went"]) == (2, 1, 1, "partial")
    held = relay.spool.deliveries.newest(delivery)
    assert held is not None
    relay.spool.deliveries.append(delivery, states.released(held, now=relay.now, by="ana", why="mended"))

    def rest(claim: Claim) -> Done:
        claim.record({"delivered": {"1": "0000"}})
        return Done(outcome="delivered")

    relay.look(delivery, rest)
    ledger.fed()
    (found,) = ledger.asked()[0]["deliveries"]
    assert (found["delivered"], found["refused"], found["went"]) == (2, 0, "complete")


def test_what_verification_took_back_is_not_delivered(relay: Bench, ledger: Ledger) -> None:
    _, delivery = routed(relay)

    def kept_one(claim: Claim) -> Held:
        claim.record({"delivered": {"0": "0000", "1": "0000"}})
        claim.record({"delivered": {"1": None}, "refused": {"1": "keeps nothing"}})
        return Held("1 of 2 instances refused", "refused")

    relay.look(delivery, kept_one)
    ledger.fed()
    (found,) = ledger.asked()[0]["deliveries"]
    assert (found["attempts"], found["delivered"], found["refused"], found["went"]) == (1, 1, 1, "partial")
    assert [json.loads(row["content"]).get("taken_back") for row in ledger.rows("answers")] == [None, {"delivered": 1}]
    assert ledger.verdict().problems == []


def test_a_record_that_only_takes_back_is_no_attempt(relay: Bench, ledger: Ledger) -> None:
    _, delivery = routed(relay)

    def kept_nothing(claim: Claim) -> Later:
        claim.record({"delivered": {"0": "0000", "1": "0000"}})
        claim.record({"delivered": {"0": None, "1": None}})
        return Later("asked again")

    relay.look(delivery, kept_nothing)
    ledger.fed()
    (found,) = ledger.asked()[0]["deliveries"]
    assert (found["attempts"], found["delivered"], found["went"]) == (1, 0, "waiting")


def test_a_redirect_is_moved_there_and_complete_here(relay: Bench, ledger: Ledger) -> None:
    relay.configure(RELAY + ALL + '[[route]]\nname = "never"\nmatch = {Modality = "XX"}\nto = ["reading"]\n')
    part, delivery = routed(relay)

    def one(claim: Claim) -> Held:
        claim.record({"delivered": {"0": "0000"}})
        return Held("gave up: cannot connect", "unreachable")

    relay.look(delivery, one)
    letter, way = relay.spool.deliveries.load(delivery), Way(to="reading")
    assert letter is not None
    site = Site(spool=relay.spool, config=relay.config, by="ann", why="archive is away")
    _, [step] = carried_out(site, planned(site, [letter], way), way)
    assert step.ordered is not None
    assert not step.refused
    relay.look(part, Router(relay.spool).handle)

    def other(claim: Claim) -> Done:
        claim.record({"delivered": {"1": "0000"}})
        return Done(outcome="delivered")

    relay.look(step.ordered.order.id, other)
    ledger.fed()
    words = ("destination", "delivered", "elsewhere", "went")
    told = {tuple(it[word] for word in words) for it in ledger.asked()[0]["deliveries"]}
    assert told == {("archive", 1, 1, "moved"), ("reading", 1, 1, "complete")}
    assert kinds_of(ledger, delivery)[-1] == "redirected"
    assert kinds_of(ledger, part) == ["received", "attempt", "routed", "ordered again", "attempt", "routed"]
    assert ledger.verdict().problems == []


def test_what_a_person_did_is_called_by_its_name(relay: Bench, ledger: Ledger) -> None:
    _, delivery = routed(relay)
    deliveries, by = relay.spool.deliveries, "ann"

    def newest() -> states.State:
        state = deliveries.newest(delivery)
        assert state is not None
        return state

    relay.look(delivery, lambda _: Paused("paused", relay.now + timedelta(hours=1)))
    deliveries.append(delivery, states.resumed(newest(), now=relay.now, by=by))
    deliveries.append(delivery, states.hurried(newest(), now=relay.now, by=by, why="now"))
    relay.look(delivery, lambda _: Paused("paused", relay.now + timedelta(hours=1)))
    deliveries.append(delivery, states.resumed(newest(), now=relay.now, by=by))
    relay.look(delivery, lambda _: Held("refused", "refused"))
    deliveries.append(delivery, states.released(newest(), now=relay.now, by=by, why="mended"))
    relay.look(delivery, lambda _: Held("refused", "refused"))
    deliveries.append(
        delivery, states.moved(newest(), now=relay.now, by=by, why="newer", outcome="replaced", to="d1", missing=["0"])
    )
    ledger.fed()
    acts = [row["kind"] for row in ledger.rows() if row["unit"] == delivery and "by" in json.loads(row["content"])]
    assert acts == ["resumed", "made urgent", "resumed", "replayed", "replaced"]
