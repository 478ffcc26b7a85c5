"""Priors go to the service that the patient's last study was given to, and are no new reading."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from consumers.router.handler import Router
from shared.spool.last_choices import PATIENTS, lapsed_patients
from shared.spool.states import State
from tests.consumers.bench import RELAY, Bench, bench, data_set

TEXT = (
    RELAY.replace('ae_title = "MR1"', 'ae_title = "MR1"\nissuer = "HX"')
    + """
[[route]]
name = "outside"
match = { source = "ct-1" }
profile = "basic"
to = ["third"]
one_of = [{ destination = "archive", as_backup = "always" }, { destination = "reading", as_backup = "always" }]
[[route]]
name = "priors"
kind = "prior"
like = "outside"
match = { source = "mr-1" }
[[destination]]
name = "third"
ae_title = "THIRD"
host = "127.0.0.1"
port = 106
"""
)


@pytest.fixture
def hospital(tmp_path: Path) -> Bench:
    return bench(tmp_path, TEXT)


def sent(it: Bench, study: str, source: str = "ct-1", **elements: Any) -> str:
    part = it.part(data_set(1, study=study, **elements), study=study, source=source)
    it.look(part, Router(it.spool).handle)
    return part


def prior(it: Bench, study: str = "1.9.1", **elements: Any) -> str:
    return sent(it, study, "mr-1", **elements)


def orders(it: Bench, part: str) -> list[dict[str, Any]]:
    return list((it.spool.read_json(f"parts/{part}/decision.json") or {"deliveries": []})["deliveries"])


def went(it: Bench, part: str) -> list[str]:
    return [order["destination"] for order in orders(it, part)]


def state(it: Bench, part: str) -> State:
    found = it.spool.parts.newest(part)
    assert found is not None
    return found


def test_a_prior_goes_where_the_patients_last_study_went_in_the_same_form(hospital: Bench) -> None:
    new = sent(hospital, "1.7")
    found = prior(hospital)
    assert went(hospital, found) == ["archive"]
    (order,), given = orders(hospital, found), orders(hospital, new)
    assert order["form"] == next(it["form"] for it in given if it["destination"] == "archive")
    assert (order["route"], order["one_of"]) == ("priors", False)
    assert state(hospital, found).status == "final", "nobody looks after it: it is never handed over"


def test_a_prior_follows_a_hand_over(hospital: Bench) -> None:
    new = sent(hospital, "1.7")
    (old,) = (it["id"] for it in orders(hospital, new) if it["destination"] == "archive")
    rendered = hospital.spool.deliveries.newest(old)
    assert rendered is not None
    hospital.spool.deliveries.append(old, State(n=1, stage="send", status="waiting", at=hospital.now))
    hospital.now += timedelta(minutes=11)
    hospital.look(new, Router(hospital.spool).handle)
    assert went(hospital, prior(hospital)) == ["reading"]


def test_the_last_choice_counts(hospital: Bench) -> None:
    sent(hospital, "1.7")
    hospital.configure(TEXT.replace('destination = "archive"', 'destination = "x"').replace('destination = "reading"',
        'destination = "archive"').replace('destination = "x"', 'destination = "reading"'))  # fmt: skip
    sent(hospital, "1.8")
    assert went(hospital, prior(hospital)) == ["reading"]


@pytest.mark.parametrize("elements", [{"PatientID": "4712"}, {"PatientID": ""}])
def test_a_prior_of_a_patient_for_whom_nothing_was_chosen_waits_for_a_person(
    hospital: Bench, elements: dict[str, str]
) -> None:
    sent(hospital, "1.7")
    held = state(hospital, prior(hospital, **elements))
    assert (held.status, held.dead_letter_class) == ("held", "policy")
    assert "4712" not in held.reason


def test_the_same_number_in_another_domain_is_another_patient(tmp_path: Path) -> None:
    it = bench(tmp_path, TEXT.replace('ae_title = "MR1"\nissuer = "HX"', 'ae_title = "MR1"\nissuer = "OTHER"'))
    sent(it, "1.7")
    assert state(it, prior(it)).status == "held"


def test_a_held_prior_goes_when_it_is_replayed_after_the_choice(hospital: Bench) -> None:
    held = prior(hospital)
    assert "gave no study of this patient to a service within relay.follow" in state(hospital, held).reason
    sent(hospital, "1.7")
    before = state(hospital, held)
    hospital.spool.parts.append(held, State(n=before.n + 1, stage="route", status="waiting", at=hospital.now,
        config=hospital.config.hash))  # fmt: skip
    hospital.look(held, Router(hospital.spool).handle)
    assert went(hospital, held) == ["archive"]


def test_a_choice_counts_for_follow_and_is_then_forgotten(hospital: Bench) -> None:
    sent(hospital, "1.7")
    follow = hospital.config.relay.follow
    assert list(lapsed_patients(hospital.spool, follow)) == []
    hospital.now += follow
    assert state(hospital, prior(hospital)).status == "held"
    assert len(list(lapsed_patients(hospital.spool, follow))) == 1


def test_no_name_in_the_spool_tells_the_patient(hospital: Bench) -> None:
    sent(hospital, "1.7")
    (patient,) = hospital.spool.store.list(PATIENTS)
    assert "4711" not in patient
    assert len(patient) == 32


def test_a_prior_whose_form_cannot_be_made_any_more_waits_for_a_person(hospital: Bench) -> None:
    sent(hospital, "1.7")
    hospital.configure(
        TEXT.replace("[profile.basic]", "[profile.other]").replace('profile = "basic"', 'profile = "other"')
    )
    held = state(hospital, prior(hospital))
    assert (held.status, "profile 'basic' of route 'priors' is gone" in held.reason) == ("held", True)
