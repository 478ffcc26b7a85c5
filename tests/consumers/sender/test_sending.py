"""A delivery sent to peers that answer every which way, and what the records say then."""

import hashlib
import threading
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from pydicom import Dataset

from consumers.sender import ahead, sending
from consumers.sender.pace import Pace
from shared.dimse import CALLED_NOT_RECOGNIZED
from shared.errors import HandedBackError, StorageError
from shared.spool.parts import Instance
from shared.spool.pauses import Pause, put_pause
from shared.spool.progress import last_progress
from shared.spool.states import State
from tests.consumers.bench import Bench, bench, data_set, data_sets, stored
from tests.consumers.sender.peer import ABORT, Peer, after, aimed, flip_last_byte, listening, sender
from tests.peers import free_port


def sent(relay: Bench, peer: Peer, *files: Path | Dataset, tries: int = 1) -> tuple[str, State]:
    """A delivery of these instances and its newest record after so many tries."""
    aimed(relay, peer.port)
    delivery = relay.delivery(relay.part(*files))
    states = [after(relay, delivery, sender(relay)) for _ in range(tries)]
    return delivery, states[-1]


def test_every_instance_arrives_byte_for_byte_in_one_association(tmp_path: Path) -> None:
    relay = bench(tmp_path)
    with listening(Peer()) as peer:
        delivery, state = sent(relay, peer, *data_sets(3))
        manifest = relay.manifest(relay.spool.deliveries.load(delivery).order["part"])  # type: ignore[union-attr]
    assert (state.status, state.outcome) == ("final", "delivered")
    assert peer.kept == {it.sop_instance_uid: it.sha256 for it in manifest.instances}
    assert [(p.calling_ae_title, p.called_ae_title) for p in peer.callers] == [("DCMRELAY", "ARCHIVE")]
    assert relay.facts(delivery)["delivered"] == {"0": "0000", "1": "0000", "2": "0000"}
    assert last_progress(relay.spool, "archive") is not None


@pytest.mark.parametrize("status", [0x0000, 0xB000, 0x0111])
def test_success_a_warning_and_a_duplicate_are_delivered_with_their_status_on_record(
    tmp_path: Path, status: int
) -> None:
    relay = bench(tmp_path)
    with listening(Peer(script=[status])) as peer:
        delivery, state = sent(relay, peer, data_set())
    assert (state.status, state.outcome) == ("final", "delivered")
    assert relay.facts(delivery)["delivered"] == {"0": f"{status:04X}"}


@pytest.mark.parametrize("status", [0xA700, 0x0110])
def test_a_transient_status_waits_and_what_is_missing_is_sent_next_time(tmp_path: Path, status: int) -> None:
    relay = bench(tmp_path)
    with listening(Peer(script=[0, status])) as peer:
        delivery, state = sent(relay, peer, *data_sets(3))
        assert (state.status, state.tries) == ("waiting", 1)
        assert f"{status:04X}" in state.reason
        assert after(relay, delivery, sender(relay)).status == "final"
    assert peer.got == ["1.2.3.4.1.1", "1.2.3.4.1.2", "1.2.3.4.1.3", "1.2.3.4.1.2"]


@pytest.mark.parametrize("status", [0x0110, ABORT])
def test_an_instance_that_a_destination_always_fails_at_does_not_keep_back_the_others(
    tmp_path: Path, status: int
) -> None:
    relay = bench(tmp_path)
    with listening(Peer(always={"1.2.3.4.1.1": status, "1.2.3.4.1.3": status})) as peer:
        delivery, state = sent(relay, peer, *data_sets(5), tries=3)
    assert state.status == "waiting"
    assert sorted(relay.facts(delivery)["delivered"]) == ["1", "3", "4"]


@pytest.mark.parametrize("status", [0xA900, 0xC001, 0x0122])
def test_a_refused_instance_is_held_alone(tmp_path: Path, status: int) -> None:
    relay = bench(tmp_path)
    with listening(Peer(script=[0, status])) as peer:
        delivery, state = sent(relay, peer, *data_sets(3))
    assert (state.status, state.dead_letter_class) == ("held", "refused")
    assert state.reason.startswith("1 of 3 instances refused")
    assert f"{status:04X}" in state.reason
    assert state.reason.endswith("2 delivered")
    assert list(relay.facts(delivery)["delivered"]) == ["0", "2"]


def test_an_unknown_status_is_never_success_and_a_refusal_in_the_end(tmp_path: Path) -> None:
    relay = bench(tmp_path)
    with listening(Peer(always={"1.2.3.4.1.1": 0xFFFF})) as peer:
        delivery, state = sent(relay, peer, *data_sets(2), tries=sending.UNKNOWN_TRIES)
        assert (state.status, state.reason) == ("waiting", "the destination answered FFFF unknown status")
        assert "0" not in relay.facts(delivery)["delivered"]
        state = after(relay, delivery, sender(relay))
    assert (state.status, state.dead_letter_class) == ("held", "refused")
    assert list(relay.facts(delivery)["delivered"]) == ["1"]


