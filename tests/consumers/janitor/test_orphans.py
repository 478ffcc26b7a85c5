"""What killed processes leave is found and cleared once it is old; what may hold an instance is never deleted."""

import os
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from consumers.janitor.orphans import GRACE, clear_orphans
from consumers.janitor.sweep import sweep
from shared import owner
from shared.forms import rendition_id
from shared.spool.commitments import active_commitments
from shared.spool.commitments import marker as commitment_marker
from shared.spool.deliveries import marker
from shared.spool.known import SERIES, is_as_known, note_series, parts_of_series
from shared.spool.parts import Part, active_parts, read_part
from shared.spool.pins import Pin, live_pins, put_pin, study_pins
from shared.spool.renditions import output_name
from shared.spool.runs import Run
from shared.spool.spool import Spool
from tests.shared.spool.examples import (
    CONFIG,
    FORM,
    STUDY,
    Clock,
    closed,
    dead_owner,
    delivered,
    hold,
    new_spool,
    opened,
    routed,
)

FOLLOW = timedelta(days=7)


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Spool:
    monkeypatch.setattr(os, "fsync", lambda _: None)
    return new_spool(tmp_path, Clock())


def age(spool: Spool, name: str, by: timedelta = GRACE) -> None:
    """Lets a name, and all below it, have been changed last so long ago."""
    path = spool.store.path(name)
    at = (spool.now() - by).timestamp()
    for one in (path, *path.rglob("*")):
        os.utime(one, (at, at))


def found(spool: Spool) -> dict[str, int]:
    return dict(+clear_orphans(spool, FOLLOW))


def everything(spool: Spool) -> list[str]:
    root = spool.store.root
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_a_spool_at_work_holds_no_orphans(spool: Spool) -> None:
    opened(spool, f"{STUDY}.1", run=Run(spool).id)
    routed(spool, closed(spool, study="1.1"), "archive", form=FORM)
    hold(spool, closed(spool, study="1.2").id)
    delivered(spool, *routed(spool, closed(spool, study="1.3"), "archive"))
    sweep(spool, CONFIG)
    for name in ("parts", "deliveries", "active", "done"):
        age(spool, name)
    before = everything(spool)
    assert found(spool) == {}
    assert everything(spool) == before


def test_a_draft_that_nobody_writes_any_more_goes_after_a_day(spool: Spool) -> None:
    for name in ("other.1.2.token", "not-ours"):
        spool.store.put_new(f"tmp/{name}", b"half an instance")
        age(spool, f"tmp/{name}", GRACE * 0.99)
    assert found(spool) == {}
    age(spool, "tmp/other.1.2.token")
    assert found(spool) == {"draft": 1}
    assert spool.store.list("tmp") == ["not-ours"]


