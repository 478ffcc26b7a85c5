"""A bell is answered: claimed, counted, handled, settled; each row of the table for one consumer."""

import json
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from shared import owner
from shared.errors import (
    HandedBackError,
    PeerTimeoutError,
    PermanentError,
    StorageError,
    SupersededError,
)
from shared.messages import Bell, Ring, StudyDelivered, StudyFailed, StudyRouted
from shared.outcomes import Done, Held, Later, Next, Outcome
from shared.spool import states
from shared.spool.deliveries import create_delivery
from shared.spool.spool import Spool
from shared.spool.states import Retry, State
from shared.work import Claim, Said, Worker
from tests.shared.spool.examples import (
    LEASE,
    UNSEEN_OWNER,
    Clock,
    Killed,
    claim,
    closed,
    damage,
    dead_owner,
    fail,
    hold,
    new_spool,
    order_for,
    settle,
)

RETRY = Retry(first=timedelta(seconds=4), longest=timedelta(minutes=20), give_up=timedelta(hours=1), faults=3)
PART = "p" + "7" * 32
Handler = Callable[[Claim], Outcome]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def spool(tmp_path: Path, clock: Clock) -> Spool:
    return new_spool(tmp_path, clock)


@pytest.fixture
def unit(spool: Spool) -> str:
    """A delivery that waits for the sender."""
    order = order_for(PART)
    create_delivery(spool, order, "c" * 64)
    return order.id


def answering(outcome: Outcome | BaseException) -> Handler:
    def handle(_: Claim) -> Outcome:
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    return handle


def never(_: Claim) -> Outcome:
    raise AssertionError("the handler was called")


def worker(spool: Spool, handle: Handler) -> Worker:
    return Worker(spool, handle, RETRY, jitter=lambda: 0.0)


def look(spool: Spool, unit: str, outcome: Outcome | BaseException, n: int | None = None) -> Said:
    """Answers the bell of a record, the newest if none is named."""
    bell = Bell(unit=unit, n=newest(spool, unit).n if n is None else n)
    return worker(spool, answering(outcome)).look(bell)


def newest(spool: Spool, unit: str) -> State:
    state = spool.units(unit).newest(unit)
    assert state is not None
    return state


def is_active(spool: Spool, unit: str) -> bool:
    return unit in spool.store.list("active/deliveries")


def ring(unit: str, n: int, key: str = "send.archive", wait: timedelta = timedelta(0)) -> Ring:
    return Ring(routing_key=key, bell=Bell(unit=unit, n=n), wait=wait, journey=PART)


def test_done_is_final_and_no_longer_active_and_the_fact_is_told(spool: Spool, unit: str) -> None:
    words = look(spool, unit, Done(outcome="delivered", facts={"count": 0}))
    assert (newest(spool, unit).n, newest(spool, unit).status, newest(spool, unit).outcome) == (2, "final", "delivered")
    assert not is_active(spool, unit)
    told = StudyDelivered(id=unit, n=2, part=PART, destination="archive", instances=0)
    assert words == Said(events=(told,), unit=Bell(unit=unit, n=2), journey=PART)


def test_done_rings_for_the_units_it_made(spool: Spool) -> None:
    part = closed(spool).id
    bells = (ring("d" + "1" * 32, 0), ring("d" + "2" * 32, 0, "render"))
    words = look(spool, part, Done(outcome="routed", rings=bells))
    assert words.rings == bells
    assert words.events == (StudyRouted(id=part, n=2, part=part, deliveries=2),)
    assert newest(spool, part).status == "final"


def test_next_waits_at_that_stage_and_its_bell_is_rung(spool: Spool, unit: str) -> None:
    assert look(spool, unit, Next("render")).rings == (ring(unit, 2, "render"),)
    assert (newest(spool, unit).status, newest(spool, unit).stage) == ("waiting", "render")
    assert look(spool, unit, Next("send")).rings == (ring(unit, 4),)