def test_only_what_is_missing_is_sent_after_an_abort(tmp_path: Path) -> None:
    relay = bench(tmp_path)
    with listening(Peer(script=[0, 0, ABORT])) as peer:
        delivery, state = sent(relay, peer, *data_sets(5))
        assert state.status == "waiting"
        assert list(relay.facts(delivery)["delivered"]) == ["0", "1"]
        assert after(relay, delivery, sender(relay)).status == "final"
    assert peer.got == [f"1.2.3.4.1.{n}" for n in (1, 2, 4, 5, 3)]


def test_progress_is_on_record_before_the_study_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "SLICE_INSTANCES", 2)
    relay = bench(tmp_path)
    with listening(Peer()) as peer:
        delivery, _ = sent(relay, peer, *data_sets(5))
    slices = [
        sorted(state.facts["delivered"])
        for state in relay.spool.deliveries.history(delivery)
        if "delivered" in state.facts
    ]
    assert slices == [["0", "1"], ["2", "3"], ["4"]]


def test_an_old_slice_is_recorded_though_it_is_not_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "SLICE_SECONDS", 0.0)
    relay = bench(tmp_path)
    with listening(Peer()) as peer:
        delivery, state = sent(relay, peer, *data_sets(3))
    assert state.n == 1 + 3 + 1
    assert len(relay.facts(delivery)["delivered"]) == 3


def test_a_rejected_association_waits_with_the_reason(tmp_path: Path) -> None:
    relay = bench(tmp_path)
    with listening(Peer(rejection=CALLED_NOT_RECOGNIZED)) as peer:
        _, state = sent(relay, peer, data_set())
    assert (state.status, state.tries) == ("waiting", 1)
    assert "called AE title not recognized" in state.reason


def test_a_destination_that_is_down_becomes_a_dead_letter_when_the_time_is_up(tmp_path: Path) -> None:
    relay = bench(tmp_path)
    aimed(relay, free_port())
    delivery = relay.delivery(relay.part(data_set()))
    assert after(relay, delivery, sender(relay)).status == "waiting"
    relay.now += timedelta(hours=1)
    state = after(relay, delivery, sender(relay))
    assert (state.status, state.dead_letter_class) == ("held", "unreachable")
    assert state.reason.startswith("gave up: cannot connect to 127.0.0.1:")
    assert state.reason.endswith("; 1 of 1 instances not delivered, 0 delivered")


@pytest.mark.parametrize("status", [0x0110, ABORT])
def test_giving_up_for_one_bad_instance_says_how_many_and_that_the_destination_takes_the_others(
    tmp_path: Path, status: int
) -> None:
    relay = bench(tmp_path)
    with listening(Peer(always={"1.2.3.4.1.2": status})) as peer:
        delivery, state = sent(relay, peer, *data_sets(3), tries=3)
        assert state.status == "waiting"
        relay.now += timedelta(hours=2)
        state = after(relay, delivery, sender(relay))
    assert (state.status, state.dead_letter_class) == ("held", "refused")
    assert state.reason.startswith("gave up: ")
    assert state.reason.endswith("; 1 of 3 instances not delivered, 2 delivered")


def test_more_kinds_than_one_association_can_carry_go_in_several(tmp_path: Path) -> None:
    relay = bench(tmp_path)
    files = [data_set(n, sop_class_uid=f"1.2.826.0.1.3680043.{n}") for n in range(1, 131)]
    with listening(Peer()) as peer:
        delivery, state = sent(relay, peer, *files)
        assert (state.status, state.stage, state.tries) == ("waiting", "send", 0)
        assert after(relay, delivery, sender(relay)).outcome == "delivered"
    assert len(peer.callers) == 2
    assert len(peer.kept) == 130


@pytest.mark.parametrize("size", [0, 1, 4095, 131073])
@pytest.mark.parametrize("largest", [0, ahead.LARGEST])
def test_a_data_set_of_any_size_arrives_whole(
    tmp_path: Path, size: int, largest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ahead, "LARGEST", largest)
    relay = bench(tmp_path)
    with listening(Peer()) as peer:
        aimed(relay, peer.port)
        part = relay.part(data_set(1))
        content = bytes(size)
        made = stored(relay.spool, part, content, "1.2.840.10008.1.2.1", ("1.2.840.10008.5.1.4.1.1.2", "1.2.3"))
        delivery = relay.delivery(with_only(relay, part, made))
        assert after(relay, delivery, sender(relay)).outcome == "delivered"
    assert peer.kept == {"1.2.3": hashlib.sha256(content).hexdigest()}


