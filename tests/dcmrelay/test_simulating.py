"""Who would get what in a week."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.consumers.bench import RELAY, Bench, bench, data_set, write
from tests.dcmrelay.relays import Command

TEXT = RELAY.replace("[ingress]", 'timezone = "Europe/Lisbon"\n[ingress]')
TEXT += """
[calendar.office]
open = ["mon-fri 08:00-20:00"]
closed_on = ["2026-12-25"]
[[route]]
name = "outside"
match = { source = "ct-1", Modality = "CT" }
one_of = [{ destination = "reading", during = "office" }, { destination = "archive", as_backup = "always" }]
[[route]]
name = "rest"
match = { source = "ct-1", Modality = "MR", time = "22:30-00:30" }
to = ["archive"]
"""


@pytest.fixture
def relay(tmp_path: Path) -> Bench:
    (tmp_path / "dcmrelay.toml").write_text(TEXT, encoding="utf-8")
    return bench(tmp_path, TEXT)


def shifts(relay: Bench, command: Command, week: str, *arguments: str) -> list[tuple[Any, ...]]:
    """Who gets how many studies, from when until when on the wall."""
    (folder := relay.folder / "files").mkdir()
    write(folder / "1.dcm", data_set(1, "1.2.1"))
    write(folder / "2.dcm", data_set(2, "1.2.1"))
    write(folder / "3.dcm", data_set(3, "1.2.2"))
    write(folder / "4.dcm", data_set(4, "1.2.3", Modality="MR"))
    said = command("explain", "--simulate", folder, "--week", week, "--json", *arguments)
    keys = ("route", "destination", "studies", "instances")
    found = json.loads(said.out)["shifts"]
    return [(row["from"][:16], row["until"][:16], *(row[key] for key in keys)) for row in found]


def test_a_week_with_a_holiday_is_told_shift_by_shift(relay: Bench, command: Command) -> None:
    found = [it for it in shifts(relay, command, "2026-W52") if it[2] == "outside"]
    days = [f"2026-12-{day}" for day in (21, 22, 23, 24)]
    assert [it[:2] for it in found if it[3] == "reading"] == [(f"{day}T08:00", f"{day}T20:00") for day in days]
    assert found[-1] == ("2026-12-24T20:00", "2026-12-28T00:00", "outside", "archive", 2, 3)
    assert all(it[4:] == (2, 3) for it in found)


@pytest.mark.parametrize(("week", "sunday"), [("2026-W13", "2026-03-29"), ("2026-W43", "2026-10-25")])
def test_where_the_clock_is_put_the_wall_decides(relay: Bench, command: Command, week: str, sunday: str) -> None:
    rest = [it for it in shifts(relay, command, week) if it[2:4] == ("rest", "archive")]
    assert len(rest) == 8
    assert rest[-1][0] == f"{sunday}T22:30"
    assert rest[-2][1] == f"{sunday}T00:30"


def test_what_would_wait_for_a_person_is_a_line_of_its_own(relay: Bench, command: Command) -> None:
    held = [it for it in shifts(relay, command, "2026-W50", "--source", "ct-1") if it[3].startswith("nobody")]
    assert held[0] == ("2026-12-07T00:30", "2026-12-07T22:30", "", "nobody: a person is needed", 1, 1)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--week", "2026-W54"], "is no week; write for example --week 2026-W52"),
        (["--week", "soon"], "is no week"),
        ([], "name files, folders, or one study"),
    ],
)
def test_what_cannot_be_simulated_says_what_to_write(
    relay: Bench, command: Command, arguments: list[str], why: str
) -> None:
    write(relay.folder / "1.dcm", data_set())
    said = command("explain", "--simulate", relay.folder, *arguments)
    assert said.code in (1, 2)
    assert why in " ".join(said.err.replace("│", " ").split())


def test_a_week_is_printed_as_a_table(relay: Bench, command: Command) -> None:
    write(relay.folder / "1.dcm", data_set())
    said = command("explain", "--simulate", relay.folder, "--week", "2026-W52", "--source", "ct-1")
    assert said.code == 0
    assert "week 2026-W52 (Europe/Lisbon), 1 studies" in said.out
    assert "Mon 2026-12-21 08:00  Mon 20:00" in said.out
