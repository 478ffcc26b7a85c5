"""What `status` says of routes that choose between services."""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from dcmrelay.services import lines, services
from shared.config import Config, parse
from shared.spool.copies import KEPT, PartialCopy, copies, forget_copies, put_copy
from shared.spool.spool import Spool
from shared.spool.states import State
from shared.spool.units import Unit
from tests.dcmrelay.relays import NOW, Command, Prepared
from tests.shared.config.examples import SMALL

TEXT = (
    """
[relay]
timezone = "Europe/Lisbon"
[calendar.office]
open = ["mon-fri 08:00-20:00"]
"""
    + SMALL.replace("[profile.reading]", "")
    + """
[[route]]
name = "reading"
one_of = [{ destination = "archive", during = "office" }, { destination = "outside", as_backup = "AS" }]
"""
)
COPY = PartialCopy(
    delivery="d1", part="p" + "1" * 32, route="reading", destination="archive", to="outside", at=NOW, delivered=300,
    in_doubt=0, instances=612,
)  # fmt: skip


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path, clock=lambda: NOW)


def config(tmp_path: Path, text: str = TEXT) -> Config:
    return parse(text.replace("AS", "always"), tmp_path)


def put_off(n: int, due: datetime | None, **facts: bool) -> Unit:
    state = State(n=n, stage="send", status="waiting", at=NOW, due=due, facts=facts)
    return Unit(id="d2", order={"destination": "archive", "one_of": True}, made_at=NOW, state=state, facts={})


def test_status_says_who_is_on_duty_and_until_when(tmp_path: Path, spool: Spool) -> None:
    (line,) = lines(services(config(tmp_path), spool, ()))
    assert line == "reading: archive is on duty until Wed 2026-03-04 20:00 (mon,tue,wed,thu,fri 08:00-20:00)"


def test_status_says_when_nobody_is_on_duty(tmp_path: Path) -> None:
    one = TEXT.replace(', { destination = "outside", as_backup = "AS" }', "")
    evening = Spool(tmp_path, clock=lambda: NOW.replace(hour=21))
    (line,) = lines(services(config(tmp_path, one), evening, ()))
    assert line.startswith("reading: NOBODY is on duty, studies wait until Thu 2026-03-05 08:00")


def test_who_is_always_on_duty_is_so_without_an_end(tmp_path: Path, spool: Spool) -> None:
    always = TEXT.replace(', during = "office"', "")
    (line,) = lines(services(config(tmp_path, always), spool, ()))
    assert line.startswith("reading: archive is on duty (")


def test_status_says_until_when_waits_what_nobody_may_take_now(tmp_path: Path, spool: Spool) -> None:
    later, latest = NOW + timedelta(hours=20), NOW + timedelta(hours=40)
    found = [put_off(0, latest), put_off(3, later, put_off=True), put_off(4, later), put_off(0, None)]
    (wait,) = services(config(tmp_path), spool, found).waits
    assert wait == {"destination": "archive", "waiting": 2, "until": later}
    assert "archive: 2 deliveries that nobody may take now wait until 2026-03-05 " in "\n".join(
        lines(services(config(tmp_path), spool, found))
    )


def test_status_lists_what_a_service_has_of_a_study_that_another_got(relay: Prepared, command: Command) -> None:
    put_copy(relay.spool, COPY)
    said = command("status").out
    words = "archive has 300 of 612 instances of a study that outside was given; tell it to discard them"
    assert f"{words}: `dcmrelay show {COPY.part[:10]}`" in said
    (copy,) = json.loads(command("status", "--json").out)["partial_copies"]
    assert (copy["route"], copy["delivered"], copy["at"][:10]) == ("reading", 300, "2026-03-04")


def test_copies_in_part_are_listed_for_a_week(spool: Spool) -> None:
    put_copy(spool, COPY)
    put_copy(spool, replace(COPY, delivery="d2", at=NOW - KEPT))
    forget_copies(spool)
    assert list(copies(spool)) == [COPY]


def test_of_many_copies_a_few_are_shown_and_the_rest_counted(tmp_path: Path, spool: Spool) -> None:
    for k in range(7):
        put_copy(spool, replace(COPY, delivery=f"d{k}"))
    said = list(lines(services(config(tmp_path), spool, ())))
    assert (len(said), said[-1]) == (7, "... and 2 more copies in part, which --json lists too")
