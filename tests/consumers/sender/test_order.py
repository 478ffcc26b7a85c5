"""Which delivery goes next: by table, and for everything that may wait."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.sender.order import Entry, given_up, next_of

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def entry(unit: str, source: str = "ct", *, age: int = 10, **more: object) -> Entry:
    facts = {"study": unit, "n": 0, **more}
    return Entry(unit=unit, source=source, waits_since=NOW - age * MINUTE, **facts)  # type: ignore[arg-type]


TRIED = {"tried_since": NOW - MINUTE, "tries": 1}


@pytest.mark.parametrize(
    ("entries", "chosen"),
    [
        ([entry("old", age=9), entry("new", age=1)], "old"),
        ([entry("old"), entry("urgent", age=0, urgent=True)], "urgent"),
        ([entry("new", age=99), entry("begun", age=0, **TRIED)], "begun"),
        ([entry("urgent", urgent=True), entry("begun", age=20, **TRIED)], "urgent"),
        ([entry("served", "ct"), entry("other", "mr", age=1)], "other"),
        ([entry("later", age=-1)], None),
        ([entry("beside", study="busy"), entry("free", age=1)], "free"),
        ([], None),
    ],
)
def test_what_goes_next(entries: list[Entry], chosen: str | None) -> None:
    found = next_of(entries, now=NOW, busy={"busy"}, served={"ct": 1})
    assert (found and found.unit) == chosen


def test_as_a_probe_goes_what_was_tried_least() -> None:
    entries = [entry("begun", **TRIED), entry("fresh", age=1)]
    found = next_of(entries, now=NOW, probing=True)
    assert found is not None
    assert found.unit == "fresh"


def test_a_source_with_five_hundred_studies_lets_the_only_one_of_another_by() -> None:
    waiting = [entry(f"{k:03}", age=1000 - k) for k in range(500)] + [entry("one", "mr", age=1)]
    served: dict[str, int] = {}
    sent = []
    for turn in range(1, 4):
        found = next_of(waiting, now=NOW, served=served)
        assert found is not None
        served[found.source] = turn
        waiting.remove(found)
        sent.append(found.unit)
    assert sent == ["000", "one", "001"]


@given(
    st.lists(st.tuples(st.sampled_from(["ct", "mr", "us"]), st.integers(0, 9), st.booleans()), min_size=1, max_size=40)
)
def test_everything_is_sent_once_the_urgent_first_and_no_source_waits_for_more_than_one_of_each_other(
    given: list[tuple[str, int, bool]],
) -> None:
    waiting = [entry(str(k), source, age=age, urgent=urgent) for k, (source, age, urgent) in enumerate(given)]
    served: dict[str, int] = {}
    sent: list[Entry] = []
    for turn in range(1, len(given) + 1):
        found = next_of(waiting, now=NOW, served=served)
        assert found is not None
        if not found.urgent:
            there = {it.source for it in waiting if not it.urgent}
            assert served.get(found.source, 0) == min(served.get(it, 0) for it in there)
        served[found.source] = turn
        waiting.remove(found)
        sent.append(found)
    assert [it.urgent for it in sent] == sorted((it.urgent for it in sent), reverse=True)
    for source in ("ct", "mr", "us"):
        for urgent in (True, False):
            ages = [it.waits_since for it in sent if it.source == source and it.urgent == urgent]
            assert ages == sorted(ages)


def test_what_was_never_tried_is_never_given_up_and_what_was_tried_is_in_time() -> None:
    never, tried = entry("never"), entry("tried", **TRIED)
    assert given_up([never, tried], now=NOW, give_up=2 * MINUTE) is None
    assert given_up([never, tried], now=NOW, give_up=MINUTE) == tried
