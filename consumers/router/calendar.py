"""The names of `shared.calendar`, where the router's rules look for them."""

from shared.calendar import ALWAYS, LOOKS_AHEAD, Hours, changes, hours, hours_on, next_opening

__all__ = ["ALWAYS", "LOOKS_AHEAD", "Hours", "changes", "hours", "hours_on", "next_opening"]
