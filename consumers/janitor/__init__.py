"""Janitor: rings for unfinished work whose bell was lost, counts what waits, and clears away what is over."""
