"""What was released is rung for on a real broker."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from producers.replay.ring import bells, discard, release
from producers.replay.show import dead_letters
from shared.broker import Consumer, topology
from shared.messages import Bell, decode_bell
from shared.outcomes import Held
from shared.spool import states
from shared.spool.spool import Spool
from shared.spool.states import Retry, State
from tests.support import eventually

_AT = datetime(2026, 1, 1, tzinfo=UTC)
_PART = "p" + "1" * 32


def _held_part(root: Path) -> Spool:
    spool = Spool(root, clock=lambda: _AT)
    spool.store.put_new(f"active/parts/s1/{_PART}", b"")
    spool.parts.create(_PART, {"source": "ct-1"}, State(n=0, stage="route", status="waiting", at=_AT))
    working = states.claimed(State(n=0, stage="route", status="waiting", at=_AT), owner="x", now=_AT,
                             lease=timedelta(minutes=1), faults=0)  # fmt: skip
    spool.parts.append(_PART, working)
    settled = states.settled(working, Held("no route wants it", "policy"), now=_AT, retry=Retry(), jitter=0)
    spool.parts.append(_PART, settled)
    return spool


def test_a_released_dead_letter_is_rung_for_at_its_stage(tmp_path: Path, broker_url: str) -> None:
    spool = _held_part(tmp_path)
    [letter] = dead_letters(spool)
    ring = release(spool, letter, by="ann", why="route added", config="c" * 64)
    assert ring is not None
    consumer = Consumer(broker_url, topology(()), ("dcmrelay.route",), name="test")
    consumer.start()
    try:
        with bells(broker_url, ()) as ours:
            ours.ring([ring], replayed=True)
        assert ours.all_rung
        delivered = eventually(lambda: consumer.get(seconds=0.2))
        assert delivered is not None
        assert decode_bell(delivered.body) == Bell(unit=_PART, n=3)
        consumer.acknowledge(delivered)
    finally:
        consumer.stop()


def test_a_broker_that_is_away_only_means_that_the_sweep_rings(tmp_path: Path) -> None:
    spool = _held_part(tmp_path)
    [letter] = dead_letters(spool)
    ring = release(spool, letter, by="ann", why="", config="c" * 64)
    assert ring is not None
    with bells(None, ()) as ours:
        ours.ring([ring])
    assert not ours.all_rung


def test_of_two_who_decide_the_same_letter_the_first_wins(tmp_path: Path) -> None:
    spool = _held_part(tmp_path)
    [letter] = dead_letters(spool)
    assert discard(spool, letter, by="ann", why="")
    assert release(spool, letter, by="bob", why="", config="") is None
    assert not discard(spool, letter, by="bob", why="")
    assert spool.parts.newest(_PART) == states.discarded(
        states.settled(
            State(n=1, stage="route", status="working", at=_AT, since=_AT),
            Held("no route wants it", "policy"), now=_AT, retry=Retry(), jitter=0,
        ),
        now=_AT, by="ann", why="",
    )  # fmt: skip
