"""Competitors by turns: A B, B A, A B, so that what the machine does meanwhile meets both."""

import os
import sys
from collections.abc import Callable, Mapping

Run = Callable[[], float]


def by_turns(title: str, rounds: int, competitors: Mapping[str, Run]) -> dict[str, list[float]]:
    """Runs each competitor once a round, the disk idle before each.

    Args:
        title: said while it runs.
        rounds: how many.
        competitors: what each measures, by name.

    Returns:
        Values in order of the rounds.
    """
    values: dict[str, list[float]] = {name: [] for name in competitors}
    for turn in range(rounds):
        names = list(competitors)
        for name in names if turn % 2 == 0 else reversed(names):
            os.sync()
            values[name].append(competitors[name]())
            say(f"{title}: {name}: {values[name][-1]:.4g}")
    return values


def say(text: str) -> None:
    """Tells whoever waits, beside the table."""
    print(text, file=sys.stderr, flush=True)
