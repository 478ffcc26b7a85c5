"""Modalities that delete nothing until somebody commits to it ask a whole relay, and are told what is safe.

One relay for all, and two archives: `archive`, a storescp whose success is all there is to go by, and `pledging`, which
answers storage commitment in its turn. Each test has modalities, studies and questions of its own.
"""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydicom.uid import CTImageStorage, generate_uid

from tests.modality import Modality, asked, committed, failed, listening, request_of
from tests.peers import StoreScp, store_scp
from tests.support import eventually
from tests.system.images import ct_study, uid_of
from tests.system.pledging import Pledging, pledging
from tests.system.relay import Relay, destination, relay_in, route

SOURCE = """
[[source]]
name = "{name}"
ae_title = "{title}"
hosts = ["127.0.0.0/8"]
called = ["DCMRELAY", "OLDPACS"]
commitment = {{ by = "{by}", port = {port}, within = "{within}" }}
"""
ASKING = {
    "mr-1": ("archive", "1h"),
    "mr-2": ("archive", "1h"),
    "mr-3": ("archive", "1h"),
    "us-1": ("archive", "6s"),
    "xa-1": ("pledging", "1h"),
}
TRANSLATED = str.maketrans("", "", "-")
SECONDS = 40


@dataclass
class Site:
    """A relay, its archives, and modalities by the name of their source."""

    folder: Path
    relay: Relay
    archive: StoreScp
    pledging: Pledging
    modalities: dict[str, Modality] = field(default_factory=dict)

    def sends(self, source: str, count: int, called: str = "DCMRELAY") -> set[str]:
        """A modality sends a study; returns its SOP Instance UIDs."""
        files = ct_study(self.folder / generate_uid(), count)
        self.relay.send(files, self.modalities[source].ae_title, called)
        return {uid_of(file) for file in files}

    def asks(self, source: str, uids: set[str], called: str = "DCMRELAY") -> str:
        """A modality asks, on an association of its own, and is answered at once; returns the Transaction UID."""
        transaction = generate_uid()
        question = request_of(transaction, *((str(CTImageStorage), uid) for uid in sorted(uids)))
        assert asked(self.relay.port, question, calling=self.modalities[source].ae_title, called=called) == 0
        return transaction

    def archived(self) -> set[str]:
        """SOP Instance UIDs that the archive has."""
        return {file.name.split(".", 1)[1] for file in self.archive.files()}

    @contextmanager
    def archive_down(self) -> Iterator[None]:
        self.archive.stop()
        try:
            yield
        finally:
            self.archive.start()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, module_broker: str) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("commitment")
    with ExitStack() as stack:
        archive = stack.enter_context(store_scp(folder))
        relay = stack.enter_context(relay_in(folder / "relay", module_broker))
        pledges = stack.enter_context(pledging(Pledging(relay.port)))
        found = Site(folder / "sent", relay, archive, pledges)
        sources = ""
        for name, (by, within) in ASKING.items():
            title = name.upper().translate(TRANSLATED)
            ours = found.modalities[name] = stack.enter_context(listening(Modality(title)))
            sources += SOURCE.format(name=name, title=title, by=by, port=ours.port, within=within)
            sources += route(f"of-{name}", by, more=f'match = {{ source = "{name}" }}')
        relay.configure(
            destination("archive", archive.port)
            + destination("pledging", pledges.port, 'verify = "storage-commitment"'),
            sources + route("of-ct-1", "archive"),
        )
        relay.start()
        yield found
        relay.stop()


def test_a_modality_is_told_on_an_association_of_ours_once_the_archive_has_every_instance(site: Site) -> None:
    ours = site.modalities["mr-1"]
    ours.witness = site.archived
    sent = site.sends("mr-1", 3, called="OLDPACS")
    transaction = site.asks("mr-1", sent, called="OLDPACS")
    [(event, report)] = eventually(lambda: ours.heard, SECONDS)
    assert (event, str(report.TransactionUID)) == (1, transaction)
    assert (committed(report), failed(report)) == (sent, {})
    assert ours.callers == ["OLDPACS"]
    assert ours.roles == [(False, True)], "the requestor of the association is its SCP"
    [there] = ours.witnessed
    assert isinstance(there, set)
    assert sent <= there


