"""Publishing to a real RabbitMQ: persistent, mandatory, confirmed, and healing."""

import json
import threading
import time
from datetime import timedelta

import pytest
from pika.adapters.blocking_connection import BlockingChannel

from dcmrelay.private_broker import PrivateBroker
from shared.broker import Publisher, link
from shared.broker.topology import RUNGS
from shared.errors import BrokerError
from shared.messages import Bell, Event, StudyCompleted, StudyRouted, decode_bell
from tests.brokers import management
from tests.shared.broker.ends import PART, ROUTE, bare_channel, consuming, next_of, publishing, ring, take
from tests.support import eventually

COMPLETED = StudyCompleted(id=PART, n=0, part=PART, source="ct-1", instances=1, bytes=2)


def test_a_bell_is_persistent_and_knows_its_family(broker_url: str) -> None:
    with publishing(broker_url) as publisher, bare_channel(broker_url) as channel:
        publisher.ring([ring(n=1, journey=PART), ring(n=2, journey=PART)], caused_by="parent")
        (first, body), (second, _) = take(channel, ROUTE), take(channel, ROUTE)
    assert decode_bell(body) == Bell(unit=PART, n=1)
    assert first.delivery_mode == 2
    assert first.content_type == "application/json"
    assert first.correlation_id == PART
    assert (first.headers or {})["caused_by"] == "parent"
    assert len(first.message_id or "") == 32
    assert first.message_id != second.message_id


@pytest.mark.parametrize("key", ["route", "render", "send.archive", "send.archive.urgent"])
def test_a_bell_reaches_the_queue_of_its_key_and_no_other(broker_url: str, key: str) -> None:
    with publishing(broker_url, "archive", "reading") as publisher:
        publisher.ring([ring(key)])
        depths = {
            q: publisher.depth(f"dcmrelay.{q}")
            for q in ("route", "render", "send.archive", "send.archive.urgent", "send.reading")
        }
    assert depths == {q: int(q == key) for q in depths}


def test_the_fact_that_a_study_is_complete_is_also_the_routers_bell(broker_url: str) -> None:
    with publishing(broker_url) as publisher, bare_channel(broker_url) as channel:
        publisher.tell(COMPLETED)
        properties, body = take(channel, ROUTE)
    assert decode_bell(body) == Bell(unit=PART, n=0)
    assert properties.correlation_id == PART


def test_a_fact_that_nobody_asked_for_is_told_to_nobody(broker_url: str) -> None:
    with publishing(broker_url) as publisher:
        publisher.tell(StudyRouted(id=PART, n=1, part=PART, deliveries=1))
        assert publisher.depth(ROUTE) == 0


def test_anybody_may_bind_a_queue_to_the_facts(broker_url: str) -> None:
    with publishing(broker_url) as publisher, bare_channel(broker_url) as channel:
        channel.queue_declare("somebody", exclusive=True)
        channel.queue_bind("somebody", "dcmrelay.events", "study.*")
        publisher.tell_if_possible([StudyRouted(id=PART, n=1, part=PART, deliveries=1)])
        assert b'"event":"study.routed"' in take(channel, "somebody")[1]


def test_a_dead_letter_is_pointed_to_in_the_queue_of_its_class(broker_url: str) -> None:
    with publishing(broker_url) as publisher, bare_channel(broker_url) as channel:
        publisher.point("policy", Bell(unit=PART, n=4), journey=PART)
        properties, body = take(channel, "dcmrelay.dead.policy")
    assert decode_bell(body) == Bell(unit=PART, n=4)
    assert properties.correlation_id == PART


def test_a_bell_that_waits_a_second_comes_back_under_its_own_key(broker_url: str) -> None:
    with publishing(broker_url, "archive") as publisher, bare_channel(broker_url) as channel:
        begun = time.monotonic()
        publisher.ring([ring("send.archive", wait=timedelta(seconds=1), journey=PART)], caused_by="parent")
        assert publisher.depth("dcmrelay.send.archive") == 0
        properties, body = take(channel, "dcmrelay.send.archive")
    assert time.monotonic() - begun >= 1
    assert decode_bell(body) == Bell(unit=PART, n=0)
    assert (properties.correlation_id, (properties.headers or {})["caused_by"]) == (PART, "parent")


def test_each_wait_goes_to_its_rung_and_a_longer_one_nowhere(broker_url: str) -> None:
    with publishing(broker_url) as publisher:
        publisher.ring([ring(wait=wait) for wait in (*RUNGS.values(), timedelta(minutes=11))])
        waiting = {rung: publisher.depth(f"dcmrelay.delay.{rung}") for rung in list(RUNGS)[1:]}
        assert waiting == {"10s": 1, "1m": 1, "10m": 1}
        eventually(lambda: publisher.depth(ROUTE) == 1)


