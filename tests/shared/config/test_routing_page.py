"""docs/routing.md: what it shows can be loaded."""

import re
from pathlib import Path

import pytest

from shared.config import parse, warnings_of
from shared.config.matching import RELAY_KEYS
from tests.shared.config.examples import SMALL
from tests.shared.config.test_holidays import ics

PAGE = (Path(__file__).parents[3] / "docs/routing.md").read_text(encoding="utf-8")
SOURCES = SMALL.replace('"ct"', '"ct-1"')
CANDIDATES = "".join(
    f'[[destination]]\nname = "{name}"\nae_title = "{name.upper()}"\nhost = "127.0.0.1"\nport = {port}\n'
    for port, name in ((106, "day-reading"), (107, "night-reading"))
)
CALENDARS = "".join(f'[calendar.{name}]\nopen = ["mon-sun 00:00-24:00"]\n' for name in ("office", "night"))
MATCHING = PAGE.partition("\n## Editing on the way")[0]
BLOCKS = re.findall(r"(?ms)^```toml\n(.*?)^```", PAGE)


@pytest.mark.parametrize("block", BLOCKS, ids=[block.split("\n")[0] for block in BLOCKS])
def test_what_the_page_shows_is_a_configuration(block: str, tmp_path: Path) -> None:
    ics(tmp_path / "holidays.ics", "DTSTART;VALUE=DATE:20261225", "DTSTART;VALUE=DATE:20261227")
    (tmp_path / "stations.csv").write_text("StationName,Room\nCT-A,CT 1\n", encoding="utf-8")
    named = CANDIDATES + ("" if "[calendar" in block else CALENDARS) if "one_of" in block else ""
    config = parse('[relay]\ntimezone = "Europe/Lisbon"\n' + SOURCES + named + block, tmp_path)
    assert not [line for line in map(str, warnings_of(config)) if "never" in line]


def test_the_page_names_every_key_of_the_relay() -> None:
    assert all(f"`{key}`" in PAGE for key in RELAY_KEYS)


@pytest.mark.parametrize("example", re.findall(r"`([a-z_]+ = [^`]+)`", MATCHING))
def test_an_example_of_a_key_can_be_asked(example: str, tmp_path: Path) -> None:
    table = "" if example.startswith("last") else "[route.match]\n"
    config = parse(f'{SOURCES}[[route]]\nname = "r"\nto = ["archive"]\n{table}{example}', tmp_path)
    (route,) = config.routes
    assert route.match or route.last
