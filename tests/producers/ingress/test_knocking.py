"""Refused callers are remembered: who, from where, why, how often; a storm of them costs next to nothing."""

from pathlib import Path

import pytest

from producers.ingress.knocking import Knocking
from shared.dimse import Proposal
from shared.errors import StorageError
from shared.spool.knocks import MOST, Knock, knocks
from shared.spool.spool import Spool
from tests.peers import echoscu
from tests.producers.ingress.running import ingress


class Watch:
    """A clock to set."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path)


@pytest.fixture
def watch() -> Watch:
    return Watch()


def caller(calling: str = "NEW", host: str = "10.0.0.1", certificate: frozenset[str] | None = None) -> Proposal:
    return Proposal(calling_ae_title=calling, called_ae_title="RELAY", host=host, certificate=certificate)


def remembered(spool: Spool) -> list[tuple[str, str, int]]:
    return sorted((it.calling_ae_title, it.why, it.times) for it in knocks(spool))


def test_a_refused_caller_is_remembered_with_the_reason(tmp_path: Path) -> None:
    with ingress(tmp_path) as ours:
        assert echoscu(ours.port, calling="NOBODY").returncode != 0
        (knock,) = knocks(ours.spool)
    assert (knock.calling_ae_title, knock.called_ae_title, knock.host) == ("NOBODY", "DCMRELAY", "127.0.0.1")
    assert (knock.why, knock.times, knock.fingerprint) == ("calling", 1, "")


def test_the_same_caller_is_written_once_a_minute_and_counted_always(spool: Spool, watch: Watch) -> None:
    knocking = Knocking(spool, watch)
    for _ in range(50):
        knocking.note(caller(), "calling")
    assert remembered(spool) == [("NEW", "calling", 1)]
    watch.now += 60
    knocking.note(caller(), "calling")
    assert remembered(spool) == [("NEW", "calling", 51)]


def test_callers_that_come_together_are_each_written(spool: Spool, watch: Watch) -> None:
    knocking = Knocking(spool, watch)
    for _ in range(2):
        for n in range(20):
            knocking.note(caller(f"AE{n}"), "calling")
        knocking.note(caller("LATE"), "calling")
        assert len(remembered(spool)) == 20
    watch.now += 1
    knocking.note(caller("LATE"), "calling")
    assert ("LATE", "calling", 3) in remembered(spool)


def test_of_very_many_callers_one_a_second_is_written(spool: Spool, watch: Watch) -> None:
    knocking = Knocking(spool, watch)
    for n in range(5000):
        watch.now += 0.01
        knocking.note(caller(f"AE{n}"), "calling")
    assert 60 <= len(remembered(spool)) <= 71
    assert len(knocking._untold) <= MOST
    assert len(knocking._again) <= MOST


def test_when_too_many_are_remembered_the_one_silent_longest_is_forgotten(spool: Spool, watch: Watch) -> None:
    knocking = Knocking(spool, watch)
    for n in range(MOST + 3):
        watch.now += 61
        knocking.note(caller(f"AE{n}"), "host")
        knocking.note(caller("AE0"), "host")
    titles = {it.calling_ae_title for it in knocks(spool)}
    assert len(titles) == MOST
    assert f"AE{MOST + 2}" in titles
    assert "AE1" not in titles


def test_what_a_caller_says_is_in_no_file_name(spool: Spool, watch: Watch) -> None:
    Knocking(spool, watch).note(caller("../../x"), "calling")
    (name,) = spool.store.list("knocked")
    assert name.removesuffix(".json").isalnum()
    assert [it.calling_ae_title for it in knocks(spool)] == ["../../x"]


def test_a_caller_by_tls_is_remembered_by_its_fingerprint(spool: Spool, watch: Watch) -> None:
    shown = frozenset(("sha256:" + "a" * 64, "ct-1.example"))
    Knocking(spool, watch).note(caller(certificate=shown), "certificate")
    assert [it.fingerprint for it in knocks(spool)] == ["sha256:" + "a" * 64]


def test_a_full_disk_does_not_stop_the_refusing(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_spool: Spool, _knock: Knock) -> None:
        raise StorageError("no room")

    monkeypatch.setattr("producers.ingress.knocking.remember", refuse)
    Knocking(spool).note(caller(), "calling")
    assert remembered(spool) == []
