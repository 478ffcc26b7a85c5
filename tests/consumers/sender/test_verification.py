"""A destination is asked whether it has what it answered with success for; one that lies is found out."""

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from pydicom.uid import MRImageStorage

from consumers.sender.verification import KEEPS_NOTHING, ROTTEN
from producers.ingress.committing import Committing
from producers.ingress.parts import OpenParts
from producers.ingress.storing import Storing
from producers.replay.ring import release
from producers.replay.show import dead_letters
from shared.dimse import CommitmentReport, Listener
from shared.outcomes import Later
from shared.spool.parts import is_finished
from shared.spool.states import State
from shared.spool.verifications import put_report, transaction_uid
from tests.consumers.bench import Bench, bench, data_set
from tests.consumers.sender.peer import QUICK, Peer, after, aimed, listening, sender
from tests.peers import Orthanc, free_port, orthanc, store_scp
from tests.support import eventually

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


def _commitment(relay: Bench, pacs_port: int) -> None:
    aimed(relay, pacs_port, 'verify = "storage-commitment"\nverify_within = "10m"')


@contextmanager
def _listener(relay: Bench, port: int) -> Iterator[None]:
    """Our ingress, which the destination answers at."""
    listener = Listener(
        [("127.0.0.1", port)],
        Storing(relay.spool, relay.config, OpenParts(), "i0"),
        max_instance=1 << 20,
        timeouts=QUICK,
        commitment=Committing(relay.spool, relay.config),
    )
    thread = threading.Thread(target=listener.serve)
    thread.start()
    try:
        yield
    finally:
        listener.close()
        thread.join()


def _orthanc(folder: Path, port: int, lua: str = "") -> AbstractContextManager[Orthanc]:
    relay = {"AET": "DCMRELAY", "Host": "127.0.0.1", "Port": port, "AllowStorageCommitment": True}
    return orthanc(folder, "ARCHIVE", lua=lua, DicomModalities={"relay": relay})


def test_orthanc_commits_what_it_has_in_an_association_with_our_listener(tmp_path: Path) -> None:
    relay, port = bench(tmp_path), free_port()
    with _orthanc(tmp_path, port) as pacs:
        _commitment(relay, pacs.port)
        delivery = relay.delivery(relay.part(data_set(1), data_set(2)))
        with _listener(relay, port):
            tried(relay, delivery, 1)
            state = after(relay, delivery, sender(relay))
            eventually(lambda: after(relay, delivery, sender(relay)).status == "final" or None)
        state = relay.spool.deliveries.newest(delivery)
    assert state is not None
    assert (state.status, state.outcome) == ("final", "delivered")
    assert relay.facts(delivery)["verified"] == {"0": "committed", "1": "committed"}


def test_what_orthanc_does_not_have_is_found_out_and_taken_back(tmp_path: Path) -> None:
    relay, port = bench(tmp_path), free_port()
    _, script = lying(tmp_path)
    with _orthanc(tmp_path, port, script) as pacs:
        _commitment(relay, pacs.port)
        delivery = relay.delivery(relay.part(data_set(1)))
        with _listener(relay, port):
            tried(relay, delivery, 2)
            eventually(lambda: (tmp_path / f"var/spool/deliveries/{delivery}/committed-000001.json").exists() or None)
            relay.now += timedelta(minutes=10)
            [held] = tried(relay, delivery, 1)
    assert (held.status, held.dead_letter_class) == ("held", "refused")
    assert held.reason == f"1 of 1 instances refused ({KEEPS_NOTHING}); 0 delivered"


def test_a_destination_that_takes_no_commitment_is_a_dead_letter_that_says_so(tmp_path: Path) -> None:
    relay = bench(tmp_path)
    with store_scp(tmp_path) as scp:
        _commitment(relay, scp.port)
        states = tried(relay, relay.delivery(relay.part(data_set())), 2)
    assert (states[-1].status, states[-1].reason) == ("held", "destination 'archive' takes no storage commitment")


def test_an_answer_to_what_was_not_asked_is_not_kept(tmp_path: Path) -> None:
    relay = bench(tmp_path)
    delivery = relay.delivery(relay.part(data_set()))
    foreign = ("1.2.3", f"2.25.{1 << 128}.1", transaction_uid(delivery, 1), transaction_uid("d" + "0" * 32, 1))
    reports = [CommitmentReport(transaction_uid=uid) for uid in foreign]
    assert [put_report(relay.spool, "archive", report) for report in reports] == [False] * 4
    assert relay.spool.store.list(f"deliveries/{delivery}") == ["00000000.json"]