@pytest.mark.parametrize("outcome", [Later("the peer is silent"), PeerTimeoutError("the peer is silent")])
def test_later_waits_with_back_off_and_is_rung_for_after_the_wait(
    spool: Spool, clock: Clock, unit: str, outcome: Outcome | BaseException
) -> None:
    for tries, seconds in ((1, 4), (2, 8), (3, 16)):
        words = look(spool, unit, outcome)
        state = newest(spool, unit)
        assert words.rings == (ring(unit, 2 * tries, wait=timedelta(seconds=seconds)),)
        assert (state.tries, state.faults, state.reason) == (tries, 0, "the peer is silent")
        assert state.due == clock() + timedelta(seconds=seconds)
        clock.pass_by(seconds=seconds)


@pytest.mark.parametrize("outcome", [Held("2 of 3 refused", "refused"), PermanentError("2 of 3 refused", "refused")])
def test_held_is_a_dead_letter_with_a_pointer(spool: Spool, unit: str, outcome: Outcome | BaseException) -> None:
    words = look(spool, unit, outcome)
    state = newest(spool, unit)
    assert (state.status, state.reason, state.dead_letter_class) == ("held", "2 of 3 refused", "refused")
    failed = StudyFailed(id=unit, n=2, part=PART, dead_letter_class="refused", destination="archive")
    assert words == Said(pointer="refused", events=(failed,), unit=Bell(unit=unit, n=2), journey=PART)
    assert is_active(spool, unit)


def test_a_unit_whose_time_is_used_is_a_dead_letter(spool: Spool, clock: Clock, unit: str) -> None:
    look(spool, unit, Later("away"))
    clock.pass_by(minutes=60)
    assert look(spool, unit, Later("away")).pointer == "unreachable"
    assert newest(spool, unit).reason == "gave up: away"


def test_what_nobody_foresaw_is_tried_again_and_then_held_as_a_bug(spool: Spool, clock: Clock, unit: str) -> None:
    for faults in (1, 2):
        words = look(spool, unit, KeyError("x"))
        assert (newest(spool, unit).faults, len(words.rings), words.pointer) == (faults, 1, "")
        clock.pass_by(minutes=1)
    words = look(spool, unit, KeyError("x"))
    state = newest(spool, unit)
    assert (words.pointer, words.rings, state.status, state.dead_letter_class) == ("bug", (), "held", "bug")


@pytest.mark.parametrize("error", [ValueError, KeyError, OSError, RecursionError, MemoryError])
def test_no_record_and_no_log_line_holds_the_text_of_an_exception(
    spool: Spool, unit: str, error: type[Exception]
) -> None:
    with capture_logs() as logs:
        look(spool, unit, error("CANARY^PATIENT"))
    assert newest(spool, unit).reason.startswith(f"{error.__name__} at test_worker.py:")
    written = b"".join(spool.store.read(f"deliveries/{unit}/{name}") or b"" for name in spool.store.list(
        f"deliveries/{unit}"))  # fmt: skip
    assert b"CANARY" not in written
    assert logs
    assert "CANARY" not in json.dumps(logs, default=str)


def test_a_bell_of_an_older_record_is_stale(spool: Spool, clock: Clock, unit: str) -> None:
    look(spool, unit, Next("send"))
    for n in (0, 1, 3):
        assert worker(spool, never).look(Bell(unit=unit, n=n)) == Said()
    assert newest(spool, unit).n == 2


def test_a_bell_rung_twice_is_answered_once(spool: Spool, unit: str) -> None:
    look(spool, unit, Next("send"), n=0)
    assert worker(spool, never).look(Bell(unit=unit, n=0)) == Said()


@pytest.mark.parametrize("settled", [Held("no", "policy"), Done(outcome="delivered")])
@pytest.mark.parametrize("redelivered", [False, True])
def test_nobody_works_on_what_is_held_or_final(spool: Spool, unit: str, settled: Outcome, redelivered: bool) -> None:
    n = settle(spool, unit, settled).n
    assert worker(spool, never).look(Bell(unit=unit, n=n), redelivered=redelivered) == Said()


def test_a_bell_for_a_unit_that_never_was_is_stale(spool: Spool) -> None:
    assert worker(spool, never).look(Bell(unit="d" + "0" * 32, n=0), redelivered=True) == Said()