@pytest.mark.parametrize("largest", [0, ahead.LARGEST])
def test_bytes_damaged_on_disk_are_held_and_the_others_go(
    tmp_path: Path, largest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ahead, "LARGEST", largest)
    relay = bench(tmp_path)
    with listening(Peer()) as peer:
        aimed(relay, peer.port)
        part = relay.part(*data_sets(3))
        flip_last_byte(relay.spool.store.path(relay.manifest(part).instances[1].file))
        state = after(relay, delivery := relay.delivery(part), sender(relay))
    assert (state.status, state.dead_letter_class) == ("held", "invalid")
    assert state.reason == "1 of 3 instances held (the bytes on disk are not those that were stored); 2 delivered"
    assert sorted(peer.kept) == sorted(peer.got) == ["1.2.3.4.1.1", "1.2.3.4.1.3"]
    assert peer.discarded == 0
    assert list(relay.facts(delivery)["held"]) == ["1"]


def test_a_file_that_is_gone_is_held_too(tmp_path: Path) -> None:
    relay = bench(tmp_path)
    with listening(Peer()) as peer:
        aimed(relay, peer.port)
        part = relay.part(data_set())
        relay.spool.store.path(relay.manifest(part).instances[0].file).unlink()
        state = after(relay, relay.delivery(part), sender(relay))
    assert (state.status, peer.got) == ("held", [])


def test_a_lost_ownership_hands_the_delivery_back_before_the_next_instance(tmp_path: Path) -> None:
    relay, asked = bench(tmp_path), iter(range(100))

    def may_send() -> None:
        if next(asked) == 3:  # once for the association, then once for each instance
            raise HandedBackError("another process owns it now")

    with listening(Peer()) as peer:
        aimed(relay, peer.port)
        delivery = relay.delivery(relay.part(*data_sets(4)))
        state = after(relay, delivery, sender(relay, may_send=may_send))
    assert (state.status, state.tries, state.faults) == ("waiting", 0, 0)
    assert peer.got == ["1.2.3.4.1.1", "1.2.3.4.1.2"]
    assert list(relay.facts(delivery)["delivered"]) == ["0", "1"]


def test_a_stop_hands_the_delivery_back_with_its_progress(tmp_path: Path) -> None:
    relay = bench(tmp_path)

    def stop_after_two() -> None:
        if len(peer.got) == 2:
            relay.stopping.set()

    with listening(Peer()) as peer:
        aimed(relay, peer.port)
        delivery = relay.delivery(relay.part(*data_sets(4)))
        state = after(relay, delivery, sender(relay, may_send=stop_after_two))
        assert (state.status, state.tries) == ("waiting", 0)
        assert list(relay.facts(delivery)["delivered"]) == ["0", "1", "2"]
        relay.stopping.clear()
        assert after(relay, delivery, sender(relay)).outcome == "delivered"
    assert len(peer.got) == 4


def test_a_destination_that_is_another_peer_now_gets_nothing(tmp_path: Path) -> None:
    relay = bench(tmp_path)
    with listening(Peer()) as peer:
        delivery = relay.delivery(relay.part(data_set()))
        aimed(relay, peer.port)
        state = after(relay, delivery, sender(relay))
    assert (state.status, state.dead_letter_class) == ("held", "policy")
    assert "another peer" in state.reason
    assert peer.callers == []


def test_the_pace_waits_until_the_average_fits() -> None:
    now, waits = [100.0], []

    class Stopping(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout)
            now[0] += timeout or 0
            return False

    pace = Pace(lambda: 1000.0, Stopping(), monotonic=lambda: now[0])
    pace(500)
    pace(2000)
    now[0] += 60  # nothing to send for a minute saves nothing up
    pace(1000)
    assert waits == [0.5, 2.0, 1.0]


def test_associations_beside_each_other_share_one_pace() -> None:
    waits: list[float | None] = []

    class Stopping(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout)
            return False

    pace = Pace(lambda: 1000.0, Stopping(), monotonic=lambda: 100.0)
    associations = [threading.Thread(target=pace, args=(500,)) for _ in range(4)]
    for each in associations:
        each.start()
    for each in associations:
        each.join()
    assert sorted(wait or 0 for wait in waits) == [0.5, 1.0, 1.5, 2.0]


def test_without_a_limit_the_pace_never_waits() -> None:
    begun = time.monotonic()
    Pace(lambda: None, threading.Event())(10**12)
    assert time.monotonic() - begun < 1


