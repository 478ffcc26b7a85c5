"""One C-STORE that outlasts heartbeats and RabbitMQ's patience with an unacknowledged message goes on, once.

The short form scales the times down; DCMRELAY_EXHAUSTIVE=1 takes a consumer_timeout of a minute, a heartbeat of ten
seconds, and an instance that a destination takes a minute and a half for.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from dcmrelay.private_broker import PrivateBroker
from tests.peers import store_scp, tool
from tests.support import eventually
from tests.system.images import ct_study
from tests.system.relay import destination, relay_in, route

EXHAUSTIVE = bool(os.environ.get("DCMRELAY_EXHAUSTIVE"))
TIMEOUT_SECONDS, TICK_SECONDS, HEARTBEAT_SECONDS = (60, 1, 10) if EXHAUSTIVE else (2, 0.2, 1)
# storescp sleeps a second for each of its PDUs of 16 KiB.
PIXELS = 850 if EXHAUSTIVE else 220
SENDING_SECONDS = 2 * PIXELS * PIXELS // 16384


@pytest.fixture
def impatient(tmp_path: Path) -> Iterator[PrivateBroker]:
    """A node that takes a message back soon."""
    tool("rabbitmq-server")
    folder = tmp_path / "broker"
    folder.mkdir()
    settings = f"{{consumer_timeout, {TIMEOUT_SECONDS * 1000}}}, {{channel_tick_interval, {int(TICK_SECONDS * 1000)}}}"
    (folder / "advanced.config").write_text(f"[{{rabbit, [{settings}]}}].\n", encoding="ascii")
    node = PrivateBroker(folder)
    node.start()
    yield node
    node.stop(0)


@pytest.mark.timeout(400)
def test_a_c_store_longer_than_the_brokers_patience_is_sent_once(tmp_path: Path, impatient: PrivateBroker) -> None:
    assert SENDING_SECONDS > 1.3 * TIMEOUT_SECONDS
    slowly = ("--sleep-during", "1", "--unique-filenames", "--max-pdu", "16384")
    with (
        store_scp(tmp_path, *slowly) as archive,
        relay_in(tmp_path / "relay", f"{impatient.url}?heartbeat={HEARTBEAT_SECONDS}") as relay,
    ):
        relay.configure(destination("archive", archive.port), route("all", "archive"))
        relay.start()
        relay.send(ct_study(tmp_path / "study", 1, size=PIXELS))
        relay.comes_to_rest(seconds=60 + 3 * SENDING_SECONDS)
        [delivery] = relay.deliveries("archive")
        assert (delivery["outcome"], delivery["delivered"], delivery["tries"]) == ("delivered", 1, 0)
        assert len(archive.files()) == 1, "sent twice"
        # The broker lost its patience, and the sender was elected anew with the same epoch: else nothing was tried.
        eventually(lambda: relay.log.count("owns_destination destination=archive epoch=1") > 1, 60)
        relay.stop()
