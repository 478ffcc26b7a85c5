"""Bells in, bells out, between a real RabbitMQ and a worker over a real spool."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from shared.broker import Delivered, Publisher, consumer
from shared.errors import StartError
from shared.messages import Bell, Ring
from shared.outcomes import Done, Later, Outcome
from shared.service import Service
from shared.spool.states import Retry, State
from shared.work import Claim, lane
from shared.work.lane import Lane
from tests.consumers.bench import Bench, bench, data_set
from tests.shared.broker.ends import ROUTE, bare_channel, publishing, take
from tests.support import eventually

Handle = Callable[[Claim], Outcome]


@pytest.fixture
def relay(tmp_path: Path, broker_url: str, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setenv("DCMRELAY_BROKER_URL", broker_url)
    monkeypatch.setattr(lane, "stop_by_force", lambda *_: None)  # it would end the tests
    return bench(tmp_path)


@pytest.fixture
def publisher(relay: Bench, broker_url: str) -> Iterator[Publisher]:
    with publishing(broker_url, "archive", "reading") as ours:
        yield ours


@contextmanager
def serving(
    relay: Bench,
    handle: Handle,
    *queues: str,
    is_bell: Callable[[Delivered], bool] = lambda _: True,
    workers: int = 1,
) -> Iterator[Lane]:
    """A lane that works until the block ends."""
    service = Service(kind="test", config=relay.config, spool=relay.spool, stopping=relay.stopping)
    ours = Lane(service, "test", queues or (ROUTE,), handle, Retry(), is_bell=is_bell, workers=workers)
    thread = threading.Thread(target=ours.run)
    thread.start()
    try:
        yield ours
    finally:
        relay.stopping.set()
        thread.join(20)
        assert not thread.is_alive()


def ring_for(publisher: Publisher, unit: str, n: int = 0) -> None:
    publisher.ring([Ring(routing_key="route", bell=Bell(unit=unit, n=n), journey=unit)])


def is_final(relay: Bench, unit: str) -> Callable[[], State | None]:
    def final() -> State | None:
        state = relay.spool.units(unit).newest(unit)
        return state if state is not None and state.status == "final" else None

    return final


def done(_claim: Claim) -> Outcome:
    return Done(outcome="routed")


def test_a_bell_is_answered_and_acknowledged_and_what_follows_knows_its_parent(
    relay: Bench, publisher: Publisher, broker_url: str
) -> None:
    part, delivery = relay.part(data_set()), "d" + "1" * 32
    follow = Ring(routing_key="send.archive", bell=Bell(unit=delivery, n=0), journey=part)
    with serving(relay, lambda _: Done(outcome="routed", rings=(follow,))), bare_channel(broker_url) as channel:
        channel.queue_declare("parents", exclusive=True)
        channel.queue_bind("parents", "dcmrelay.work", "route")
        ring_for(publisher, part)
        parent, _ = take(channel, "parents")
        child, body = take(channel, "dcmrelay.send.archive")
        assert eventually(is_final(relay, part))
    assert delivery.encode() in body
    assert (child.headers or {})["caused_by"] == parent.message_id
    assert child.correlation_id == part
    assert publisher.depth(ROUTE) == 0


def test_what_cannot_be_read_is_set_aside_and_no_handler_sees_it(
    relay: Bench, publisher: Publisher, broker_url: str
) -> None:
    bells = [b'{"v":2,"id":"p","n":0}', b'{"v":1,"id":"../../etc","n":0}']
    hostile = [b"", b"{", b"\xff", b"[]", *bells, b"x" * 5000, b"[" * 4000]
    seen: list[str] = []

    def handle(claim: Claim) -> Outcome:
        seen.append(claim.id)
        return done(claim)

    part = relay.part(data_set())
    with serving(relay, handle), bare_channel(broker_url) as channel:
        for body in hostile:
            channel.basic_publish("dcmrelay.work", "route", body)
        ring_for(publisher, part)
        eventually(is_final(relay, part))
        assert [take(channel, "dcmrelay.dead.unreadable")[1] for _ in hostile] == hostile
    assert seen == [part]
    assert publisher.depth(ROUTE) == 0


def test_a_damaged_record_holds_nobody_up(relay: Bench, publisher: Publisher) -> None:
    damaged, sound = relay.part(data_set(1)), relay.part(data_set(2))
    record = relay.spool.store.path(f"parts/{damaged}/00000000.json")
    record.unlink()
    record.write_bytes(b'{"n": 0, "sta')
    with serving(relay, done):
        ring_for(publisher, damaged)
        ring_for(publisher, sound)
        assert eventually(is_final(relay, sound))
        eventually(lambda: publisher.depth(ROUTE) == 0)


def test_a_bell_for_a_unit_that_is_not_there_is_forgotten(relay: Bench, publisher: Publisher) -> None:
    part = relay.part(data_set())
    with serving(relay, done):
        ring_for(publisher, "p" + "9" * 32)
        ring_for(publisher, part)
        assert eventually(is_final(relay, part))


def test_a_try_that_failed_comes_again_by_the_ladder(relay: Bench, publisher: Publisher) -> None:
    part = relay.part(data_set())
    answers: list[Outcome] = [Later("not now"), Done(outcome="routed")]

    def handle(_claim: Claim) -> Outcome:
        relay.now += timedelta(seconds=2)
        return answers.pop(0)

    with serving(relay, handle):
        ring_for(publisher, part)
        eventually(lambda: len(answers) == 1)
        relay.now += timedelta(seconds=2)
        state = eventually(is_final(relay, part))
    assert state is not None
    assert state.n == 4


def test_a_deleted_binding_delays_what_follows_and_loses_nothing(
    relay: Bench, publisher: Publisher, broker_url: str
) -> None:
    part = relay.part(data_set())
    follow = Ring(routing_key="render", bell=Bell(unit="d" + "1" * 32, n=0))
    with serving(relay, lambda _: Done(outcome="routed", rings=(follow,))), bare_channel(broker_url) as channel:
        channel.queue_unbind("dcmrelay.render", "dcmrelay.work", "render")
        ring_for(publisher, part)
        take(channel, "dcmrelay.render")
        eventually(lambda: publisher.depth(ROUTE) == 0)


def test_what_follows_for_a_destination_that_is_gone_holds_nobody_up(relay: Bench, publisher: Publisher) -> None:
    one, two = relay.part(data_set(1)), relay.part(data_set(2))
    gone = Ring(routing_key="send.gone", bell=Bell(unit="d" + "1" * 32, n=0))
    with serving(relay, lambda _: Done(outcome="routed", rings=(gone,))):
        ring_for(publisher, one)
        ring_for(publisher, two)
        assert eventually(is_final(relay, two))
        eventually(lambda: publisher.depth(ROUTE) == 0)


def test_long_work_goes_on_without_its_message_which_comes_again_in_ten_minutes(
    relay: Bench, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    part, begun, may_end = relay.part(data_set()), threading.Event(), threading.Event()

    def long(claim: Claim) -> Outcome:
        begun.set()
        may_end.wait(20)
        return done(claim)

    with serving(relay, long) as ours:
        ring_for(publisher, part)
        begun.wait(20)
        monkeypatch.setattr(consumer, "HELD_AT_MOST", timedelta(0))
        eventually(lambda: publisher.depth("dcmrelay.delay.10m") == 1)
        eventually(lambda: not ours.consumer._outstanding)
        may_end.set()
        assert eventually(is_final(relay, part))
    assert publisher.depth(ROUTE) == 0


def test_an_election_kept_waiting_by_long_work_is_let_go_and_not_set_aside(
    relay: Bench, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "HELD_AT_MOST", timedelta(0))
    may_end = threading.Event()

    def busy(delivered: Delivered) -> bool:
        return may_end.wait(20) and delivered.queue != "dcmrelay.own.archive"

    with serving(relay, done, "dcmrelay.own.archive", is_bell=busy):
        for _ in range(3):
            publisher.elect("archive")
        eventually(lambda: publisher.depth("dcmrelay.own.archive") == 0)
        may_end.set()
    with_nothing = [publisher.depth(f"dcmrelay.{queue}") for queue in ("own.archive", "dead.unreadable", "delay.10m")]
    assert with_nothing == [0, 0, 0]


def test_what_cannot_be_read_is_set_aside_though_the_worker_is_busy(
    relay: Bench, publisher: Publisher, broker_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "HELD_AT_MOST", timedelta(0))
    may_end = threading.Event()
    with serving(relay, done, is_bell=lambda _: may_end.wait(20)), bare_channel(broker_url) as channel:
        channel.basic_publish("dcmrelay.work", "route", b"no bell")
        assert take(channel, "dcmrelay.dead.unreadable")[1] == b"no bell"
        may_end.set()


def test_a_stop_ends_the_lane_and_the_message_stays(relay: Bench, publisher: Publisher) -> None:
    part = relay.part(data_set())

    def stop(claim: Claim) -> Outcome:
        relay.stopping.set()
        claim.check()
        return done(claim)

    with serving(relay, stop):
        ring_for(publisher, part)
        eventually(relay.stopping.is_set)
    state = relay.spool.parts.newest(part)
    assert state is not None
    assert (state.status, state.tries, state.faults) == ("waiting", 0, 0)
    eventually(lambda: publisher.depth(ROUTE) == 1)


def test_a_lane_that_rabbitmq_refuses_says_so(relay: Bench, broker_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with bare_channel(broker_url) as channel:
        channel.queue_declare("dcmrelay.render", durable=True)
    service = Service(kind="test", config=relay.config, spool=relay.spool, stopping=relay.stopping)
    with pytest.raises(StartError, match=r"dcmrelay\.render"):
        Lane(service, "test", (ROUTE,), done, Retry()).run()


def test_a_stop_by_force_gives_back_what_every_worker_has(relay: Bench, publisher: Publisher) -> None:
    parts, may_end, begun = [relay.part(data_set(n)) for n in (1, 2)], threading.Event(), threading.Semaphore(0)

    def stuck(_claim: Claim) -> Outcome:
        begun.release()
        assert may_end.wait(20)
        return Done(outcome="routed")

    with serving(relay, stuck, workers=2) as ours:
        for part in parts:
            ring_for(publisher, part)
        assert all(begun.acquire(timeout=20) for _ in parts)
        ours._abandon()
        states = [relay.spool.parts.newest(part) for part in parts]
        may_end.set()
    assert [(state.status, state.tries, state.owner) for state in states if state] == [("waiting", 0, "")] * 2


def test_a_bell_that_cannot_be_read_keeps_no_other_waiting(relay: Bench, publisher: Publisher, broker_url: str) -> None:
    part = relay.part(data_set())
    with serving(relay, done, workers=2), bare_channel(broker_url) as channel:
        for body in (b"no bell", b"no bell either"):
            channel.basic_publish("dcmrelay.work", "route", body)
        ring_for(publisher, part)
        eventually(is_final(relay, part))
        assert {take(channel, "dcmrelay.dead.unreadable")[1] for _ in range(2)} == {b"no bell", b"no bell either"}