def test_a_run_that_was_killed_goes_and_one_that_lives_stays(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    alive = Run(spool)
    with monkeypatch.context() as patch:
        dead = dead_owner()
        patch.setattr(owner, "this_process", lambda: dead)
        killed = Run(spool)
    for run in (alive, killed):
        age(spool, f"runs/{run.id}")
    assert found(spool) == {"run": 1}
    assert spool.store.list("runs") == [alive.id]


def pin(spool: Spool, study: str, at: datetime) -> str:
    folder = study_pins(study, "DCMRELAY")
    put_pin(spool, folder, Pin(route="all", epoch=0, made_at=at, choices=(), urgent=False, config=CONFIG))
    return folder


def test_a_pin_goes_when_it_binds_nobody_any_more(spool: Spool) -> None:
    now = spool.now()
    old, busy = pin(spool, "1.1", now - FOLLOW - GRACE), pin(spool, "1.2", now - FOLLOW - GRACE)
    young = pin(spool, "1.3", now - FOLLOW)
    renewed = pin(spool, "1.4", now - FOLLOW * 3)
    pin(spool, "1.4", now)
    opened(spool, "1.2.9", study="1.2")
    assert found(spool) == {"pin": 1}
    assert {f"pins/{name}" for name in spool.store.list("pins")} == {busy, young, renewed}
    assert live_pins(spool, old, FOLLOW) == {}


def test_what_is_known_of_a_study_goes_when_nothing_is_compared_with_it(spool: Spool) -> None:
    moments = (FOLLOW + GRACE, FOLLOW)
    for study, ago in zip(("1.1", "1.2"), moments, strict=True):
        spool_then = Spool(spool.store.root, clock=lambda ago=ago: spool.now() - ago)  # type: ignore[misc]
        assert is_as_known(spool_then, study, "PatientID", "4711", FOLLOW)
    part = closed(spool)
    for one in (part.id, "p" + "0" * 32):
        note_series(spool, "1.5", one)
        age(spool, f"{SERIES}/{spool.store.list(SERIES)[0]}/{one}")
    assert found(spool) == {"known": 2}
    assert len(spool.store.list("known/studies")) == 1
    assert parts_of_series(spool, "1.5") == [part.id]


def test_a_rendition_that_no_delivery_asks_for_goes(spool: Spool) -> None:
    part = closed(spool)
    routed(spool, part, "reading", form=FORM)
    wanted, orphan = rendition_id(part.id, FORM), rendition_id("p" + "0" * 32, FORM)
    for rendition in (wanted, orphan):
        spool.store.put_new(output_name(rendition, 0), b"de-identified")
        age(spool, f"renditions/{rendition}")
    assert found(spool) == {"rendition": 1}
    assert spool.store.list("renditions") == [wanted]


def test_while_a_delivery_cannot_be_read_no_rendition_is_touched(spool: Spool) -> None:
    [delivery] = routed(spool, closed(spool), "reading", form=FORM)
    spool.store.put_new(output_name(rendition_id("p" + "0" * 32, FORM), 0), b"whose?")
    age(spool, "renditions")
    spool.store.path(f"deliveries/{delivery}/00000000.json").write_bytes(b"{")
    assert found(spool) == {}
    assert len(spool.store.list("renditions")) == 1


def test_a_marker_whose_maker_was_killed_goes_after_a_day(spool: Spool) -> None:
    part = Part(
        id="p" + "1" * 32, source="ct-1", calling_ae_title="CT1", called_ae_title="DCMRELAY",
        study_instance_uid="1.1", run="i0", opened_at=spool.now(),
    )  # fmt: skip
    names = (part.marker, marker("d" + "1" * 32), commitment_marker("c" + "1" * 32))
    for name in names:
        spool.store.put_new(name, b"")
        age(spool, name, GRACE * 0.99)
    assert found(spool) == {}
    for name in names:
        age(spool, name)
    assert found(spool) == {"marker": 3}
    assert list(active_parts(spool)) == []
    assert list(active_commitments(spool)) == []


def test_a_unit_that_no_sweep_sees_is_made_seen_again(spool: Spool) -> None:
    part = closed(spool)
    [delivery] = routed(spool, part, "archive")
    spool.store.delete(part.marker)
    spool.store.delete(marker(delivery))
    age(spool, f"parts/{part.id}")
    assert found(spool) == {"unlisted": 2}
    assert list(active_parts(spool)) == [part.id]
    assert spool.store.list("active/deliveries") == [delivery]
    assert found(spool) == {}


def test_a_removal_whose_note_was_lost_is_finished(spool: Spool) -> None:
    part = closed(spool)
    delivered(spool, *routed(spool, part, "archive"))
    sweep(spool, CONFIG)
    spool.put_json(f"tombstones/{part.id}.json", {})
    spool.store.delete(f"done/2026-03-04/{part.id}")
    assert found(spool) == {"unlisted": 1}
    assert spool.store.list("done/2026-03-04") == [part.id]


def test_a_folder_that_nothing_says_anything_about_is_counted_and_kept(spool: Spool) -> None:
    part = closed(spool)
    spool.store.path(f"parts/{part.id}/part.json").unlink()
    before = everything(spool)
    assert found(spool) == {}
    age(spool, f"parts/{part.id}")
    assert found(spool) == {"folder": 1}
    assert everything(spool) == before
    assert read_part(spool, part.id) is None
