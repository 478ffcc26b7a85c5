"""The anonymizer's consumer: renditions in chunks, the same whoever makes them, held rather than guessed."""

import errno
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from consumers.anonymizer import handler
from consumers.anonymizer.handler import Anonymizer
from shared.errors import StorageError
from shared.forms import RECEIVED, Form, rendition_id
from shared.messages import Bell
from shared.outcomes import Next
from shared.spool import renditions
from shared.spool.keys import edit_key_id
from shared.spool.parts import Instance
from shared.spool.pins import keep_edit
from shared.spool.renditions import output_name, put_proofs, read_proofs
from shared.spool.states import State
from tests.consumers.bench import ALL, RELAY, Bench, bench, data_set, data_sets, stored


@pytest.fixture
def relay(tmp_path: Path) -> Bench:
    return bench(tmp_path)


def after(relay: Bench, delivery: str) -> State:
    """The delivery's newest record after one look by a new anonymizer."""
    relay.look(delivery, Anonymizer(relay.spool, relay.config).handle)
    state = relay.spool.deliveries.newest(delivery)
    assert state is not None
    return state


def outputs(relay: Bench, part: str, form: Form) -> dict[str, bytes]:
    """Every file of a rendition, proofs too."""
    root = relay.spool.store.path(f"renditions/{rendition_id(part, form)}")
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_part_is_rendered_and_goes_on_to_its_destination(relay: Bench) -> None:
    part, form = relay.part(*data_sets(3)), relay.form()
    delivery = relay.delivery(part, form=form)
    said = relay.look(delivery, Anonymizer(relay.spool, relay.config).handle)
    assert [(ring.routing_key, ring.bell) for ring in said.rings] == [("send.archive", Bell(unit=delivery, n=2))]
    ds = dcmread(relay.spool.store.path(output_name(rendition_id(part, form), 0)))
    assert ds.PatientIdentityRemoved == "YES"
    assert ds.PatientName != "CANARY^PATIENT"


def test_the_proof_tells_what_went_in_and_what_came_out(relay: Bench) -> None:
    part, form = relay.part(*data_sets(2)), relay.form()
    after(relay, relay.delivery(part, form=form))
    proofs = read_proofs(relay.spool, part, form, 0)
    assert proofs is not None
    assert [proof.input_sha256 for proof in proofs] == [it.sha256 for it in relay.manifest(part).instances]
    for proof in proofs:
        assert proof.made is not None
        made = stored_again(relay, proof.made.file, proof.made.offset)
        assert (made.sha256, made.size) == (proof.made.sha256, proof.made.size)


def test_two_workers_at_one_rendition_make_the_same_bytes(relay: Bench, tmp_path: Path) -> None:
    part, form = relay.part(*data_sets(20)), relay.form()
    deliveries = [relay.delivery(part, destination, form=form) for destination in ("archive", "reading")]
    gate = threading.Barrier(2)

    def race(delivery: str) -> None:
        gate.wait()
        relay.look(delivery, Anonymizer(relay.spool, relay.config).handle)

    threads = [threading.Thread(target=race, args=(delivery,)) for delivery in deliveries]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    raced = outputs(relay, part, form)
    assert [relay.spool.deliveries.newest(delivery).stage for delivery in deliveries] == ["send", "send"]  # type: ignore[union-attr]
    assert len(raced) == 21
    for name in raced:
        relay.spool.store.delete(f"renditions/{rendition_id(part, form)}/{name}")
    assert Anonymizer(relay.spool, relay.config).handle(relay.claim(deliveries[0])) == Next("send")
    assert outputs(relay, part, form) == raced
    assert relay.spool.store.list("tmp") == []


