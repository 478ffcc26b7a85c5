"""A destination under control, by the sender as it runs, with a real RabbitMQ and a real peer."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from shared.broker import Publisher
from shared.messages import Bell, Ring
from shared.spool.circuits import newest_circuit
from shared.spool.deliveries import active_deliveries
from shared.spool.spool import Spool, utc_now
from shared.work import lane
from tests.consumers.bench import Bench, bench, data_set
from tests.consumers.sender.peer import Peer, aimed, listening, open_since
from tests.consumers.sender.test_parallel import A, B, Holding, is_final, rung, sending
from tests.peers import free_port
from tests.shared.broker.ends import publishing
from tests.support import eventually

QUICKLY = '[destination.retry]\nfirst = "500ms"\nmax = "1s"\n'


@pytest.fixture
def relay(tmp_path: Path, broker_url: str, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A relay whose clock goes."""
    monkeypatch.setenv("DCMRELAY_BROKER_URL", broker_url)
    monkeypatch.setattr(lane, "stop_by_force", lambda *_: None)
    ours = bench(tmp_path)
    ours.spool = Spool(ours.spool.store.root, clock=utc_now)
    return ours


@pytest.fixture
def publisher(relay: Bench, broker_url: str) -> Iterator[Publisher]:
    with publishing(broker_url, "archive", "reading") as ours:
        yield ours


def tries_of(relay: Bench, delivery: str) -> int:
    state = relay.spool.deliveries.newest(delivery)
    assert state is not None
    return state.tries


def test_at_a_dead_destination_only_probes_go_out_and_all_goes_when_it_is_back(
    relay: Bench, publisher: Publisher
) -> None:
    port = free_port()
    aimed(relay, port, QUICKLY)
    with sending(relay):
        waiting = [rung(relay, publisher, 1, f"1.2.{k + 1}") for k in range(20)]
        eventually(lambda: sum(tries_of(relay, it) for it in waiting) >= 3, 20)
        since = open_since(relay.spool)
        assert since is not None
        # A probe each half of a second at most, whatever waits.
        elapsed = utc_now() - since
        failing = newest_circuit(relay.spool, "archive")
        assert failing is not None
        assert failing.failed_at is not None
        assert since < failing.failed_at
        assert sum(tries_of(relay, it) for it in waiting) <= 2 + elapsed / timedelta(milliseconds=375)
        with listening(Peer(), port=port) as peer:
            eventually(is_final(relay, *waiting), 30)
            assert len(peer.kept) == 20
    assert open_since(relay.spool) is None
    assert not list(active_deliveries(relay.spool))


def test_an_urgent_study_overtakes_between_two_instances_of_a_routine_one(relay: Bench, publisher: Publisher) -> None:
    with listening(Holding()) as peer:
        aimed(relay, peer.port)
        with sending(relay):
            many = relay.delivery(relay.part(*(data_set(k, A) for k in range(1, 6)), study=A))
            publisher.ring([_bell(many)])
            eventually(lambda: peer.began == [f"{A}.1.1"])
            routine = rung(relay, publisher, 1, "1.2.9")
            urgent = rung(relay, publisher, 1, B, urgent=True)
            eventually(lambda: publisher.depth("dcmrelay.send.archive.urgent") == 0)
            peer.may_answer.set()
            eventually(is_final(relay, many, routine, urgent), 20)
    assert peer.began == [f"{A}.1.1", f"{B}.1.1", *(f"{A}.1.{k}" for k in range(2, 6)), "1.2.9.1.1"]
    assert tries_of(relay, many) == 0


def test_a_source_with_many_studies_does_not_keep_another_waiting(relay: Bench, publisher: Publisher) -> None:
    with listening(Holding()) as peer:
        aimed(relay, peer.port)
        with sending(relay):
            first = rung(relay, publisher, 1, A)
            eventually(lambda: peer.began == [f"{A}.1.1"])
            many = [rung(relay, publisher, 1, f"1.2.{k + 10}") for k in range(20)]
            other = relay.delivery(relay.part(data_set(1, B), study=B, source="mr-1"), source="mr-1")
            publisher.ring([_bell(other)])
            eventually(lambda: publisher.depth("dcmrelay.send.archive") >= 19)
            threading.Event().wait(1.1)  # a listing of what waits is due again
            peer.may_answer.set()
            eventually(is_final(relay, first, other, *many), 30)
    assert peer.began.index(f"{B}.1.1") <= 2


def test_a_study_with_many_parts_leaves_the_other_association_to_others(relay: Bench, publisher: Publisher) -> None:
    with listening(Holding()) as peer:
        aimed(relay, peer.port, "max_associations = 2")
        with sending(relay):
            parts = [rung(relay, publisher, 1, A)]
            eventually(lambda: peer.began == [f"{A}.1.1"])
            parts += [rung(relay, publisher, number, A) for number in range(2, 22)]
            eventually(is_final(relay, rung(relay, publisher, 1, B)), 20)
            assert peer.began == [f"{A}.1.1", f"{B}.1.1"]
            peer.may_answer.set()
            eventually(is_final(relay, *parts), 30)


def _bell(delivery: str) -> Ring:
    return Ring(routing_key="send.archive", bell=Bell(unit=delivery, n=0))
