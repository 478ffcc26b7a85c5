"""A part that fails a check waits as a dead letter; what only warns goes on; a study is known by its first part."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from consumers.router.changed import changed_instances
from consumers.router.handler import Router
from shared import metrics
from shared.spool.parts import read_part
from shared.spool.states import State, released
from tests.consumers.bench import ALL, RELAY, STUDY, Bench, bench, data_set

CHECK = '[[check]]\nname = "{name}"\n{asks}\n'
REQUIRE = CHECK.format(name="identified", asks='require = ["AccessionNumber"]')
PATIENT = CHECK.format(name="patient", asks="one_patient_per_study = true")
UNCHANGED = CHECK.format(name="same", asks='unchanged = ["PatientID", "AccessionNumber"]')
CHANGED = RELAY.replace("[relay]", '[relay]\non_changed = "hold"') + ALL
VALUES = ("4711", "4712", "CANARY", "A-17", "A-18")


def routed(relay: Bench, part: str) -> State:
    relay.look(part, Router(relay.spool).handle)
    state = relay.spool.parts.newest(part)
    assert state is not None
    return state


def held(relay: Bench, part: str) -> str:
    state = routed(relay, part)
    assert (state.status, state.dead_letter_class) == ("held", "invalid")
    assert not any(value in state.reason for value in VALUES)
    return state.reason


def sent(relay: Bench, source: str = "ct-1", study: str = STUDY, number: int = 1, **elements: Any) -> str:
    return relay.part(data_set(number, study, **elements), source=source, study=study)


def failures(check: str, outcome: str) -> float:
    return metrics.value("dcmrelay_check_failures_total", check=check, outcome=outcome)


def test_a_part_that_fails_a_check_waits_and_its_element_is_named(tmp_path: Path) -> None:
    relay, before = bench(tmp_path, RELAY + ALL + REQUIRE), failures("identified", "held")
    part = relay.part(data_set(1, AccessionNumber="A-17"), data_set(2))
    assert held(relay, part) == "check 'identified': AccessionNumber has no value in 1 of the instances"
    assert relay.spool.store.list("deliveries") == []
    assert failures("identified", "held") == before + 1


def test_a_check_that_warns_lets_the_part_go_counts_and_is_kept_in_the_decision(tmp_path: Path) -> None:
    relay, before = bench(tmp_path, RELAY + ALL + REQUIRE + 'on_failure = "warn"\n'), failures("identified", "warned")
    part = sent(relay)
    assert routed(relay, part).outcome == "routed"
    decision = relay.spool.read_json(f"parts/{part}/decision.json") or {}
    assert decision["warned"] == [
        {"check": "identified", "element": "AccessionNumber", "what": "has no value", "instances": 1}
    ]
    Router(relay.spool).handle(relay.claim(part))
    assert failures("identified", "warned") == before + 1


def test_an_instance_that_cannot_be_read_fails_what_is_required(tmp_path: Path) -> None:
    relay = bench(tmp_path, RELAY + ALL + CHECK.format(name="identified", asks='require = ["PatientID"]'))
    part = sent(relay)
    relay.spool.store.path(relay.manifest(part).instances[0].file).write_bytes(b"not DICOM")
    assert "PatientID has no value" in held(relay, part)


def test_a_replayed_part_is_checked_anew_under_the_configuration_in_force(tmp_path: Path) -> None:
    relay = bench(tmp_path, RELAY + ALL + REQUIRE)
    held(relay, part := sent(relay))
    relay.configure(RELAY + ALL)
    stopped = relay.spool.parts.newest(part)
    assert stopped is not None
    again = released(stopped, now=relay.now, by="A", why="corrected", config=relay.config.hash)
    relay.spool.parts.append(part, again)
    assert routed(relay, part).outcome == "routed"


@pytest.mark.parametrize("text", [PATIENT, UNCHANGED])
def test_another_patient_under_a_known_study_is_held(tmp_path: Path, text: str) -> None:
    relay = bench(tmp_path, RELAY + ALL + text)
    assert routed(relay, sent(relay)).outcome == "routed"
    assert "PatientID" in held(relay, sent(relay, number=2, PatientID="4712"))
    assert routed(relay, sent(relay, number=3)).outcome == "routed"
    assert routed(relay, sent(relay, study="1.9", PatientID="4712")).outcome == "routed"


def test_a_part_that_was_held_does_not_say_who_the_patient_of_its_study_is(tmp_path: Path) -> None:
    relay = bench(tmp_path, RELAY + ALL.replace("to =", 'match = { Modality = "CT" }\nto =') + PATIENT)
    state = routed(relay, sent(relay, PatientID="4712", Modality="US"))
    assert (state.status, state.dead_letter_class) == ("held", "policy")
    assert routed(relay, sent(relay, number=2)).outcome == "routed"


def test_one_patient_is_asked_of_each_source_and_unchanged_of_all(tmp_path: Path) -> None:
    relay = bench(tmp_path, RELAY + ALL + PATIENT)
    routed(relay, sent(relay))
    assert routed(relay, sent(relay, "mr-1", number=2, PatientID="4712")).outcome == "routed"
    relay.configure(RELAY + ALL + UNCHANGED)
    assert routed(relay, sent(relay, number=3, AccessionNumber="A-17")).outcome == "routed"
    assert "AccessionNumber" in held(relay, sent(relay, "mr-1", number=4, AccessionNumber="A-18"))
    assert routed(relay, sent(relay, "mr-1", number=5)).outcome == "routed"


def test_a_study_is_known_as_long_as_its_pins_are_followed(tmp_path: Path) -> None:
    relay = bench(tmp_path, RELAY + ALL + PATIENT)
    routed(relay, sent(relay))
    relay.now += relay.config.relay.follow
    assert routed(relay, sent(relay, number=2, PatientID="4712")).outcome == "routed"
    assert "PatientID" in held(relay, sent(relay, number=3))


def test_what_is_known_holds_no_value_and_no_uid(tmp_path: Path) -> None:
    relay = bench(tmp_path, CHANGED + PATIENT + UNCHANGED)
    routed(relay, sent(relay, AccessionNumber="A-17"))
    known = [path for path in (relay.spool.store.root / "known").rglob("*") if path.is_file()]
    text = json.dumps([[str(path.relative_to(relay.folder)), path.read_bytes().hex()] for path in known])
    assert len(known) == 5
    assert not any(value in text or value.encode().hex() in text for value in (*VALUES, STUDY))


def test_other_content_under_a_known_uid_goes_on_unless_told_otherwise(tmp_path: Path) -> None:
    relay = bench(tmp_path)
    routed(relay, sent(relay))
    part = sent(relay, PatientID="4712")
    assert routed(relay, part).outcome == "routed"
    assert len(relay.manifest(part).instances) == 1


@pytest.mark.parametrize(
    ("changed", "element"),
    [({"PatientID": "4712"}, "PatientID"), ({"AccessionNumber": "A-18"}, "AccessionNumber")],
)
def test_other_content_under_a_known_uid_of_another_patient_or_order_is_held(
    tmp_path: Path, changed: dict[str, str], element: str
) -> None:
    relay = bench(tmp_path, CHANGED)
    routed(relay, sent(relay, AccessionNumber="A-17"))
    reason = held(relay, sent(relay, "mr-1", **{"AccessionNumber": "A-17", **changed}))
    assert f"{element} is not what came before under the same SOP Instance UID in 1" in reason
    routed(relay, sent(relay, AccessionNumber="A-17"))


def test_a_known_uid_under_another_study_is_held(tmp_path: Path) -> None:
    relay = bench(tmp_path, CHANGED)
    routed(relay, sent(relay))
    moved = data_set(1, StudyInstanceUID="1.9")
    assert "StudyInstanceUID" in held(relay, relay.part(moved, study="1.9"))


def test_new_pixels_of_the_same_patient_and_order_go_on(tmp_path: Path) -> None:
    relay = bench(tmp_path, CHANGED)
    routed(relay, sent(relay))
    assert routed(relay, sent(relay, ImageComments="again")).outcome == "routed"


def test_two_contents_under_one_uid_in_one_part_are_found(tmp_path: Path) -> None:
    relay = bench(tmp_path, CHANGED)
    assert "PatientID" in held(relay, relay.part(data_set(1), data_set(1, PatientID="4712")))


def test_what_was_held_is_not_what_later_content_is_compared_with(tmp_path: Path) -> None:
    relay = bench(tmp_path, CHANGED)
    routed(relay, sent(relay))
    held(relay, sent(relay, PatientID="4712"))
    relay.now += timedelta(seconds=1)
    assert routed(relay, sent(relay, ImageComments="third")).outcome == "routed"


def test_a_part_that_was_decided_is_not_compared_with_what_came_after_it(tmp_path: Path) -> None:
    relay = bench(tmp_path, CHANGED.replace('ae_title = "MR1"', 'ae_title = "MR1"\non_changed = "forward"'))
    first = sent(relay)
    routed(relay, first)
    relay.now += timedelta(seconds=1)
    later = sent(relay, "mr-1", PatientID="4712")
    assert routed(relay, later).outcome == "routed"
    assert [compared(relay, part, patient) for part, patient in ((first, "4711"), (later, "4712"))] == [
        [], ["PatientID"],
    ]  # fmt: skip


def compared(relay: Bench, part_id: str, patient: str) -> list[str]:
    """Elements of a part's one instance that are not what they were before."""
    part, manifest = read_part(relay.spool, part_id), relay.manifest(part_id)
    assert part is not None
    header = {"PatientID": (patient,), "StudyInstanceUID": (STUDY,), "SeriesInstanceUID": (f"{STUDY}.1",)}
    return [it.element for it in changed_instances(relay.spool, part, manifest, [header])]


def test_a_source_may_say_otherwise_than_the_relay(tmp_path: Path) -> None:
    relay = bench(tmp_path, CHANGED.replace('ae_title = "MR1"', 'ae_title = "MR1"\non_changed = "forward"'))
    routed(relay, sent(relay))
    assert routed(relay, sent(relay, "mr-1", PatientID="4712")).outcome == "routed"