def test_a_large_part_is_made_chunk_by_chunk_and_none_is_made_twice(
    relay: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (handler, renditions):
        monkeypatch.setattr(module, "CHUNK", 2)
    part, form = relay.part(*data_sets(5)), relay.form()
    delivery = relay.delivery(part, form=form)
    stages = [(state := after(relay, delivery)).stage for _ in range(3)]
    assert stages == ["render", "render", "send"]
    assert (state.tries, state.faults) == (0, 0)
    proofs = [read_proofs(relay.spool, part, form, chunk) for chunk in range(3)]
    assert [[proof.index for proof in chunk or ()] for chunk in proofs] == [[0, 1], [2, 3], [4]]


@pytest.mark.parametrize("batch", [1, 2, 32])
def test_a_disk_that_refuses_outputs_leaves_no_proof_and_no_draft_and_they_are_made_later(
    relay: Bench, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    def refuse(folder: Path) -> None:
        if folder.name == "instances":
            raise OSError(errno.EIO, "")

    monkeypatch.setattr(handler, "_BATCH", batch)
    part, form = relay.part(*data_sets(5)), relay.form()
    delivery = relay.delivery(part, form=form)
    anonymizer = Anonymizer(relay.spool, relay.config)
    claim = relay.claim(delivery)
    with monkeypatch.context() as patched:
        patched.setattr("shared.spool.store.sync_folder", refuse)
        with pytest.raises(StorageError):
            anonymizer.handle(claim)
    assert read_proofs(relay.spool, part, form, 0) is None
    assert (outputs(relay, part, form), relay.spool.store.list("tmp")) == ({}, [])
    assert anonymizer.handle(claim) == Next("send")
    assert len(outputs(relay, part, form)) == 6


def test_a_second_delivery_in_the_same_form_uses_the_rendition_that_is_there(relay: Bench) -> None:
    part, form = relay.part(*data_sets(2)), relay.form()
    after(relay, relay.delivery(part, form=form))
    before = {path: path.stat().st_ino for path in rendition(relay, part, form).rglob("*") if path.is_file()}
    assert after(relay, relay.delivery(part, "reading", form=form)).stage == "send"
    assert {path: path.stat().st_ino for path in before} == before


def test_one_unreadable_instance_is_held_and_the_others_are_made(relay: Bench) -> None:
    part = relay.part(*data_sets(3))
    broken = relay.spool.store.path(relay.manifest(part).instances[1].file)
    broken.write_bytes(broken.read_bytes()[:200] + b"\xff" * 40)
    form = relay.form()
    assert after(relay, relay.delivery(part, form=form)).stage == "send"
    proofs = read_proofs(relay.spool, part, form, 0)
    assert proofs is not None
    assert [proof.outcome for proof in proofs] == ["made", "held", "made"]
    assert "CANARY" not in proofs[1].reason
    assert not relay.spool.store.path(output_name(rendition_id(part, form), 1)).exists()
    assert relay.spool.store.list("tmp") == []


@pytest.mark.parametrize("damage", ["a flipped bit", "gone"])
def test_an_instance_damaged_on_disk_is_held_and_the_others_are_made(relay: Bench, damage: str) -> None:
    part, form = relay.part(*data_sets(2)), relay.form()
    file = relay.spool.store.path(relay.manifest(part).instances[0].file)
    received = file.read_bytes()
    file.unlink()
    if damage == "a flipped bit":
        file.write_bytes(received[:-1] + bytes([received[-1] ^ 1]))
    assert after(relay, relay.delivery(part, form=form)).stage == "send"
    proofs = read_proofs(relay.spool, part, form, 0)
    assert proofs is not None
    assert [proof.outcome for proof in proofs] == ["held", "made"]
    assert proofs[0].reason == "the bytes on disk are not those that were received"


def test_another_key_holds_the_delivery(relay: Bench) -> None:
    form = replace(relay.form(), key_id="0" * 16)
    assert_held(after(relay, relay.delivery(relay.part(data_set()), form=form)), "the key of profile 'basic' is not")


def test_a_key_that_is_gone_holds_the_delivery(relay: Bench) -> None:
    form = relay.form()
    relay.config.key_path(relay.config.profiles["basic"]).unlink()
    assert_held(after(relay, relay.delivery(relay.part(data_set()), form=form)), "restore it from a backup")


def test_another_engine_holds_the_delivery(relay: Bench) -> None:
    form = replace(relay.form(), engine_version=99)
    assert_held(after(relay, relay.delivery(relay.part(data_set()), form=form)), "engine 99, this is 1")


def test_a_profile_that_is_not_in_the_spool_holds_the_delivery(relay: Bench) -> None:
    form = replace(relay.form(), profile_hash="0" * 64)
    assert_held(after(relay, relay.delivery(relay.part(data_set()), form=form)), "is not in the spool")


def test_a_profile_is_followed_as_it_was_pinned_after_the_configuration_changed(relay: Bench) -> None:
    part, form = relay.part(data_set(PatientSex="F")), relay.form()
    relay.configure(RELAY + '[profile.basic.set_after]\nPatientSex = "O"\n' + ALL)
    assert after(relay, relay.delivery(part, form=form)).stage == "send"
    ds = dcmread(relay.spool.store.path(output_name(rendition_id(part, form), 0)))
    assert ds.get("PatientSex") != "O"


def test_a_foreign_proof_under_our_name_holds_the_delivery_instead_of_going_round(
    relay: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (handler, renditions):
        monkeypatch.setattr(module, "CHUNK", 1)
    part, form = relay.part(*data_sets(2)), relay.form()
    put_proofs(relay.spool, part, form, 0, [])
    name = f"renditions/{rendition_id(part, form)}/proof-000000.json"
    relay.spool.store.delete(name)
    relay.spool.put_json(name, {"part": "another", "form": {}, "instances": []})
    assert_held(after(relay, relay.delivery(part, form=form)), "about another part or form")


def test_a_long_chunk_keeps_its_lease(relay: Bench) -> None:
    part = relay.part(*data_sets(4))
    delivery = relay.delivery(part, form=relay.form())
    ours = Anonymizer(relay.spool, relay.config)
    make = ours._instance

    def slowly(*arguments: object) -> object:
        relay.now += timedelta(minutes=2)
        state = relay.spool.deliveries.newest(delivery)
        assert state is not None
        assert not relay.spool.is_abandoned(state)
        return make(*arguments)  # type: ignore[arg-type]

    ours._instance = slowly  # type: ignore[method-assign, assignment]
    relay.look(delivery, ours.handle)
    state = relay.spool.deliveries.newest(delivery)
    assert state is not None
    assert (state.status, state.stage) == ("waiting", "send")


def test_a_stop_in_mid_chunk_hands_the_delivery_back(relay: Bench) -> None:
    delivery = relay.delivery(relay.part(*data_sets(2)), form=relay.form())
    relay.stopping.set()
    state = after(relay, delivery)
    assert (state.status, state.stage, state.tries, state.faults) == ("waiting", "render", 0, 0)


def assert_held(state: State, words: str) -> None:
    assert (state.status, state.dead_letter_class) == ("held", "policy")
    assert words in state.reason


def rendition(relay: Bench, part: str, form: Form) -> Path:
    return relay.spool.store.path(f"renditions/{rendition_id(part, form)}")


def stored_again(relay: Bench, name: str, offset: int) -> Instance:
    """What a rendition's file would be as an instance of a part of its own."""
    content = relay.spool.store.path(name).read_bytes()[offset:]
    return stored(relay.spool, "p" + "0" * 32, content, "1.2", ("1.2", "1.2"))


EDITED = """
[edit.console]
set = { InstitutionName = "Hospital Example", AccessionNumber = "HX{AccessionNumber}" }
original_attributes = true
[[route]]
name = "all"
edit = "console"
to = ["archive"]
"""


def edited_form(relay: Bench, *, correction: bool = False, profile: Form = RECEIVED) -> Form:
    """Edited by [edit.console] as it is configured now, pinned as the router does."""
    edit = relay.config.edits["console"]
    keep_edit(relay.spool, edit)
    keeps = correction or profile.kind == "deidentified"
    key = "" if keeps else edit_key_id(relay.config, "console")
    kind = "edited" if profile == RECEIVED else profile.kind
    return replace(profile, kind=kind, edit="console", edit_hash=edit.hash, edit_key_id=key)


def made_of(relay: Bench, part: str, form: Form) -> list[Dataset]:
    after(relay, relay.delivery(part, form=form))
    proofs = read_proofs(relay.spool, part, form, 0) or []
    return [dcmread(relay.spool.store.path(it.made.file)) for it in proofs if it.made is not None]


def test_an_edited_instance_is_a_new_one_and_references_inside_the_study_follow(tmp_path: Path) -> None:
    relay = bench(tmp_path, RELAY + EDITED)
    first, second = data_sets(2, AccessionNumber="A1")
    inside, managed = Dataset(), Dataset()
    inside.ReferencedSOPClassUID, inside.ReferencedSOPInstanceUID = first.SOPClassUID, first.SOPInstanceUID
    managed.ReferencedSOPClassUID, managed.ReferencedSOPInstanceUID = "1.2.840.10008.3.1.2.3.3", "1.2.9"
    second.ReferencedImageSequence = [inside]
    second.ReferencedPerformedProcedureStepSequence = [managed]
    part = relay.part(first, second)
    one, two = made_of(relay, part, edited_form(relay))
    assert (one.AccessionNumber, one.InstitutionName) == ("HXA1", "Hospital Example")
    assert one.SOPInstanceUID not in (first.SOPInstanceUID, two.SOPInstanceUID)
    assert one.file_meta.MediaStorageSOPInstanceUID == one.SOPInstanceUID
    assert two.ReferencedImageSequence[0].ReferencedSOPInstanceUID == one.SOPInstanceUID
    assert two.ReferencedPerformedProcedureStepSequence[0].ReferencedSOPInstanceUID == "1.2.9"
    (original,) = one.OriginalAttributesSequence
    assert original.ReasonForTheAttributeModification == "COERCE"
    (former,) = original.ModifiedAttributesSequence
    assert (former.SOPInstanceUID, former.AccessionNumber) == (first.SOPInstanceUID, "A1")


def test_a_correction_keeps_the_sop_instance_uid(tmp_path: Path) -> None:
    relay = bench(tmp_path, RELAY + EDITED)
    part = relay.part(*data_sets(1, AccessionNumber="A1"))
    (made,) = made_of(relay, part, edited_form(relay, correction=True))
    assert made.SOPInstanceUID == data_set().SOPInstanceUID
    assert made.OriginalAttributesSequence[0].ReasonForTheAttributeModification == "CORRECT"


def test_a_rendition_with_an_edit_is_made_again_byte_for_byte(tmp_path: Path) -> None:
    relay = bench(tmp_path, RELAY + EDITED)
    part, form = relay.part(*data_sets(3, AccessionNumber="A1")), edited_form(relay)
    delivery = relay.delivery(part, form=form)
    after(relay, delivery)
    first = outputs(relay, part, form)
    for name in first:
        relay.spool.store.delete(f"renditions/{rendition_id(part, form)}/{name}")
    relay.now += timedelta(days=1)
    assert Anonymizer(relay.spool, relay.config).handle(relay.claim(delivery)) == Next("send")
    assert outputs(relay, part, form) == first


def test_an_instance_that_the_edit_cannot_make_right_is_held_and_the_others_go(tmp_path: Path) -> None:
    relay = bench(tmp_path, RELAY + EDITED)
    part, form = relay.part(data_set(1, AccessionNumber="A1"), data_set(2)), edited_form(relay)
    after(relay, relay.delivery(part, form=form))
    proofs = read_proofs(relay.spool, part, form, 0) or []
    assert [(it.outcome, it.dead_letter_class) for it in proofs if it.outcome == "held"] == [("held", "invalid")]
    held = next(it for it in proofs if it.outcome == "held")
    assert held.reason == "AccessionNumber would be empty: AccessionNumber, which it quotes, has no value"


def test_an_edit_comes_before_de_identification(tmp_path: Path) -> None:
    relay = bench(tmp_path, RELAY + EDITED)
    part = relay.part(*data_sets(1, AccessionNumber="A1"))
    (plain,), (edited,) = (made_of(relay, part, it)
                           for it in (relay.form(), edited_form(relay, profile=relay.form())))  # fmt: skip
    assert edited.PatientIdentityRemoved == "YES"
    assert edited.SOPInstanceUID == plain.SOPInstanceUID
    assert "OriginalAttributesSequence" not in edited


def test_a_pinned_edit_is_followed_when_it_was_changed_or_is_gone(tmp_path: Path) -> None:
    relay = bench(tmp_path, RELAY + EDITED)
    part, form = relay.part(*data_sets(1, AccessionNumber="A1")), edited_form(relay)
    relay.configure(RELAY + ALL)
    assert [ds.AccessionNumber for ds in made_of(relay, part, form)] == ["HXA1"]
