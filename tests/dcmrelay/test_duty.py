"""`dcmrelay duty`: who is on duty on each route, in words and as JSON."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from dcmrelay.cli import app
from tests.shared.config.examples import SMALL

ROUTES = """
[relay]
timezone = "Europe/Lisbon"
[calendar.office]
open = ["mon-fri 08:00-20:00"]
closed_on = ["2026-12-25"]
[calendar.night]
open = ["mon-sun 20:00-08:00", "sat-sun 08:00-20:00"]
also_open_on = ["2026-12-25"]
[[route]]
name = "reading"
one_of = [
  { destination = "archive", during = "office" },
  { destination = "outside", during = "night" },
]
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "dcmrelay.toml"
    path.write_text(ROUTES + SMALL)
    return path


def duty(config: Path, *arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["duty", "--config", str(config), *arguments])
    return result.exit_code, result.stdout


def shifts(config: Path, *arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(duty(config, "--json", *arguments)[1])
    return found


def test_the_week_of_christmas_shows_who_is_on_duty_and_why(config: Path) -> None:
    week = shifts(config, "--week", "--at", "2026-12-21")
    assert [shift["on_duty"] for shift in week[:8]] == ["outside", "archive"] * 4
    holiday = week[9]
    assert (holiday["from"], holiday["until"]) == ("2026-12-25T00:00:00+00:00", "2026-12-26T00:00:00+00:00")
    assert (holiday["on_duty"], holiday["why"]) == ("outside", "2026-12-25 is in also_open_on")
    assert all(one["until"] == other["from"] for one, other in pairwise(week))
    assert (week[0]["from"], week[-1]["until"]) == ("2026-12-21T00:00:00+00:00", "2026-12-28T00:00:00+00:00")


def test_a_week_in_which_the_clock_is_put_ends_at_midnight_all_the_same(config: Path) -> None:
    assert shifts(config, "--week", "--at", "2026-03-23")[-1]["until"] == "2026-03-30T00:00:00+01:00"


def test_without_week_it_says_who_is_on_duty_and_until_when(config: Path) -> None:
    code, text = duty(config, "--at", "2026-12-21T12:00:00")
    assert code == 0
    assert "Mon 2026-12-21 12:00  Mon 2026-12-21 20:00  archive" in text


def test_minutes_with_nobody_are_shown_and_need_somebody(config: Path) -> None:
    config.write_text(config.read_text().replace(', "sat-sun 08:00-20:00"', ""))
    code, text = duty(config, "--week", "--at", "2026-12-21")
    assert code == 1
    assert "Sat 2026-12-26 08:00  Sat 2026-12-26 20:00  NOBODY, studies wait  nobody is on duty" in text


def test_without_candidates_it_says_so(config: Path) -> None:
    config.write_text(SMALL)
    assert duty(config, "--week") == (0, "No route chooses between services: none has one_of.\n")