def test_a_redelivered_bell_counts_for_the_newest_record(spool: Spool, unit: str) -> None:
    settle(spool, unit, Next("send"))
    words = worker(spool, answering(Done(outcome="delivered"))).look(Bell(unit=unit, n=0), redelivered=True)
    assert newest(spool, unit).status == "final"
    assert len(words.events) == 1


def test_a_bell_that_comes_too_early_is_rung_again_for_the_rest_of_the_wait(
    spool: Spool, clock: Clock, unit: str
) -> None:
    n = fail(spool, unit).n
    clock.pass_by(seconds=0.25)
    assert worker(spool, never).look(Bell(unit=unit, n=n)).rings == (
        ring(unit, n, wait=timedelta(seconds=0.75)),
    )  # fmt: skip
    clock.pass_by(seconds=0.6)
    look(spool, unit, Done(outcome="delivered"), n=n)
    assert newest(spool, unit).status == "final"


@pytest.mark.parametrize("redelivered", [False, True])
def test_what_a_living_process_works_on_is_left_to_it(spool: Spool, unit: str, redelivered: bool) -> None:
    n = claim(spool, unit).n
    assert worker(spool, never).look(Bell(unit=unit, n=n), redelivered=redelivered) == Said()


@pytest.mark.parametrize(
    ("by", "after"),
    [(dead_owner(), timedelta(0)), (UNSEEN_OWNER, LEASE), (None, LEASE)],
    ids=["dead", "unseen", "hung"],
)
def test_an_abandoned_unit_is_worked_on_and_the_death_counts(
    spool: Spool, clock: Clock, unit: str, by: str | None, after: timedelta
) -> None:
    n = claim(spool, unit, by).n
    clock.now += after
    look(spool, unit, Next("send"), n=n - 1)
    assert [(s.status, s.faults) for s in spool.deliveries.history(unit)] == [
        ("waiting", 0), ("working", 0), ("working", 1), ("waiting", 0)
    ]  # fmt: skip


def test_a_process_that_cannot_be_seen_keeps_its_unit_until_its_lease_is_over(
    spool: Spool, clock: Clock, unit: str
) -> None:
    n = claim(spool, unit, UNSEEN_OWNER).n
    clock.now += LEASE * 0.99
    assert worker(spool, never).look(Bell(unit=unit, n=n)) == Said()


def test_what_kills_its_worker_too_often_is_held_as_a_bug_without_another_try(spool: Spool, unit: str) -> None:
    for _ in range(RETRY.faults):
        state = newest(spool, unit)
        faults = state.faults + (state.status == "working")
        spool.deliveries.append(
            unit, states.claimed(state, owner=dead_owner(), now=spool.now(), lease=LEASE, faults=faults)
        )
    words = worker(spool, never).look(Bell(unit=unit, n=newest(spool, unit).n))
    assert words.pointer == "bug"
    assert newest(spool, unit).reason == "its worker died 3 times at it"


def test_a_kill_counts_although_the_worker_wrote_nothing_of_it(spool: Spool, unit: str) -> None:
    with pytest.raises(Killed):
        look(spool, unit, Killed())
    assert newest(spool, unit).status == "working"


def test_the_claim_is_on_record_before_the_work(spool: Spool, unit: str) -> None:
    seen: list[State] = []

    def handle(claim: Claim) -> Outcome:
        seen.append(newest(spool, unit))
        return Next("send")

    worker(spool, handle).look(Bell(unit=unit, n=0))
    assert [(s.status, s.owner, s.lease) for s in seen] == [("working", owner.this_process(), spool.now() + LEASE)]


def test_a_slice_is_on_record_at_once_and_known_to_the_next_try(spool: Spool, clock: Clock, unit: str) -> None:
    def first(claim: Claim) -> Outcome:
        claim.record({"delivered": {"0": "0000"}})
        clock.pass_by(minutes=4)
        claim.record({"delivered": {"1": "B000"}, "count": 2})
        assert claim.facts == {"delivered": {"0": "0000", "1": "B000"}, "count": 2}
        assert newest(spool, unit).lease == clock() + LEASE
        return Later("away")

    def second(claim: Claim) -> Outcome:
        assert claim.facts["delivered"] == {"0": "0000", "1": "B000"}
        return Done(outcome="delivered")

    worker(spool, first).look(Bell(unit=unit, n=0))
    clock.pass_by(minutes=1)
    words = worker(spool, second).look(Bell(unit=unit, n=4))
    assert [event.instances for event in words.events if isinstance(event, StudyDelivered)] == [2]