def test_a_bell_for_a_destination_that_is_configured_no_more_holds_nobody_up(broker_url: str) -> None:
    with publishing(broker_url, "archive") as publisher:
        publisher.ring([ring("send.gone"), ring("send.gone", wait=timedelta(seconds=1)), ring("send.archive")])
        assert publisher.depth("dcmrelay.send.archive") == 1
        assert publisher.depth("dcmrelay.delay.1s") == 0
        assert publisher.depth("dcmrelay.send.gone") == 0


def test_a_binding_that_somebody_deleted_is_an_error_once_and_then_heals(broker_url: str) -> None:
    with publishing(broker_url) as publisher, bare_channel(broker_url) as channel:
        channel.queue_unbind(ROUTE, "dcmrelay.work", "route")
        with pytest.raises(BrokerError, match="no queue for a message"):
            publisher.ring([ring()])
        assert eventually(lambda: rings(publisher))
        assert publisher.depth(ROUTE) == 1


def test_a_queue_that_is_full_takes_nothing_into_the_void_and_later_takes_it(
    broker_url: str, shared_broker: PrivateBroker
) -> None:
    path = f"/api/policies/{broker_url.rpartition('/')[2]}/full"
    rule = {"pattern": ".", "apply-to": "queues", "definition": {"max-length": 0, "overflow": "reject-publish"}}
    with publishing(broker_url) as publisher:
        management(shared_broker, "PUT", path, json.dumps(rule).encode())
        eventually(lambda: not rings(publisher))
        with pytest.raises(BrokerError):
            publisher.tell(COMPLETED)
        management(shared_broker, "DELETE", path)
        assert eventually(lambda: rings(publisher))


def test_a_fact_that_must_arrive_is_not_told_into_the_void(broker_url: str) -> None:
    with publishing(broker_url) as publisher, bare_channel(broker_url) as channel:
        channel.queue_unbind(ROUTE, "dcmrelay.events", "study.complete")
        with pytest.raises(BrokerError):
            publisher.tell(COMPLETED)


def test_facts_are_told_if_possible_and_otherwise_not(broker_url: str) -> None:
    with publishing(broker_url) as publisher:
        publisher.stop()
        facts: list[Event] = [COMPLETED]
        publisher.tell_if_possible(facts)
        with pytest.raises(BrokerError, match="away"):
            publisher.tell(COMPLETED)


def test_a_broker_that_does_not_answer_in_time_is_an_error(broker_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "_ACTION_SECONDS", 0.05)
    with publishing(broker_url) as publisher, pytest.raises(BrokerError, match="did not answer within"):
        publisher.link.do(lambda channel: channel.connection.sleep(0.3))


def test_a_connection_that_breaks_under_a_publisher_is_an_error_of_ours_at_once(broker_url: str) -> None:
    closed, seen = threading.Event(), threading.Event()

    def close(channel: BlockingChannel) -> None:
        channel.connection.close()
        closed.set()
        seen.wait(10)  # the link's thread has not come to see it yet

    with publishing(broker_url) as publisher:
        closing = threading.Thread(target=publisher.link.do, args=(close,))
        closing.start()
        closed.wait(10)
        with pytest.raises(BrokerError, match="went away"):
            publisher.ring([ring()])
        seen.set()
        closing.join()
        assert eventually(lambda: rings(publisher))


def test_a_message_that_cannot_be_read_is_set_aside_as_it_came(broker_url: str) -> None:
    with publishing(broker_url) as publisher, bare_channel(broker_url) as channel:
        publisher.set_aside(b"\xff not json")
        assert take(channel, "dcmrelay.dead.unreadable")[1] == b"\xff not json"


def test_a_message_that_was_published_is_read_by_a_consumer(broker_url: str) -> None:
    with publishing(broker_url) as publisher, consuming(broker_url, ROUTE) as consumer:
        publisher.ring([ring(n=7)])
        delivered = next_of(consumer)
        assert decode_bell(delivered.body) == Bell(unit=PART, n=7)
        assert (delivered.queue, delivered.redelivered) == (ROUTE, False)
        consumer.acknowledge(delivered)
        assert publisher.depth(ROUTE) == 0


def rings(publisher: Publisher) -> bool:
    """Whether a bell can be rung now."""
    try:
        publisher.ring([ring()])
    except BrokerError:
        return False
    return True
