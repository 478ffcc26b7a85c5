"""When a destination is sent to, and how fast, by its calendars."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from consumers.sender.hours import SendingHours, hours_of, rate_of
from shared.spool.circuits import Circuit, put_circuit
from tests.consumers.bench import RELAY, Bench, bench, data_set
from tests.consumers.sender.peer import ABORT, Peer, after, aimed, listening, open_since, sender

OFFICE = """
[calendar.office]
open = ["mon-fri 08:00-20:00"]
"""
WEDNESDAY = datetime(2026, 3, 4, tzinfo=UTC)
AT_NOON, AT_NIGHT = WEDNESDAY + timedelta(hours=12), WEDNESDAY + timedelta(hours=21)


@pytest.fixture
def relay(tmp_path: Path) -> Bench:
    return bench(tmp_path)


def ours(relay: Bench, port: int, more: str) -> tuple[SendingHours, Callable[[datetime], float | None]]:
    text = RELAY.replace("[relay]", '[relay]\ntimezone = "UTC"').replace("port = 104\n", f"port = {port}\n{more}\n")
    relay.configure(text + OFFICE + '[[route]]\nname = "all"\nto = ["reading"]\n')
    destination = relay.config.destination("archive")
    assert destination is not None
    return hours_of(relay.config, destination), rate_of(relay.config, destination)


@pytest.mark.parametrize(
    ("max_rate", "by_day", "by_night"),
    [
        ('"1MB/s"', 1e6, 1e6),
        ('[{ rate = "1MB/s", during = "office" }, { rate = "16Mbit/s" }]', 1e6, 2e6),
        ('[{ rate = "1MB/s", during = "office" }]', 1e6, None),
    ],
)
def test_the_first_rate_whose_calendar_is_open_counts(
    relay: Bench, max_rate: str, by_day: float, by_night: float | None
) -> None:
    _, rate = ours(relay, 104, f"max_rate = {max_rate}")
    assert (rate(AT_NOON), rate(AT_NIGHT)) == (by_day, by_night)


def test_outside_its_hours_nothing_begins_and_the_record_says_until_when(relay: Bench) -> None:
    with listening(Peer()) as peer:
        hours, _ = ours(relay, peer.port, 'send_during = "office"')
        relay.now = AT_NIGHT
        delivery = relay.delivery(relay.part(data_set(1)))
        state = after(relay, delivery, sender(relay, hours=hours))
        assert (state.status, state.tries, state.since) == ("waiting", 0, None)
        assert state.due == datetime(2026, 3, 5, 8, 0, tzinfo=UTC)
        assert "office" in state.reason
        assert not peer.callers
        relay.now = state.due
        assert after(relay, delivery, sender(relay, hours=hours)).outcome == "delivered"


def test_a_study_that_was_begun_is_finished_outside_the_hours(relay: Bench) -> None:
    with listening(Peer(script=[0, ABORT])) as peer:
        hours, _ = ours(relay, peer.port, 'send_during = "office"')
        relay.now = AT_NIGHT - timedelta(hours=1, minutes=1)
        delivery = relay.delivery(relay.part(data_set(1), data_set(2)))
        assert after(relay, delivery, sender(relay, hours=hours)).status == "waiting"
        relay.now = AT_NIGHT
        assert after(relay, delivery, sender(relay, hours=hours)).outcome == "delivered"


def test_closed_time_does_not_count_for_give_up_nor_as_failing(relay: Bench) -> None:
    hours, _ = ours(relay, 9, 'send_during = "office"')
    relay.now = AT_NIGHT - timedelta(hours=1, minutes=1)
    delivery = relay.delivery(relay.part(data_set(1)))
    failed = after(relay, delivery, sender(relay, hours=hours))
    assert failed.tries == 1
    assert open_since(relay.spool) == relay.now
    relay.now = AT_NIGHT
    waits = after(relay, delivery, sender(relay, hours=hours))
    assert waits.since is not None
    assert failed.since is not None
    assert waits.due is not None
    assert waits.since - failed.since == waits.due - AT_NIGHT
    assert open_since(relay.spool) is None


def test_a_circuit_of_the_peer_that_was_there_before_says_nothing_about_the_new_one(relay: Bench) -> None:
    aimed(relay, 104)
    put_circuit(relay.spool, Circuit(destination="archive", identity="other", open=True, since=AT_NOON))
    assert sender(relay).circuit.gate() == "all"
    assert open_since(relay.spool) is None