def with_only(relay: Bench, part: str, made: Instance) -> str:
    """Makes a part's manifest name just this instance."""
    name = f"parts/{part}/manifest.json"
    relay.spool.store.delete(name)
    relay.spool.put_json(name, {"instances": [vars(made)], "duplicates": []})
    return part


def test_an_instance_whose_sop_class_is_no_uid_is_refused_and_the_others_go(tmp_path: Path) -> None:
    relay = bench(tmp_path)
    odd = data_set()
    odd.SOPClassUID = "1.02.840"
    with listening(Peer()) as peer:
        delivery, state = sent(relay, peer, odd, data_set())
    assert (state.status, state.dead_letter_class) == ("held", "refused")
    assert relay.facts(delivery)["delivered"] == {"1": "0000"}
    assert "PS3.5 9.1" in relay.facts(delivery)["refused"]["0"]


def _pause(relay: Bench, *, paused: bool = True) -> None:
    put_pause(
        relay.spool, Pause(destination="archive", paused=paused, at=relay.now, until=None, by="ann@pacs", why="upgrade")
    )


def test_a_paused_destination_is_not_called_and_no_try_is_counted(tmp_path: Path) -> None:
    relay = bench(tmp_path)
    _pause(relay)
    with listening(Peer()) as peer:
        delivery, state = sent(relay, peer, data_set())
        assert (state.status, state.tries, state.since, state.reason) == (
            "waiting",
            0,
            None,
            "paused by ann@pacs (upgrade)",
        )
        assert not peer.callers
        assert after(relay, delivery, sender(relay)).status == "waiting"
        _pause(relay, paused=False)
        assert after(relay, delivery, sender(relay)).outcome == "delivered"


def test_a_pause_in_mid_study_stops_it_after_the_instance_in_flight(tmp_path: Path) -> None:
    relay = bench(tmp_path)
    asked = iter(range(100))

    def may_send() -> None:
        if next(asked) == 2:  # before the association, before the first instance, before the second
            _pause(relay)

    with listening(Peer()) as peer:
        aimed(relay, peer.port)
        delivery = relay.delivery(relay.part(*data_sets(4)))
        state = after(relay, delivery, sender(relay, may_send=may_send))
        assert (state.status, state.tries) == ("waiting", 0)
        assert list(relay.facts(delivery)["delivered"]) == ["0", "1"]
        _pause(relay, paused=False)
        assert after(relay, delivery, sender(relay)).outcome == "delivered"
    assert peer.got == [f"1.2.3.4.1.{n}" for n in (1, 2, 3, 4)]


def test_what_another_delivery_brought_is_not_sent(tmp_path: Path) -> None:
    relay = bench(tmp_path)
    with listening(Peer()) as peer:
        aimed(relay, peer.port)
        delivery = relay.delivery(relay.part(*data_sets(3)))
        claim = relay.claim(delivery)
        claim.append(replace(claim.state, n=1, facts={"elsewhere": {"0": "d0", "2": "d0"}}))
        assert after(relay, delivery, sender(relay)).outcome == "delivered"
    assert peer.got == ["1.2.3.4.1.2"]


def test_an_excluded_instance_never_leaves_and_the_delivery_is_complete_without_it(tmp_path: Path) -> None:
    relay = bench(tmp_path)
    with listening(Peer()) as peer:
        aimed(relay, peer.port)
        delivery = relay.delivery(relay.part(*data_sets(3)), excluded=(1,))
        state = after(relay, delivery, sender(relay))
    assert (state.status, state.outcome) == ("final", "delivered")
    assert len(peer.kept) == 2
    assert relay.facts(delivery)["dropped"] == {"1": "excluded for this destination"}


def test_a_delivery_of_which_everything_is_excluded_is_dropped_without_an_association(tmp_path: Path) -> None:
    relay = bench(tmp_path)
    with listening(Peer()) as peer:
        aimed(relay, peer.port)
        delivery = relay.delivery(relay.part(*data_sets(2)), excluded=(0, 1))
        state = after(relay, delivery, sender(relay))
    assert (state.status, state.outcome, peer.callers) == ("final", "dropped", [])


def test_what_was_answered_while_the_disk_was_full_is_not_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay, refused = bench(tmp_path), []
    append = relay.spool.deliveries.append

    def refuse(unit: str, state: State) -> None:
        if "delivered" in state.facts and len(refused) < 3:
            refused.append(state.n)
            raise StorageError("the disk is full")
        append(unit, state)

    monkeypatch.setattr(relay.spool.deliveries, "append", refuse)
    with listening(Peer()) as peer:
        delivery, state = sent(relay, peer, *data_sets(3))
        if state.status != "final":
            after(relay, delivery, sender(relay))
    assert (len(refused), len(peer.got)) == (3, 3)
    assert sorted(relay.facts(delivery)["delivered"]) == ["0", "1", "2"]
