"""`python -m tests.campaign.clock FILE dcmrelay …`: the command line, its wall clock shifted by the seconds in FILE.

The file is read at each look at the clock, so a running worker sees the clock jump. Monotonic clocks do not jump.
"""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import shared.spool.spool


class Shifted(datetime):
    """A datetime whose `now` is shifted."""

    file = Path()

    @classmethod
    def now(cls, tz: Any = UTC) -> datetime:
        """The shifted time."""
        return datetime.now(tz) + timedelta(seconds=float(cls.file.read_text(encoding="ascii") or 0))


if __name__ == "__main__":
    Shifted.file = Path(sys.argv[1])
    sys.argv = sys.argv[2:]
    shared.spool.spool.datetime = Shifted
    from dcmrelay.cli import main

    main()
