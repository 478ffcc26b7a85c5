"""TOML for the tests: a whole example, and the smallest one that a test changes."""

from pathlib import Path

from shared.config import Config, parse

FOLDER = Path("/srv/relay")
FULL = Path(__file__).with_name("full.toml")

SMALL = """
[[source]]
name = "ct"
ae_title = "CT1"
[[source]]
name = "mr"
ae_title = "MR1"
[[destination]]
name = "archive"
ae_title = "ARCHIVE"
host = "127.0.0.1"
port = 104
[[destination]]
name = "outside"
ae_title = "OUTSIDE"
host = "127.0.0.1"
port = 105
[profile.reading]
"""

ROUTE = """
[[route]]
name = "plain"
to = ["archive"]
"""


def small(more: str = ROUTE) -> Config:
    """Return the small example with more TOML below it, loaded."""
    return parse(SMALL + more, FOLDER)
