"""`python -m tests.campaign.clock FILE dcmrelay …`: the command line, its wall clock shifted by the seconds in FILE.

The file is read at each look at the clock, so a running worker sees the clock jump. Monotonic clocks do not jump.
The workers that `up` starts have the same clock.
"""

import gc
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any


class Shifted(datetime):
    """A datetime whose `now` is shifted."""

    file = Path()

    @classmethod
    def now(cls, tz: Any = UTC) -> datetime:
        """The shifted time."""
        return datetime.now(tz) + timedelta(seconds=float(cls.file.read_text(encoding="ascii") or 0))


class Shifting(subprocess.Popen[bytes]):
    """A child; one that is the command line too has the same clock."""

    def __init__(self, args: Any, **options: Any) -> None:
        if list(args[1:3]) == ["-m", "dcmrelay"]:
            args = [args[0], "-m", "tests.campaign.clock", str(Shifted.file), *args[2:]]
        super().__init__(args, **options)


if __name__ == "__main__":
    Shifted.file = Path(sys.argv[1])
    subprocess.Popen = Shifting  # type: ignore[misc]
    sys.argv = sys.argv[2:]
    from dcmrelay.__main__ import _SELDOM, main

    gc.set_threshold(*_SELDOM)  # as the program does, before anything great is imported
    import shared.spool.spool

    shared.spool.spool.datetime = Shifted
    main()
