"""The campaign's judge sees each fault that it is there for."""

from datetime import timedelta
from pathlib import Path

import pytest

from shared.spool.states import claimed
from tests.campaign.__main__ import is_bad
from tests.campaign.accounts import Account, account
from tests.campaign.load import CANARY, Sent, study
from tests.campaign.report import table
from tests.campaign.rest import unexplained
from tests.consumers.bench import bench, data_set
from tests.system.relay import Relay

HEAD = b"\0" * 128 + b"DICM" + b"\x02\x00\x00\x00UL\x04\x00\x00\x00\x00\x00"
File = tuple[str, bytes]


def sent(source: str = "MR1") -> list[Sent]:
    return study(source, 2)


def at(where: str, content: bytes) -> File:
    return where, HEAD + content


def clean(it: Sent) -> bytes:
    """As if de-identified: nothing of it but the pixels."""
    return b"nobody" + it.content[-2048:]


def test_what_arrived_everywhere_it_was_due_is_in_order() -> None:
    [mr, ct] = sent()[0], sent("CT1")[0]
    files = [at("neuro", mr.content), at("archive", ct.content), at("backup", ct.content), at("reading", clean(ct))]
    assert account([mr, ct], files) == Account(acknowledged=2, arrived=4)


@pytest.mark.parametrize("missing", ["archive", "backup", "reading"])
def test_what_one_destination_lacks_is_lost(missing: str) -> None:
    ct = sent("CT1")[0]
    files = [at("archive", ct.content), at("backup", ct.content), at("reading", clean(ct))]
    assert account([ct], [file for file in files if file[0] != missing]).lost == 1


def test_another_byte_is_corrupt() -> None:
    mr = sent()[0]
    assert account([mr], [at("neuro", mr.content.replace(b"CT", b"MR", 1))]).corrupt == 1
    assert account([mr], [at("neuro", mr.content[:-1] + b"?")]).corrupt == 1


def test_other_bytes_at_a_second_delivery_of_what_was_de_identified_are_corrupt() -> None:
    ct = sent("CT1")[0]
    files = [at("reading", clean(ct)), at("reading", b"some" + clean(ct))]
    assert (account([ct], files).corrupt, account([ct], files).duplicated) == (1, 1)


def test_a_name_at_the_de_identified_destination_is_the_wrong_form() -> None:
    ct = sent("CT1")[0]
    assert account([ct], [at("reading", ct.content)]).wrong_form == 1
    assert account([ct], [at("reading", CANARY.encode() + clean(ct))]).wrong_form == 1


def test_an_instance_of_another_source_is_at_the_wrong_place() -> None:
    [mr, ct] = sent()[0], sent("CT1")[0]
    assert account([mr, ct], [at("archive", mr.content), at("neuro", ct.content)]).wrong_place == 2


def test_a_second_copy_is_a_duplicate() -> None:
    mr = sent()[0]
    found = account([mr], [at("neuro", mr.content)] * 3)
    assert (found.duplicated, found.again) == (2, [("neuro", mr.sha256, 3)])


ROW = {
    "kind": "kills", "seed": 1, "commit": "1234567", "at": "2026-03-04T12:00:00+00:00", "seconds": 60.0,
    "faults": {"kills": 3, "images": 1}, "recovery_seconds": 1.0,
    **Account(acknowledged=3000, arrived=6000).row(), "manual": 0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("more", "bad"),
    [
        ({}, False), ({"duplicated": 9}, False), ({"lost": 1}, True), ({"corrupt": 1}, True), ({"wrong_form": 1}, True),
        ({"wrong_place": 1}, True), ({"manual": 1}, True), ({"unexplained": 1}, True),
        ({"failed": "it did not rest"}, True), ({"faults": {"image_lost": 1}}, True),
        ({"kind": "power-control", "lost": 5}, False), ({"faults": {"zombies": 2}, "duplicated": 2}, False),
        ({"faults": {"zombies": 2}, "duplicated": 3}, True),
    ],
)  # fmt: skip
def test_a_run_that_found_something_ends_with_an_error(more: dict[str, object], *, bad: bool) -> None:
    assert is_bad(ROW | more) is bad


def test_the_table_adds_up_and_the_control_is_left_out_of_the_sum() -> None:
    text = table([ROW, ROW, ROW | {"kind": "power-control", "lost": 7}, ROW | {"failed": "it did not rest"}])
    assert "| kills | 2 | 6 kills, 2 images | 6000 | 12000 | 0 |" in text
    assert "Faults: 6 kills, 2 power-cut images," in text
    assert "No loss among 6000: fewer than 5.0e-04" in text
    assert "`kills` with seed 1 did not end: it did not rest" in text


def test_copies_that_nobody_began_are_found(tmp_path: Path) -> None:
    it = bench(tmp_path)
    delivery = it.delivery(part := it.part(data_set()))
    it.spool.put_json(f"parts/{part}/decision.json", {"deliveries": [{"id": delivery}]})
    [sha256] = [one.sha256 for one in it.manifest(part).instances]
    state = it.spool.deliveries.newest(delivery)
    assert state is not None
    for owner in ("one", "one", "other"):
        state = claimed(state, owner=owner, now=it.now, lease=timedelta(minutes=1), faults=0)
        it.spool.deliveries.append(delivery, state)
    relay = Relay(it.folder)
    assert [unexplained(relay, [("archive", sha256, copies)]) for copies in (2, 3)] == [0, 1]
    assert unexplained(relay, [("backup", sha256, 2)]) == 2