@pytest.mark.parametrize("when", ["in a slice", "at the end"])
def test_who_was_superseded_writes_nothing_and_says_nothing(spool: Spool, unit: str, when: str) -> None:
    def handle(claim: Claim) -> Outcome:
        taken = states.claimed(claim.state, owner="other", now=spool.now(), lease=LEASE, faults=1)
        spool.deliveries.append(unit, taken)
        if when == "in a slice":
            claim.record({"delivered": {"0": "0000"}})
        return Done(outcome="delivered")

    assert worker(spool, handle).look(Bell(unit=unit, n=0)) == Said()
    assert (newest(spool, unit).n, newest(spool, unit).owner) == (2, "other")
    assert is_active(spool, unit)


def test_of_two_who_claim_at_once_one_works(spool: Spool, unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    load = spool.deliveries.load
    others: list[Said] = []

    def overtaken(id_: str) -> object:
        loaded = load(id_)
        monkeypatch.setattr(spool.deliveries, "load", load)
        others.append(look(spool, unit, Next("send"), n=0))
        return loaded

    monkeypatch.setattr(spool.deliveries, "load", overtaken)
    assert worker(spool, never).look(Bell(unit=unit, n=0)) == Said()
    assert len(others[0].rings) == 1


@pytest.mark.parametrize("error", [None, HandedBackError("stop")])
def test_a_worker_told_to_stop_hands_the_unit_back_and_rings_for_it(
    spool: Spool, unit: str, error: HandedBackError | None
) -> None:
    told = worker(spool, never)

    def handle(claim: Claim) -> Outcome:
        claim.check()
        told.stopping.set()
        if error:
            raise error
        claim.check()
        raise AssertionError("went on")

    told.handle = handle
    words = told.look(Bell(unit=unit, n=0))
    state = newest(spool, unit)
    assert (state.status, state.tries, state.faults, state.due, state.owner) == ("waiting", 0, 0, None, "")
    assert words.rings == (ring(unit, 2),)


def test_a_unit_is_given_back_from_another_thread_when_its_handler_hangs(spool: Spool, unit: str) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def hang(claim: Claim) -> Outcome:
        begun.set()
        go_on.wait(10)
        return Done(outcome="delivered")

    hanging = worker(spool, hang)
    thread = threading.Thread(target=hanging.look, args=(Bell(unit=unit, n=0),))
    thread.start()
    assert begun.wait(10)
    hanging.abandon()
    assert (newest(spool, unit).status, newest(spool, unit).faults) == ("waiting", 0)
    go_on.set()
    thread.join(10)
    hanging.abandon()


def test_what_was_given_back_and_taken_by_another_is_not_settled_by_the_first(spool: Spool, unit: str) -> None:
    giving = worker(spool, never)

    def handle(_: Claim) -> Outcome:
        giving.abandon()
        claim(spool, unit, "other")
        return Done(outcome="delivered")

    giving.handle = handle
    assert giving.look(Bell(unit=unit, n=0)) == Said()
    assert (newest(spool, unit).n, newest(spool, unit).owner) == (3, "other")


def refusing(spool: Spool, monkeypatch: pytest.MonkeyPatch, times: int, status: str) -> list[int]:
    """Lets the disk refuse records of a status so many times."""
    append = spool.deliveries.append
    refused: list[int] = []

    def refuse(unit: str, state: State) -> None:
        if state.status == status and len(refused) < times:
            refused.append(state.n)
            raise StorageError("the disk is full")
        append(unit, state)

    monkeypatch.setattr(spool.deliveries, "append", refuse)
    return refused


def test_settling_is_repeated_for_as_long_as_the_disk_refuses(
    spool: Spool, unit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading.Event, "wait", lambda *_, **__: False)
    refused = refusing(spool, monkeypatch, 30, "final")
    calls: list[int] = []

    def handle(claim: Claim) -> Outcome:
        calls.append(1)
        return Done(outcome="delivered")

    words = worker(spool, handle).look(Bell(unit=unit, n=0))
    assert (len(refused), len(calls), len(words.events)) == (30, 1, 1)
    assert newest(spool, unit).status == "final"


def test_a_worker_told_to_stop_does_not_wait_for_the_disk(
    spool: Spool, unit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing(spool, monkeypatch, 1000, "final")
    stopped = worker(spool, answering(Done(outcome="delivered")))
    stopped.stopping.set()
    with pytest.raises(StorageError):
        stopped.look(Bell(unit=unit, n=0))
    assert newest(spool, unit).status == "working"


def test_no_work_is_begun_while_the_disk_refuses_the_claim(
    spool: Spool, unit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing(spool, monkeypatch, 1, "working")
    with pytest.raises(StorageError):
        worker(spool, never).look(Bell(unit=unit, n=0))
    assert newest(spool, unit).n == 0


def test_a_slice_that_the_disk_refuses_is_tried_again_later(
    spool: Spool, unit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def handle(claim: Claim) -> Outcome:
        refusing(spool, monkeypatch, 1, "working")
        claim.record({"delivered": {"0": "0000"}})
        raise AssertionError("went on")

    worker(spool, handle).look(Bell(unit=unit, n=0))
    state = newest(spool, unit)
    assert (state.status, state.tries, state.faults, state.reason) == ("waiting", 1, 0, "the disk is full")


def test_what_a_handler_insists_on_is_on_record_as_soon_as_the_disk_takes_it(
    spool: Spool, unit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading.Event, "wait", lambda *_, **__: False)

    def handle(claim: Claim) -> Outcome:
        refused = refusing(spool, monkeypatch, 30, "working")
        claim.insist({"delivered": {"0": "0000"}})
        assert len(refused) == 30
        return Done(outcome="delivered")

    worker(spool, handle).look(Bell(unit=unit, n=0))
    loaded = spool.deliveries.load(unit)
    assert loaded is not None
    assert (loaded.state.outcome, loaded.state.tries, loaded.facts) == ("delivered", 0, {"delivered": {"0": "0000"}})


def test_who_is_told_to_stop_insists_no_longer(spool: Spool, unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def handle(claim: Claim) -> Outcome:
        stopped.stopping.set()
        refusing(spool, monkeypatch, 1, "working")
        claim.insist({"delivered": {"0": "0000"}})
        raise AssertionError("went on")

    stopped = worker(spool, handle)
    stopped.look(Bell(unit=unit, n=0))
    assert newest(spool, unit).status == "waiting"


def test_a_damaged_record_is_an_error_before_anything_is_claimed(spool: Spool, unit: str) -> None:
    damage(spool, f"deliveries/{unit}/00000000.json")
    with pytest.raises(ValueError, match="Expecting"):
        worker(spool, never).look(Bell(unit=unit, n=0))
    assert spool.store.list(f"deliveries/{unit}") == ["00000000.json"]


def test_a_replayed_dead_letter_is_worked_on_again(spool: Spool, unit: str) -> None:
    held = hold(spool, unit)
    spool.deliveries.append(unit, states.released(held, now=spool.now(), by="ann", why="mended"))
    assert worker(spool, never).look(Bell(unit=unit, n=held.n)) == Said()
    look(spool, unit, Done(outcome="delivered"), n=held.n + 1)
    assert newest(spool, unit).status == "final"


def test_an_urgent_delivery_is_rung_for_on_its_own_key(spool: Spool) -> None:
    order = order_for(PART, urgent=True)
    create_delivery(spool, order, "")
    assert look(spool, order.id, Next("send")).rings[0].routing_key == "send.archive.urgent"


def test_superseded_is_no_fault_of_the_handler(spool: Spool, unit: str) -> None:
    assert look(spool, unit, SupersededError("x")) == Said()
    assert newest(spool, unit).faults == 0
