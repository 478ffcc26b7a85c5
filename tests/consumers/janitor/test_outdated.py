"""What was decided stands when rules change, and waits when what it names is gone."""

from datetime import UTC, datetime
from typing import Any

import pytest

from consumers.janitor.outdated import lost_to
from shared.spool.states import State
from tests.shared.config.examples import ROUTE, small

CONFIG = small(ROUTE + '[[route]]\nname = "outside"\nto = ["outside"]\n')
PLAIN: dict[str, Any] = {"destination": "archive", "route": "plain", "form": {"kind": "received"}}


def state(config: str = "earlier") -> State:
    return State(n=0, stage="send", status="waiting", at=datetime(2026, 3, 4, tzinfo=UTC), config=config)


@pytest.mark.parametrize(
    ("order", "wanted_by", "why"),
    [
        ({}, (), ""),
        ({"destination": "reading"}, (), "destination 'reading' is not configured any more"),
        ({"route": "old"}, (), "route 'old' is not configured any more"),
        ({"route": "old"}, ("old", "plain"), ""),
        ({"route": "old"}, ("old", "outside"), "route 'old' is not configured any more"),
        ({"form": {"kind": "deidentified", "profile": "old"}}, (), "profile 'old' is not configured any more"),
        ({"form": {"kind": "deidentified", "profile": "reading", "profile_hash": "changed"}}, (), ""),
    ],
)
def test_what_names_something_that_is_gone_waits(order: dict[str, Any], wanted_by: tuple[str, ...], why: str) -> None:
    assert lost_to(PLAIN | order, state(), CONFIG, lambda: wanted_by) == why


@pytest.mark.parametrize(("order", "goes_on"), [({"route": "old"}, True), ({"destination": "reading"}, False)])
def test_what_a_person_lets_go_on_needs_its_destination_only(order: dict[str, str], goes_on: bool) -> None:
    assert (lost_to(PLAIN | order, state(CONFIG.hash), CONFIG, tuple) == "") == goes_on
