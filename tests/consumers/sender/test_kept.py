"""Associations that are kept open between studies, with our own acceptor and with storescp."""

from pathlib import Path

import pytest
from pydicom.uid import MRImageStorage

from tests.consumers.bench import Bench, bench, data_sets
from tests.consumers.sender.peer import ABORT, Peer, after, aimed, listening, sender
from tests.peers import store_scp
from tests.support import eventually

KEPT = 'keep_open = "1h"'


def study(relay: Bench, number: int, count: int = 2, **more: str) -> str:
    """A delivery of another study."""
    name = f"1.2.3.{number}"
    return relay.delivery(relay.part(*data_sets(count, study=name, **more), study=name))


def test_storescp_sees_one_association_for_two_studies(tmp_path: Path) -> None:
    relay = bench(tmp_path)
    with store_scp(tmp_path, "--verbose") as scp:
        aimed(relay, scp.port, KEPT)
        ours = sender(relay)
        assert [after(relay, study(relay, number), ours).outcome for number in (1, 2)] == ["delivered"] * 2
        ours.release()
        log = eventually(lambda: (text := scp.directory.with_suffix(".log").read_text()).count("Release") and text)
    assert (log.count("Association Received"), log.count("Association Release"), len(scp.files())) == (1, 1, 4)


def test_without_keep_open_each_study_has_its_own(tmp_path: Path) -> None:
    relay = bench(tmp_path)
    with listening(Peer()) as peer:
        aimed(relay, peer.port)
        ours = sender(relay)
        for number in (1, 2):
            assert after(relay, study(relay, number), ours).outcome == "delivered"
            eventually(lambda number=number: peer.ended == number)
    assert len(peer.callers) == 2


def test_one_that_the_destination_ended_meanwhile_costs_nothing(tmp_path: Path) -> None:
    relay = bench(tmp_path)
    with store_scp(tmp_path) as scp:
        aimed(relay, scp.port, KEPT)
        ours = sender(relay)
        after(relay, study(relay, 1), ours)
        scp.stop()
        scp.start()
        state = after(relay, study(relay, 2), ours)
        ours.release()
    assert (state.outcome, state.tries, state.n) == ("delivered", 0, 3)


def test_one_that_the_destination_ends_at_the_first_instance_is_replaced_at_once(tmp_path: Path) -> None:
    relay = bench(tmp_path)
    with listening(Peer(script=[0, 0, ABORT])) as peer:
        aimed(relay, peer.port, KEPT)
        ours = sender(relay)
        after(relay, study(relay, 1), ours)
        delivery = study(relay, 2)
        state = after(relay, delivery, ours)
        ours.release()
    assert (state.outcome, state.tries, state.n) == ("delivered", 0, 3)
    assert "failed" not in relay.facts(delivery)
    assert peer.got == ["1.2.3.1.1.1", "1.2.3.1.1.2", "1.2.3.2.1.1", "1.2.3.2.1.2"]
    assert len(peer.callers) == 2


@pytest.mark.parametrize(("script", "failed"), [([0, ABORT], "1"), ([ABORT, ABORT], "0")])
def test_an_abort_after_an_answer_or_on_a_fresh_association_counts_as_a_try(
    tmp_path: Path, script: list[int], failed: str
) -> None:
    relay = bench(tmp_path)
    with listening(Peer(script=[0, 0, *script])) as peer:
        aimed(relay, peer.port, KEPT)
        ours = sender(relay)
        after(relay, study(relay, 1), ours)
        delivery = study(relay, 2)
        state = after(relay, delivery, ours)
        ours.release()
    assert (state.status, state.tries) == ("waiting", 1)
    assert list(relay.facts(delivery)["failed"]) == [failed]


def test_what_a_kept_one_cannot_carry_gets_a_new_one_and_there_is_never_one_more(tmp_path: Path) -> None:
    relay = bench(tmp_path)
    with listening(Peer()) as peer:
        aimed(relay, peer.port, KEPT)
        ours = sender(relay)
        after(relay, study(relay, 1), ours)
        after(relay, study(relay, 2, sop_class_uid=MRImageStorage), ours)
        eventually(lambda: peer.ended == 1)
        assert after(relay, study(relay, 3, sop_class_uid=MRImageStorage), ours).outcome == "delivered"
        assert (len(peer.callers), peer.ended) == (2, 1)
        ours.release()
        eventually(lambda: peer.ended == 2)


def test_one_that_waited_long_enough_is_released(tmp_path: Path) -> None:
    relay = bench(tmp_path)
    with listening(Peer()) as peer:
        aimed(relay, peer.port, 'keep_open = "20ms"')
        after(relay, study(relay, 1), sender(relay))
        eventually(lambda: peer.ended == 1)


def test_after_a_transient_answer_or_a_stop_none_is_kept(tmp_path: Path) -> None:
    relay = bench(tmp_path)
    with listening(Peer(script=[0xA700])) as peer:
        aimed(relay, peer.port, KEPT)
        ours = sender(relay)
        assert after(relay, study(relay, 1, count=1), ours).status == "waiting"
        eventually(lambda: peer.ended == 1)
        delivery = study(relay, 2, count=1)
        claim = relay.claim(delivery)
        relay.stopping.set()
        claim.check = lambda: None  # type: ignore[method-assign]  # the last instance was on its way already
        ours.handle(claim)
        eventually(lambda: peer.ended == 2)
