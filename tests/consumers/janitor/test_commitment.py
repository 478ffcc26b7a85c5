"""A source that asks for storage commitment is told what is safe: by a pynetdicom modality that asks our ingress."""

import contextlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import structlog
from pydicom.uid import CTImageStorage, MRImageStorage

from consumers.janitor.commitment import Committer
from consumers.janitor.committing import Committing
from consumers.janitor.safety import Standing, failures, may_change
from consumers.janitor.sweep import sweep
from dcmrelay import looking as looking_at
from producers.ingress.committing import Committing as IngressCommitting
from producers.ingress.parts import OpenParts
from producers.ingress.storing import Storing
from shared.dimse import Listener
from shared.forms import RECEIVED, Form
from shared.outcomes import Done
from shared.spool.commitments import active_commitments, received_name, refused_lately
from shared.spool.parts import read_part
from shared.spool.spool import Spool
from tests.consumers.bench import RELAY, Bench, bench, data_set
from tests.consumers.sender.peer import QUICK
from tests.dcmrelay.relays import Command, commander
from tests.modality import Modality, asked, committed, failed, listening, request_of
from tests.peers import free_port, orthanc
from tests.support import eventually

ROUTE = '[[route]]\nname = "all"\nto = ["archive"]\n'
CT = str(CTImageStorage)


@pytest.fixture
def modality() -> Iterator[Modality]:
    with listening(Modality()) as ours:
        yield ours


@pytest.fixture
def relay(tmp_path: Path, modality: Modality) -> Bench:
    commitment = f'commitment = {{ by = "archive", within = "2h", port = {modality.port} }}\n'
    text = RELAY.replace('ae_title = "CT1"\n', f'ae_title = "CT1"\n{commitment}') + ROUTE
    (tmp_path / "dcmrelay.toml").write_text(text, encoding="utf-8")
    return bench(tmp_path, text)


@pytest.fixture
def port(relay: Bench) -> Iterator[int]:
    with serving(relay) as ours:
        yield ours


