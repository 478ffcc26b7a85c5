"""Why a route does not take a study, in words, is what the matching itself finds."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from consumers.router.reasons import why_not
from consumers.router.rules import Header, Match, matches
from shared.config.conditions import Match as MatchTable

FACTS = {"source": "ct-1", "called": "DCMRELAY", "count": "2", "weekday": "wed", "time": "720"}
CT: Header = {"sop_class": ("CTImageStorage",), "Modality": ("CT",), "SliceThickness": ("1.5",), "BodyPart": ("",)}
MR: Header = {"Modality": ("MR",), "PatientID": ("CANARY-4711",)}


def match(table: dict[str, Any]) -> Match:
    """A match table as it is loaded."""
    loaded: Match = TypeAdapter(MatchTable).validate_python(table)
    return loaded


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ({}, ""),
        ({"source": ["ct-1"], "Modality": ["CT"]}, ""),
        ({"source": ["mr-1", "us-*"]}, "source is ct-1; it asks mr-1 or us-*"),
        ({"host": ["10.0.0.0/8"]}, "host is not known; it asks 10.0.0.0/8"),
        ({"time": ["20:00-08:00"]}, "time is 12:00; it asks 20:00-08:00"),
        ({"count": {"at_least": 3}}, "count is 2; it asks at least 3"),
        ({"Modality": ["US"]}, "Modality has another value in 2 of 2 instances; it asks US"),
        ({"StudyDescription": {"present": True}}, "StudyDescription has no value in 2 of 2 instances; it asks a value"),
        ({"PatientID": {"regex": "^X"}}, "PatientID has another value in 2 of 2 instances; it asks found by the"),
        ({"Modality": ["MR"], "SliceThickness": {"above": 1}}, "no one instance has all of Modality, SliceThickness"),
        ({"Modality": ["CT"], "instances": ["all"]}, "Modality has another value in 1 of 2 instances; it asks CT; it"),
        ({"PatientID": {"not": ["CANARY*"], "present": True}}, "PatientID has another value in 2 of 2 instances"),
    ],
)
def test_the_first_condition_that_fails_is_named_without_a_value(table: dict[str, Any], reason: str) -> None:
    said = why_not(match(table), FACTS, [CT, MR])
    assert said.startswith(reason)
    assert bool(said) == bool(reason)
    assert "4711" not in said


ASKED: dict[str, list[Any]] = {
    "source": [["ct-1"], ["mr-1"]],
    "count": [{"at_least": 3}, ["2"]],
    "Modality": [["CT"], ["MR"], ["US", "C*"], {"not": ["CT"]}],
    "SliceThickness": [{"below": 2}, {"present": False}],
    "PatientID": [{"present": True}, {"regex": "4711"}],
    "instances": [["all"], ["any"]],
}


@given(
    table=st.fixed_dictionaries({}, optional={key: st.sampled_from(them) for key, them in ASKED.items()}),
    headers=st.lists(st.sampled_from([CT, MR, {}]), max_size=3),
)
def test_there_is_a_reason_exactly_when_a_match_table_does_not_match(
    table: dict[str, Any], headers: list[Header]
) -> None:
    asked = match(table)
    assert (why_not(asked, FACTS, headers) == "") == matches(asked, FACTS, lambda: headers)
