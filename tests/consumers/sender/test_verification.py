"""A destination is asked whether it has what it answered with success for; one that lies is found out."""

from datetime import timedelta
from pathlib import Path

import pytest
from pydicom.uid import MRImageStorage

from consumers.sender.verification import KEEPS_NOTHING, ROTTEN
from producers.replay.ring import release
from producers.replay.show import dead_letters
from shared.outcomes import Later
from shared.spool.parts import is_finished
from shared.spool.states import State
from tests.consumers.bench import Bench, bench, data_set
from tests.consumers.sender.peer import Peer, after, aimed, listening, sender
from tests.peers import Orthanc, orthanc, store_scp

C_FIND = 'verify = "c-find"\nverify_within = "10m"'
LIAR = """
function ReceivedInstanceFilter(dicom, origin, info)
  local lies = io.open("{flag}")
  if lies then lies:close() return false end
  return true
end
"""


def tried(relay: Bench, delivery: str, times: int) -> list[State]:
    """What each of so many tries leaves."""
    return [after(relay, delivery, sender(relay)) for _ in range(times)]


def lying(folder: Path) -> tuple[Path, str]:
    """A file while which is there Orthanc answers success and keeps nothing; and the script that makes it do so."""
    flag = folder / "lies"
    flag.touch()
    return flag, LIAR.format(flag=flag)


def series(relay: Bench, pacs: Orthanc) -> str:
    """A delivery to Orthanc of two series, one of them in two transfer-able classes."""
    aimed(relay, pacs.port, C_FIND)
    sets = [data_set(1), data_set(2), data_set(3, SeriesInstanceUID="1.2.3.4.9", SOPClassUID=MRImageStorage)]
    return relay.delivery(relay.part(*sets))


def test_a_delivery_is_final_when_the_destination_says_it_has_each_instance(tmp_path: Path) -> None:
    relay = bench(tmp_path)
    with orthanc(tmp_path, "ARCHIVE") as pacs:
        delivery = series(relay, pacs)
        sent, found = tried(relay, delivery, 2)
    assert (sent.status, sent.stage) == ("waiting", "verify")
    assert (found.status, found.outcome) == ("final", "delivered")
    facts = relay.facts(delivery)
    assert set(facts["delivered"]) == set(facts["verified"]) == {"0", "1", "2"}


def test_one_that_answers_success_and_keeps_nothing_becomes_a_dead_letter_that_a_replay_sends_again(
    tmp_path: Path,
) -> None:
    relay = bench(tmp_path)
    flag, script = lying(tmp_path)
    with orthanc(tmp_path, "ARCHIVE", lua=script) as pacs:
        delivery = series(relay, pacs)
        _, waits = tried(relay, delivery, 2)
        assert (waits.status, waits.stage) == ("waiting", "verify")
        assert waits.reason == "3 instances that were answered with success are not found there"
        relay.now += timedelta(minutes=10)
        [held] = tried(relay, delivery, 1)
        assert (held.status, held.dead_letter_class) == ("held", "refused")
        assert held.reason == f"3 of 3 instances refused ({KEEPS_NOTHING}); 0 delivered"
        assert not is_finished(relay.spool, str(relay.claim(delivery).order["part"]))
        flag.unlink()
        [letter] = dead_letters(relay.spool)
        assert release(relay.spool, letter, by="ann", why="its filter is mended", config="") is not None
        sent, final = tried(relay, delivery, 2)
        assert (sent.status, sent.stage) == ("waiting", "verify")
        assert len(pacs.instances()) == 3
    assert (final.status, final.outcome) == ("final", "delivered")


def test_what_is_sent_again_has_its_whole_time_to_be_found(tmp_path: Path) -> None:
    relay = bench(tmp_path)
    _, script = lying(tmp_path)
    with orthanc(tmp_path, "ARCHIVE", lua=script) as pacs:
        delivery = series(relay, pacs)
        tried(relay, delivery, 2)
        relay.now += timedelta(minutes=10)
        tried(relay, delivery, 1)
        [letter] = dead_letters(relay.spool)
        assert release(relay.spool, letter, by="ann", why="", config="") is not None
        relay.look(delivery, lambda _: Later("cannot connect"))
        relay.now += timedelta(minutes=11)
        [state] = tried(relay, delivery, 1)
    assert (state.status, state.stage) == ("waiting", "verify")


def test_what_rotted_here_since_it_was_sent_is_held_and_the_others_are_asked_for(tmp_path: Path) -> None:
    relay = bench(tmp_path)
    with orthanc(tmp_path, "ARCHIVE") as pacs:
        delivery = series(relay, pacs)
        tried(relay, delivery, 1)
        rotten = relay.manifest(str(relay.claim(delivery).order["part"])).instances[0]
        path = relay.spool.store.path(rotten.file)
        path.chmod(0o600)
        path.write_bytes(b"rotten")
        [held] = tried(relay, delivery, 1)
    assert (held.status, held.reason) == ("held", f"1 of 3 instances held ({ROTTEN}); 2 delivered")
    assert set(relay.facts(delivery)["verified"]) == {"1", "2"}


def test_only_what_is_not_there_is_taken_back(tmp_path: Path) -> None:
    relay = bench(tmp_path)
    flag, script = lying(tmp_path)
    flag.unlink()
    with orthanc(tmp_path, "ARCHIVE", lua=script) as pacs:
        aimed(relay, pacs.port, C_FIND)
        kept = relay.delivery(relay.part(data_set(1), study="1.9"))
        tried(relay, kept, 1)
        flag.touch()
        delivery = relay.delivery(relay.part(data_set(1), data_set(2)))
        tried(relay, delivery, 2)
        relay.now += timedelta(minutes=10)
        [held] = tried(relay, delivery, 1)
    assert held.reason == f"1 of 2 instances refused ({KEEPS_NOTHING}); 1 delivered"
    facts = relay.facts(delivery)
    assert (set(facts["delivered"]), set(facts["refused"])) == ({"0"}, {"1"})


def test_a_destination_that_takes_no_c_find_is_a_dead_letter_that_says_so(tmp_path: Path) -> None:
    relay = bench(tmp_path)
    with store_scp(tmp_path) as scp:
        aimed(relay, scp.port, C_FIND)
        delivery = relay.delivery(relay.part(data_set()))
        states = tried(relay, delivery, 2)
    assert states[-1].status == "held"
    assert states[-1].reason == "destination 'archive' takes no C-FIND"


def test_a_destination_that_is_away_is_asked_later(tmp_path: Path) -> None:
    relay = bench(tmp_path)
    with orthanc(tmp_path, "ARCHIVE") as pacs:
        delivery = series(relay, pacs)
        tried(relay, delivery, 1)
    [state] = tried(relay, delivery, 1)
    assert (state.status, state.stage, state.tries) == ("waiting", "verify", 1)
    assert state.reason.startswith("cannot connect")


@pytest.mark.parametrize("answer", [0x0000, 0x0122])
def test_without_verify_nobody_is_asked(tmp_path: Path, answer: int) -> None:
    relay = bench(tmp_path)
    with listening(Peer(script=[answer])) as peer:
        aimed(relay, peer.port)
        [state] = tried(relay, relay.delivery(relay.part(data_set())), 1)
    assert state.status == ("held" if answer else "final")
    assert len(peer.callers) == 1