@pytest.fixture
def run(relay: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """Runs a `dcmrelay` command on the same spool."""
    yield commander(monkeypatch, capsys, relay.folder / "dcmrelay.toml")
    structlog.reset_defaults()


@contextmanager
def serving(relay: Bench) -> Iterator[int]:
    """Runs our ingress; its port."""
    service = Storing(relay.spool, relay.config, OpenParts(), "i0")
    listener = Listener(
        [("127.0.0.1", 0)],
        service,
        max_instance=1 << 20,
        timeouts=QUICK,
        commitment=IngressCommitting(relay.spool, relay.config),
    )
    thread = threading.Thread(target=listener.serve)
    thread.start()
    try:
        yield listener.addresses[0][1]
    finally:
        listener.close()
        thread.join()


def received(relay: Bench, *numbers: int, deliver: bool = True, form: Form = RECEIVED) -> str:
    """A part with these instances, noted as an ingress does; delivered to the archive or still on its way."""
    part_id = relay.part(*(data_set(number) for number in numbers))
    part = read_part(relay.spool, part_id)
    assert part is not None
    relay.spool.store.put_new(received_name(part), b"")
    delivery = relay.delivery(part_id, form=form)
    relay.spool.put_json(f"parts/{part_id}/decision.json", {"deliveries": [{"id": delivery}], "routes": []})
    if deliver:
        delivered(relay, delivery, len(numbers))
    return delivery


def delivered(relay: Bench, delivery: str, count: int, word: str = "delivered") -> None:
    answers = {str(index): "0000" for index in range(count)}
    relay.look(delivery, lambda claim: claim.record({word: answers}) or Done(outcome="delivered"))


def looking(relay: Bench, committer: Committer | None = None) -> Committing:
    committer = committer or Committer(relay.spool, relay.config, QUICK)

    def now() -> float:
        return relay.now.timestamp()

    return Committing(relay.spool, committer, lambda: timedelta(days=7), relay.stopping, monotonic=now)


def look(relay: Bench, ours: Committing, after: timedelta = timedelta(minutes=1)) -> None:
    relay.now += after
    ours.look()


def uid(number: int) -> str:
    return f"1.2.3.4.1.{number}"


def refs(*numbers: int) -> list[tuple[str, str]]:
    return [(CT, uid(number)) for number in numbers]


def test_what_is_delivered_is_committed_at_once_under_the_titles_of_the_question(
    relay: Bench, port: int, modality: Modality
) -> None:
    received(relay, 1, 2)
    assert asked(port, request_of("1.9.1", *refs(1, 2))) == 0
    look(relay, looking(relay))
    [(event, ds)] = modality.heard
    assert (event, ds.TransactionUID, committed(ds), failed(ds)) == (1, "1.9.1", {uid(1), uid(2)}, {})
    assert modality.callers == ["DCMRELAY"]
    assert not list(active_commitments(relay.spool))


@pytest.mark.parametrize("key_id", ["", "k" * 16])
def test_an_edited_instance_is_committed_when_its_uid_stays(
    relay: Bench, port: int, modality: Modality, key_id: str
) -> None:
    received(relay, 1, form=Form(kind="edited", edit="console", edit_hash="e", edit_key_id=key_id))
    assert asked(port, request_of("1.9.1", *refs(1))) == 0
    look(relay, looking(relay))
    assert [committed(ds) for _, ds in modality.heard] == [{uid(1)}] * (not key_id)


def test_nothing_is_said_before_it_is_delivered_and_then_all(relay: Bench, port: int, modality: Modality) -> None:
    delivery = received(relay, 1, deliver=False)
    assert asked(port, request_of("1.9.1", *refs(1))) == 0
    ours = looking(relay)
    look(relay, ours)
    assert modality.heard == []
    [unit] = active_commitments(relay.spool)
    assert relay.spool.commitments.newest(unit).n == 0, "waiting leaves no record"  # type: ignore[union-attr]
    delivered(relay, delivery, 1)
    look(relay, ours)
    assert [event for event, _ in modality.heard] == [1]


def test_what_comes_after_the_question_counts_too(relay: Bench, port: int, modality: Modality) -> None:
    assert asked(port, request_of("1.9.1", *refs(1))) == 0
    ours = looking(relay)
    look(relay, ours)
    received(relay, 1)
    look(relay, ours)
    assert [committed(ds) for _, ds in modality.heard] == [{uid(1)}]


def test_after_within_each_that_is_not_safe_fails_with_its_reason(relay: Bench, port: int, modality: Modality) -> None:
    received(relay, 1, 2)
    received(relay, 3, deliver=False)
    references = [(CT, uid(1)), (str(MRImageStorage), uid(2)), (CT, uid(3)), (CT, uid(4))]
    assert asked(port, request_of("1.9.1", *references)) == 0
    ours = looking(relay)
    look(relay, ours)
    assert modality.heard == []
    look(relay, ours, timedelta(hours=2))
    [(event, ds)] = modality.heard
    assert (event, committed(ds)) == (2, {uid(1)})
    assert failed(ds) == {uid(2): 0x0119, uid(3): 0x0110, uid(4): 0x0112}


def test_the_same_question_twice_is_one_and_another_under_its_uid_is_refused(
    relay: Bench, port: int, modality: Modality
) -> None:
    received(relay, 1)
    assert [asked(port, request_of("1.9.1", *refs(*numbers))) for numbers in ((1,), (1,), (2,))] == [0, 0, 0x0115]
    ours = looking(relay)
    look(relay, ours)
    look(relay, ours)
    assert len(modality.heard) == 1


def test_a_modality_that_does_not_take_the_answer_is_told_the_same_again(
    relay: Bench, port: int, modality: Modality
) -> None:
    received(relay, 1)
    received(relay, 2, deliver=False)
    assert asked(port, request_of("1.9.1", *refs(1, 2))) == 0
    modality.status = 0x0110
    look(relay, ours := looking(relay), timedelta(hours=3))
    [unit] = active_commitments(relay.spool)
    state = relay.spool.commitments.newest(unit)
    assert state is not None
    assert (state.status, state.reason) == ("waiting", "storage commitment was answered with 0110")
    modality.status = 0
    received(relay, 2)
    look(relay, ours)
    assert [failed(ds) for _, ds in modality.heard] == [{uid(2): 0x0110}] * 2
    assert not list(active_commitments(relay.spool))


class Killed(BaseException):
    """The process ends here."""


def test_killed_at_any_durable_step_the_modality_is_told_all_the_same(
    relay: Bench, port: int, modality: Modality
) -> None:
    received(relay, 1)
    for step in range(12):
        asked(port, request_of(f"1.9.{step}", *refs(1)))
        left = [step]

        def kill(_what: str, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise Killed

        dying = Spool(relay.spool.store.root, clock=lambda: relay.now, step=kill)
        committer = Committer(dying, relay.config, QUICK)
        relay.now += timedelta(minutes=1)
        with contextlib.suppress(Killed):
            Committing(dying, committer, lambda: timedelta(days=7), relay.stopping, monotonic=lambda: 0.0).look()
        ours = looking(relay)
        look(relay, ours, timedelta(minutes=6))  # the lease of who was killed has run out
        look(relay, ours)
        told = [ds for _, ds in modality.heard if ds.TransactionUID == f"1.9.{step}"]
        assert 1 <= len(told) <= 2
        assert all(committed(ds) == {uid(1)} for ds in told)
        assert not list(active_commitments(relay.spool))


@pytest.mark.parametrize("is_refused", [False, True], ids=["behind", "the file is refused"])
def test_a_janitor_that_does_not_know_that_a_source_may_ask_first_looks_whether_it_is_behind(
    relay: Bench, port: int, modality: Modality, *, is_refused: bool
) -> None:
    received(relay, 1)
    asked(port, request_of("1.9.1", *refs(1)))
    newest = relay.config

    def is_current() -> bool:
        if not is_refused:
            committer.use(newest)
        return not is_refused

    relay.configure(RELAY + ROUTE)
    committer = Committer(relay.spool, relay.config, QUICK, is_current)
    look(relay, looking(relay, committer))
    assert [committed(ds) for _, ds in modality.heard] == [{uid(1)}] * (not is_refused)
    states = [relay.spool.commitments.newest(it) for it in active_commitments(relay.spool)]
    assert [it.status for it in states if it] == ["waiting"] * is_refused


def test_status_names_who_asks_in_vain_and_who_could_not_be_told(relay: Bench, port: int, modality: Modality) -> None:
    received(relay, 1)
    asked(port, request_of("1.9.1", *refs(1)))
    asked(port, request_of("1.9.1", *refs(1)), calling="MR1")
    modality.status = 0x0110
    look(relay, looking(relay))
    lines = looking_at.commitment_lines(relay.config, relay.spool)
    assert lines == [
        'mr-1 asks for storage commitment; add commitment = { by = "...", port = ... } to its [[source]]',
        (
            "ct-1 could not yet be told what is safe (storage commitment was answered with 0110): "
            "check host and port of its commitment"
        ),
    ]


def test_a_source_that_cannot_be_told_is_a_dead_letter_until_a_person_lets_it_be_told_or_gives_up(
    relay: Bench, port: int, modality: Modality, run: Command
) -> None:
    received(relay, 1)
    asked(port, request_of("1.9.1", *refs(1)))
    asked(port, request_of("1.9.2", *refs(1)))
    modality.status = 0x0110
    look(relay, ours := looking(relay))
    look(relay, ours, timedelta(days=6))
    look(relay, ours)
    found = sweep(relay.spool, relay.config.hash)
    assert {unit.state.stage for unit in found.unfinished if unit.state.status == "held"} == {"commit"}
    listed = json.loads(run("dead", "list", "--json").out)
    assert [(it["stage"], it["source"], it["class"]) for it in listed] == [("commit", "ct-1", "unreachable")] * 2
    assert {it["id"] for it in listed} == set(active_commitments(relay.spool))
    assert "(commitment)" in run("dead", "list").out
    first, second = (it["id"] for it in listed)
    shown = run("dead", "show", first[:10]).out
    assert "ct-1 was not told what is safe" in shown
    assert "instances asked about: 1" in shown
    assert "2 dead letters, class unreachable, ct-1 was not told what is safe" in run("status").out
    assert run("dead", "redirect", first, "--to", "archive").code == 1

    modality.status = 0
    assert run("dead", "replay", first, "--why", "it is on again").out.startswith("replayed: 1\n")
    assert run("dead", "discard", second, "--why", "it was taken away").code == 0
    look(relay, ours)
    assert [committed(ds) for _, ds in modality.heard][-1:] == [{uid(1)}]
    assert not list(active_commitments(relay.spool))
    assert run("dead", "list").code == 0


def test_an_answered_request_goes_with_retention(relay: Bench, port: int, modality: Modality) -> None:
    received(relay, 1)
    asked(port, request_of("1.9.1", *refs(1)))
    ours = looking(relay)
    look(relay, ours)
    assert len(relay.spool.commitments.ids()) == 1
    look(relay, ours, timedelta(days=8))
    assert relay.spool.commitments.ids() == []


def test_two_janitors_say_it_once(relay: Bench, port: int, modality: Modality) -> None:
    received(relay, 1)
    asked(port, request_of("1.9.1", *refs(1)))
    relay.now += timedelta(minutes=1)
    threads = [threading.Thread(target=looking(relay).look) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(modality.heard) == 1


def test_a_source_without_commitment_is_refused_the_context_and_named(relay: Bench, port: int) -> None:
    assert asked(port, request_of("1.9.1", *refs(1)), calling="MR1") is None
    assert refused_lately(relay.spool, "mr-1")
    assert not refused_lately(relay.spool, "ct-1")


def test_orthanc_asks_and_is_told(tmp_path: Path) -> None:
    relay, orthancs = bench(tmp_path), free_port()
    text = RELAY.replace(
        'ae_title = "CT1"\n', f'ae_title = "CT1"\ncommitment = {{ by = "archive", port = {orthancs} }}\n'
    )
    relay.configure(text + ROUTE)
    received(relay, 1)
    with serving(relay) as port:
        known = {"relay": {"AET": "DCMRELAY", "Host": "127.0.0.1", "Port": port, "AllowStorageCommitment": True}}
        with orthanc(tmp_path, "CT1", DicomPort=orthancs, DicomModalities=known) as pacs:
            question = json.dumps({"DicomInstances": [{"SOPClassUID": CT, "SOPInstanceUID": uid(1)}]}).encode()
            answer = json.loads(pacs.ask("POST", "/modalities/relay/storage-commitment", question))
            eventually(lambda: len(list(active_commitments(relay.spool))) == 1 or None)
            look(relay, looking(relay))
            report = json.loads(pacs.get(answer["Path"]))
    assert report["Status"] == "Success"
    assert [it["SOPInstanceUID"] for it in report["Success"]] == [uid(1)]


def test_with_verify_only_what_was_found_there_is_committed(relay: Bench, port: int, modality: Modality) -> None:
    text = RELAY.replace(
        'ae_title = "CT1"\n', f'ae_title = "CT1"\ncommitment = {{ by = "archive", port = {modality.port} }}\n'
    )
    relay.configure(text.replace("port = 104\n", 'port = 104\nverify = "c-find"\n') + ROUTE)
    delivery = received(relay, 1, deliver=False)
    relay.look(delivery, lambda claim: claim.record({"delivered": {"0": "0000"}}) or Done(outcome="delivered"))
    asked(port, request_of("1.9.1", *refs(1)))
    look(relay, ours := looking(relay))
    assert modality.heard == []
    n = relay.spool.deliveries.newest(delivery)
    assert n is not None
    relay.spool.deliveries.append(
        delivery, type(n)(n=n.n + 1, stage="verify", status="final", at=relay.now, facts={"verified": {"0": "C-FIND"}})
    )
    look(relay, ours)
    assert [committed(ds) for _, ds in modality.heard] == [{uid(1)}]


@pytest.mark.parametrize(
    ("standing", "reason", "waits"),
    [
        (None, 0x0112, True),
        (Standing("1.2", is_there=False), 0x0110, True),
        (Standing("1.3", is_there=True), 0x0119, False),
        (Standing("1.2", is_there=True), None, False),
    ],
)
def test_each_instance_fails_for_one_reason(standing: Standing | None, reason: int | None, waits: bool) -> None:
    found = failures([("1.2", "1.2.3")], {} if standing is None else {"1.2.3": standing})
    assert found == ({} if reason is None else {"1.2.3": reason})
    assert may_change(found) is waits


@pytest.mark.parametrize(
    ("references", "action", "status"),
    [([], 1, 0x0115), (refs(1), 2, 0x0123), (refs(*range(20_001)), 1, 0x0213)],
    ids=["nothing", "another action", "too many"],
)
def test_a_question_that_cannot_be_answered_is_refused_and_leaves_nothing(
    relay: Bench, port: int, references: list[tuple[str, str]], action: int, status: int
) -> None:
    assert asked(port, request_of("1.9.1", *references), action=action) == status
    assert not list(active_commitments(relay.spool))