def test_while_the_archive_is_down_nothing_is_said_and_no_kill_loses_the_question(site: Site) -> None:
    ours, relay = site.modalities["mr-2"], site.relay
    before = site.sends("mr-2", 1)
    eventually(lambda: before <= site.archived())
    with site.archive_down():
        ours.witness = site.archived
        missing = site.sends("mr-2", 2)
        questions = [site.asks("mr-2", before | missing), site.asks("mr-2", missing)]
        told = site.asks("mr-2", before)
        eventually(lambda: ours.heard, SECONDS)
        for worker in (["ingress"], ["janitor"], ["sender", "archive"]):
            relay.kill(*worker)
        relay.kill_up()
        eventually(lambda: not relay.pids(), 15)
        relay.start()
        again = site.asks("mr-2", before)
        eventually(lambda: len(ours.heard) >= 2, SECONDS)
        assert [str(report.TransactionUID) for _, report in ours.heard] == [told, again]
    eventually(lambda: len(ours.heard) == 4, SECONDS)
    late = {str(report.TransactionUID): (event, committed(report)) for event, report in ours.heard[2:]}
    assert late == {questions[0]: (1, before | missing), questions[1]: (1, missing)}
    assert all(isinstance(there, set) and missing <= there for there in ours.witnessed[2:])


def test_what_the_archive_never_got_in_time_and_what_nobody_sent_fail_each_with_its_reason(site: Site) -> None:
    ours = site.modalities["us-1"]
    there = site.sends("us-1", 1)
    eventually(lambda: there <= site.archived())
    with site.archive_down():
        missing, foreign = site.sends("us-1", 2), {str(generate_uid())}
        transaction = site.asks("us-1", there | missing | foreign)
        [(event, report)] = eventually(lambda: ours.heard, SECONDS)
    assert (event, str(report.TransactionUID)) == (2, transaction)
    assert committed(report) == there
    assert failed(report) == dict.fromkeys(missing, 0x0110) | dict.fromkeys(foreign, 0x0112)


def test_an_answer_cut_off_by_a_kill_is_said_again(site: Site) -> None:
    ours = site.modalities["mr-3"]
    hears, may_answer = threading.Event(), threading.Event()

    def hang() -> None:
        hears.set()
        may_answer.wait(SECONDS)

    ours.witness = hang
    sent = site.sends("mr-3", 1)
    transaction = site.asks("mr-3", sent)
    assert hears.wait(SECONDS)
    site.relay.kill("janitor")
    may_answer.set()
    eventually(lambda: len(ours.heard) == 2, SECONDS)
    assert [(event, str(it.TransactionUID), committed(it)) for event, it in ours.heard] == [(1, transaction, sent)] * 2


def test_a_source_without_commitment_is_refused_counted_and_named_with_the_remedy(site: Site) -> None:
    assert asked(site.relay.port, request_of("1.9.1", (str(CTImageStorage), "1.2.3")), calling="CT1") is None
    counted = 'dcmrelay_commitments_total{outcome="refused",source="ct-1"} 1.0'
    assert counted in site.relay.metrics()["ingress"]
    assert "ct-1 asks for storage commitment; add commitment = {" in site.relay.run("status").stdout


def test_with_verify_a_modality_is_told_only_when_the_archive_has_committed(site: Site) -> None:
    ours, archive = site.modalities["xa-1"], site.pledging
    ours.witness = lambda: set(archive.pledged)
    sent = site.sends("xa-1", 2)
    transaction = site.asks("xa-1", sent)
    eventually(lambda: archive.questions, SECONDS)
    assert archive.stored == sent
    assert archive.answer(yes=False) == 0
    eventually(lambda: len(archive.questions) == 2, SECONDS)
    first, second = archive.questions
    assert (first[1], second[1]) == (sent, sent)
    assert first[0] != second[0]
    assert ours.heard == []
    assert archive.answer(yes=True) == 0
    [(event, report)] = eventually(lambda: ours.heard, SECONDS)
    assert (event, str(report.TransactionUID), committed(report)) == (1, transaction, sent)
    assert ours.witnessed == [sent]
