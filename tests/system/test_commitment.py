"""Modalities that delete nothing until somebody commits to it ask a whole relay, and are told what is safe.

One relay for all, and three archives: `archive`, a storescp whose success is all there is to go by, and two that answer
storage commitment in their turn, `pledging` when a test lets it, and Orthanc. Each test has modalities, studies and
questions of its own.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from pynetdicom import AE
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance  # type: ignore

from shared.spool.commitments import active_commitments
from shared.spool.spool import Spool
from tests.modality import Modality, asked, committed, failed, listening, request_of
from tests.peers import StoreScp, orthanc, store_scp
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
    "mr-4": ("archive", "1h"),
    "us-1": ("archive", "1s"),
    "xa-1": ("pledging", "1h"),
    "xa-2": ("orthanc", "1h"),
}
CT = str(CTImageStorage)
COMMITS = 'verify = "storage-commitment"'
SECONDS = 40


@dataclass
class Site:
    """A relay, its archives, and modalities by the name of their source."""

    folder: Path
    relay: Relay
    archive: StoreScp
    pledging: Pledging
    modalities: dict[str, Modality] = field(default_factory=dict)

    def makes(self, count: int) -> list[Path]:
        """A new study."""
        return ct_study(self.folder / generate_uid(), count)

    def sends(self, source: str, count: int, called: str = "DCMRELAY", times: int = 1) -> set[str]:
        """A modality sends a new study, each time whole; returns its SOP Instance UIDs."""
        files = self.makes(count)
        for _ in range(times):
            self.relay.send(files, self.modalities[source].ae_title, called)
        return {uid_of(file) for file in files}

    def brings(self, source: str, count: int) -> set[str]:
        """A modality sends a new study, and the archive gets it."""
        uids = self.sends(source, count)
        eventually(lambda: uids <= self.archived(), SECONDS)
        self.relay.comes_to_rest()
        return uids

    def asks(self, source: str, uids: set[str], called: str = "DCMRELAY") -> str:
        """A modality asks, on an association of its own, and is answered at once; returns the Transaction UID."""
        transaction = generate_uid()
        question = request_of(transaction, *((CT, uid) for uid in sorted(uids)))
        assert asked(self.relay.port, question, calling=self.modalities[source].ae_title, called=called) == 0
        return transaction

    def archived(self) -> set[str]:
        """SOP Instance UIDs that the archive has."""
        return {file.name.split(".", 1)[1] for file in self.archive.files()}

    def unanswered(self) -> list[str]:
        """Requests of which it is not on record that they were answered."""
        return list(active_commitments(Spool(self.relay.data / "spool")))

    def ingress_metrics(self) -> str:
        """What the ingress counts; nothing while any worker is only starting."""
        try:
            return self.relay.metrics()["ingress"]
        except OSError:
            return ""

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
            title = name.upper().replace("-", "")
            ours = found.modalities[name] = stack.enter_context(listening(Modality(title)))
            sources += SOURCE.format(name=name, title=title, by=by, port=ours.port, within=within)
            sources += route(f"of-{name}", by, more=f'match = {{ source = "{name}" }}')
        known = {"relay": {"AET": "DCMRELAY", "Host": "127.0.0.1", "Port": relay.port, "AllowStorageCommitment": True}}
        pacs = stack.enter_context(orthanc(folder, DicomModalities=known))
        destinations = destination("archive", archive.port)
        destinations += destination("pledging", pledges.port, COMMITS) + destination("orthanc", pacs.port, COMMITS)
        relay.configure(destinations, sources + route("of-ct-1", "archive"))
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
    before = site.brings("mr-2", 1)
    with site.archive_down():
        ours.witness = site.archived
        missing = site.sends("mr-2", 2, times=2)
        questions = [site.asks("mr-2", before | missing), site.asks("mr-2", missing)]
        told = site.asks("mr-2", before)
        eventually(lambda: len(site.unanswered()) == len(questions), SECONDS)
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
    there = site.brings("us-1", 1)
    with site.archive_down():
        missing, foreign = site.sends("us-1", 2), {str(generate_uid())}
        eventually(lambda: any(it and it.tries for it in site.relay.unfinished("archive")))
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


def test_a_modality_that_stays_on_the_association_it_sends_on_is_told_on_another(site: Site) -> None:
    ours, files = site.modalities["mr-4"], site.makes(2)
    sent, transaction = {uid_of(file) for file in files}, generate_uid()
    ae = AE(ours.ae_title)
    ae.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    ae.add_requested_context(StorageCommitmentPushModel)
    assoc = ae.associate("127.0.0.1", site.relay.port, ae_title="DCMRELAY")
    assert [assoc.send_c_store(dcmread(file)).Status for file in files] == [0, 0]
    question = request_of(transaction, *((CT, uid) for uid in sent))
    status, _ = assoc.send_n_action(question, 1, StorageCommitmentPushModel, StorageCommitmentPushModelInstance)
    assert status.Status == 0
    [(event, report)] = eventually(lambda: ours.heard, SECONDS)
    assert assoc.is_established
    assoc.release()
    assert (event, str(report.TransactionUID), committed(report)) == (1, transaction, sent)


def test_a_source_without_commitment_is_refused_counted_and_named_with_the_remedy_which_mends_it(site: Site) -> None:
    relay = site.relay
    with listening(Modality("CT1")) as ours:
        site.modalities["ct-1"] = ours
        assert asked(relay.port, request_of("1.9.1", (CT, "1.2.3")), calling="CT1") is None
        counted = 'dcmrelay_commitments_total{outcome="refused",source="ct-1"} 1.0'
        eventually(lambda: counted in site.ingress_metrics(), SECONDS)
        assert "ct-1 asks for storage commitment; add commitment = {" in relay.run("status").stdout
        sent = site.sends("ct-1", 1)
        text = relay.config.read_text(encoding="utf-8")
        remedy = f'name = "ct-1"\ncommitment = {{ by = "archive", port = {ours.port}, within = "20s" }}'
        relay.config.write_text(text.replace('name = "ct-1"', remedy), encoding="utf-8")
        os.kill(relay.pids("up")[0], signal.SIGHUP)
        question = request_of("1.9.2", *((CT, uid) for uid in sent))
        eventually(lambda: asked(relay.port, question, calling="CT1") == 0)
        [(event, report)] = eventually(lambda: ours.heard, SECONDS)
    assert (event, committed(report), failed(report)) == (1, sent, {}), "what it sent since it asked in vain counts"
    assert "asks for storage commitment" not in relay.run("status").stdout


def test_a_modality_is_told_when_orthanc_has_committed(site: Site) -> None:
    sent = site.sends("xa-2", 2)
    site.asks("xa-2", sent)
    [(event, report)] = eventually(lambda: site.modalities["xa-2"].heard, SECONDS)
    assert (event, committed(report)) == (1, sent)
    [delivery] = site.relay.deliveries("orthanc")
    assert delivery["outcome"] == "delivered"


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
