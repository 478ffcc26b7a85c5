"""A RabbitMQ that is killed, and one that loses patience, with a worker in mid flight."""

import os
from collections.abc import Iterator

import pytest

from dcmrelay.private_broker import PrivateBroker
from shared.errors import BrokerError
from tests.peers import tool
from tests.shared.broker.ends import ROUTE, consuming, next_of, publishing, ring
from tests.support import eventually

# As if half an hour were one and a half seconds.
IMPATIENT = "[{rabbit, [{consumer_timeout, 1500}, {channel_tick_interval, 200}]}].\n"


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateBroker]:
    """A node that takes a delivery back after a second and a half."""
    tool("rabbitmq-server")
    folder = tmp_path_factory.mktemp("impatient")
    (folder / "advanced.config").write_text(IMPATIENT, encoding="ascii")
    node = PrivateBroker(folder)
    node.start()
    yield node
    node.stop(0)


def test_a_channel_closed_on_long_work_is_opened_again(impatient: PrivateBroker) -> None:
    lost: list[bool] = []
    with (
        publishing(impatient.url) as publisher,
        consuming(impatient.url, ROUTE, lost=lambda: lost.append(True)) as ours,
    ):
        publisher.ring([ring()])
        kept = next_of(ours)
        eventually(lambda: lost)
        ours.acknowledge(kept)
        again = next_of(ours)
        ours.acknowledge(again)
        assert (again.body, again.redelivered) == (kept.body, True)
        assert ours.link.failed is None


def test_a_broker_killed_in_mid_flight_is_found_again_with_what_was_not_acknowledged(impatient: PrivateBroker) -> None:
    lost: list[bool] = []
    with (
        publishing(impatient.url) as publisher,
        consuming(impatient.url, ROUTE, lost=lambda: lost.append(True)) as ours,
    ):
        publisher.ring([ring(n=1), ring(n=2)])
        kept = next_of(ours)
        os.kill(impatient.pid, 9)
        eventually(lambda: lost)
        with pytest.raises(BrokerError):
            publisher.ring([ring(n=3)])
        ours.acknowledge(kept)
        eventually(lambda: not impatient.alive())
        impatient.start()
        assert publisher.link.wait_connected(20)
        assert ours.link.wait_connected(20)
        publisher.ring([ring(n=4)])
        seen: dict[bytes, bool] = {}
        while len(seen) < 3:
            delivered = next_of(ours)
            ours.acknowledge(delivered)
            seen.setdefault(delivered.body, delivered.redelivered)
    assert sorted(body[-2:-1] for body in seen) == [b"1", b"2", b"4"]
    assert seen[kept.body] is True
