"""The table of exchanges, queues and bindings, and the page that describes it."""

from dataclasses import fields
from datetime import timedelta
from pathlib import Path

import pytest

from shared.broker import elects, topology
from shared.broker.topology import RUNGS, WORK, Queue, key_of, rung_for
from shared.messages import Bell, StudyCompleted, encode_bell, encode_event, events

PAGE = Path(__file__).parents[3] / "docs/queues.md"
TABLE = topology(["<destination>"])


def rows(heading: str) -> list[tuple[str, ...]]:
    """The rows of the page's table below a heading, without markup."""
    section = PAGE.read_text(encoding="utf-8").split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [tuple(cell.strip().replace("`", "") for cell in line.strip("|").split("|")) for line in lines]


def written(arguments: dict[str, str | int | bool]) -> str:
    return ", ".join(f"{key}={str(value).lower() if value is True else value}" for key, value in arguments.items())


def test_the_page_lists_every_exchange() -> None:
    assert [row[:2] for row in rows("Exchanges")] == list(TABLE.exchanges.items())


def test_the_page_lists_every_queue_with_its_arguments_and_purpose() -> None:
    expected = [(queue.name, written(dict(queue.arguments)), queue.purpose) for queue in TABLE.queues]
    assert rows("Queues") == expected
    assert f"`{written(Queue(name='', purpose='').all_arguments)}`" in PAGE.read_text(encoding="utf-8")


def test_the_page_lists_every_binding() -> None:
    expected = [(b.exchange, b.routing_key or written(dict(b.headers)), b.queue) for b in TABLE.bindings]
    assert rows("Bindings") == expected


def test_the_page_lists_every_event_with_its_fields() -> None:
    kinds = [kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, events.Event)]
    facts = {kind.routing_key: ["v", "event", *(field.name for field in fields(kind))] for kind in kinds[1:]}
    assert {row[0]: row[1].split(", ") for row in rows("Events")} == facts


def test_a_bell_and_an_event_are_written_as_the_page_says() -> None:
    page = PAGE.read_text(encoding="utf-8")
    bell = encode_bell(Bell(unit="p" + "0" * 32, n=3)).decode()
    assert bell == '{"v":1,"id":"p00000000000000000000000000000000","n":3}'
    part = "p" + "0" * 32
    event = encode_event(StudyCompleted(id=part, n=0, part=part, source="ct-1", instances=2, bytes=400)).decode()
    assert f"`{bell}`" in page
    assert f"`{event}`" in page


def test_every_queue_is_a_quorum_queue_that_redelivers_a_thousand_times() -> None:
    assert {(q.all_arguments["x-queue-type"], q.all_arguments["x-delivery-limit"]) for q in TABLE.queues} == {
        ("quorum", 1000)
    }


def test_each_destination_has_queues_of_its_own_and_nothing_else_changes() -> None:
    names = {queue.name for queue in topology(["a", "b"]).queues} - {queue.name for queue in topology([]).queues}
    assert names == {
        f"dcmrelay.{verb}.{d}{u}" for d in "ab" for verb, u in (("send", ""), ("send", ".urgent"), ("own", ""))
    }


def test_every_key_of_work_leads_to_one_queue() -> None:
    keys = [b.routing_key for b in TABLE.bindings if b.exchange == WORK]
    assert sorted(keys) == sorted(set(keys))
    assert set(keys) == {
        "route",
        "render",
        "ledger",
        *(f"{key}.<destination>" for key in ("send", "own")),
        "send.<destination>.urgent",
    }


def test_a_consumer_can_ask_on_every_queue_that_is_consumed() -> None:
    by_key = {b.routing_key: b.queue for b in TABLE.bindings if b.exchange == WORK}
    consumed = [it.name for it in TABLE.queues if ".dead" not in it.name and ".delay" not in it.name]
    assert [by_key[key_of(name)] for name in consumed] == consumed


def test_only_the_electing_queues_elect() -> None:
    assert [queue.name for queue in TABLE.queues if elects(queue.name)] == ["dcmrelay.own.<destination>"]


@pytest.mark.parametrize(
    ("seconds", "rung"),
    [
        (0.01, "1s"),
        (1, "1s"),
        (9.9, "1s"),
        (10, "10s"),
        (59, "10s"),
        (60, "1m"),
        (599, "1m"),
        (600, "10m"),
        (601, None),
    ],
)
def test_a_wait_takes_the_longest_rung_that_is_not_too_long(seconds: float, rung: str | None) -> None:
    assert rung_for(timedelta(seconds=seconds)) == rung


def test_a_wait_over_all_rungs_is_climbed_down_within_a_second_of_its_end() -> None:
    left, steps = timedelta(seconds=599), 0
    while left > timedelta(0):
        left, steps = left - RUNGS[rung_for(left) or ""], steps + 1
    assert left > timedelta(seconds=-1)
    assert steps <= 9 + 5 + 9
