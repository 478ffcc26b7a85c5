"""What was received equals what is somewhere, at any time; what does not is named."""

import json
import os
from datetime import timedelta
from pathlib import Path

import pytest

from consumers.janitor.retention import expire
from consumers.janitor.sweep import sweep
from shared.accounts.reading import LANDING, Account, take_account
from shared.accounts.report import as_html, as_text, facts
from shared.outcomes import Done, Held, Later
from shared.spool import states
from shared.spool.closing import close_part
from shared.spool.deliveries import Ordered, ordered_to_json
from shared.spool.parts import Part, read_part
from shared.spool.spool import Spool
from tests.shared.spool.examples import (
    CONFIG,
    FORM,
    Clock,
    closed,
    damage,
    delivered,
    hold,
    new_spool,
    opened,
    order_for,
    put_instance,
    routed,
    settle,
)

RETENTION = timedelta(days=7)


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Spool:
    monkeypatch.setattr(os, "fsync", lambda _: None)
    return new_spool(tmp_path, Clock())


def study(spool: Spool, k: int, count: int = 3) -> Part:
    return closed(spool, *(f"1.{k}.{n}" for n in range(count)), study=f"1.{k}")


def source(account: Account) -> dict[str, int]:
    return dict(+account.sources["ct-1"])


def destination(account: Account, name: str) -> dict[str, int]:
    return dict(+account.destinations["ct-1", name])


def balances(account: Account) -> bool:
    of_sources = all(
        counts["received"] == sum(counts[it] for it in ("routed", "waiting", "held", "discarded", "unexplained"))
        for counts in account.sources.values()
    )
    return of_sources and all(
        counts["ordered"] == counts.total() - counts["ordered"] for counts in account.destinations.values()
    )


def test_every_state_of_an_instance_is_counted_once(spool: Spool) -> None:
    opened(spool, "1.1.1", study="1.1")
    study(spool, 2)
    hold(spool, study(spool, 3).id)
    first = study(spool, 4)
    archive, reading, research = routed(spool, first, "archive", "reading", "research", form=FORM)
    delivered(spool, archive)
    answers = {"delivered": {"0": "0000", "2": "0000"}, "dropped": {"1": "no such objects"}}
    settle(spool, reading, Done(outcome="delivered", facts=answers))
    settle(spool, research, Later("away"))
    account = take_account(spool)
    assert source(account) == {"parts": 4, "received": 9, "receiving": 1, "waiting": 3, "held": 3, "routed": 3}
    assert destination(account, "archive") == {"ordered": 3, "delivered": 3}
    assert destination(account, "reading") == {"ordered": 3, "delivered": 2, "dropped": 1}
    assert destination(account, "research") == {"ordered": 3, "waiting": 3}
    assert balances(account)


def test_a_dead_letter_and_what_a_person_made_of_it_are_explained(spool: Spool) -> None:
    held, given_up = routed(spool, study(spool, 1), "archive", "reading")
    settle(spool, held, Held("2 of 3 refused", "refused"))
    spool.deliveries.append(
        given_up, states.discarded(hold(spool, given_up), now=spool.now(), by="ann", why="not needed")
    )
    lost = study(spool, 2)
    spool.parts.append(lost.id, states.discarded(hold(spool, lost.id), now=spool.now(), by="ann", why="a test"))
    account = take_account(spool)
    assert destination(account, "archive") == {"ordered": 3, "held": 3}
    assert destination(account, "reading") == {"ordered": 3, "discarded": 3}
    assert source(account) == {"parts": 2, "received": 6, "routed": 3, "discarded": 3}
    assert account.doubts == []


def test_what_a_person_ordered_is_booked_for_its_destination_before_it_is_made(spool: Spool) -> None:
    part = study(spool, 1)
    delivered(spool, *routed(spool, part, "archive"))
    state, more = spool.parts.newest(part.id), Ordered(order=order_for(part.id, "reading"))
    assert state is not None
    orders = {more.order.id: ordered_to_json(more)}
    spool.parts.append(part.id, states.reopened(state, now=spool.now(), by="ann", why="", config=CONFIG, orders=orders))
    account = take_account(spool)
    assert destination(account, "archive") == {"ordered": 3, "delivered": 3}
    assert destination(account, "reading") == {"ordered": 3, "waiting": 3}
    assert set(account.destinations) == {("ct-1", "archive"), ("ct-1", "reading")}


def test_tombstones_keep_the_counts(spool: Spool) -> None:
    part = study(spool, 1)
    archive, reading = routed(spool, part, "archive", "reading")
    delivered(spool, archive)
    spool.deliveries.append(reading, states.discarded(hold(spool, reading), now=spool.now(), by="ann", why="enough"))
    sweep(spool, CONFIG)
    before = take_account(spool)
    assert isinstance(spool.now, Clock)
    spool.now.now += RETENTION * 2
    assert expire(spool, RETENTION) == 1
    after = take_account(spool)
    assert (after.sources, after.destinations, after.doubts) == (before.sources, before.destinations, [])
    assert destination(after, "archive") == {"ordered": 3, "delivered": 3}


def test_the_account_balances_at_every_step_of_a_removal(spool: Spool) -> None:
    part = study(spool, 1)
    delivered(spool, *routed(spool, part, "archive"))
    sweep(spool, CONFIG)
    before = take_account(spool)
    assert isinstance(spool.now, Clock)
    spool.now.now += RETENTION * 2
    seen: list[str] = []

    def step(what: str) -> None:
        account = take_account(spool)
        assert (account.sources, account.destinations, account.doubts) == (before.sources, before.destinations, [])
        seen.append(what)

    expire(new_spool(spool.store.root, spool.now, step), RETENTION)
    assert len(seen) > 10


def test_duplicates_and_late_instances_are_explained(spool: Spool) -> None:
    part = study(spool, 1)
    again = opened(spool, "1.1.0", "1.1.9", study="1.1")
    close_part(spool, again, config=CONFIG)
    put_instance(spool, part, "1.1.7")
    close_part(spool, part, config=CONFIG)
    account = take_account(spool)
    assert source(account) == {"parts": 3, "received": 5, "waiting": 5, "duplicates": 1}
    assert account.doubts == []


def test_a_part_is_explained_when_its_late_part_has_gone_before_it(spool: Spool) -> None:
    part = study(spool, 1)
    file = spool.store.path(put_instance(spool, part, "1.1.7"))
    at = (spool.now() - LANDING).timestamp()
    os.utime(file, (at, at))
    late = read_part(spool, close_part(spool, part, config=CONFIG)[-1])
    assert late is not None
    for one in (part, late):
        delivered(spool, *routed(spool, one, "archive"))
    sweep(spool, CONFIG)
    before = take_account(spool)
    assert isinstance(spool.now, Clock)
    spool.now.now += RETENTION * 2
    spool.store.delete(f"done/2026-03-04/{part.id}")
    assert expire(spool, RETENTION) == 1
    after = take_account(spool)
    assert (after.sources, after.doubts) == (before.sources, [])


@pytest.mark.parametrize(("spoil", "instances", "why"), [
    ("answers", 2, "has no answer for them"),
    ("delivery", 3, "was decided and is not there"),
    ("file", 1, "their files are gone"),
    ("stranger", 1, "no manifest names them"),
    ("record", 0, "cannot be read"),
    ("part", 0, "no record of what it is"),
    ("decision", 3, "no decision says where it went"),
])  # fmt: skip
def test_what_the_records_do_not_explain_is_named(spool: Spool, spoil: str, instances: int, why: str) -> None:
    part, whole = study(spool, 1), study(spool, 2)
    [delivery] = routed(spool, part, "archive")
    delivered(spool, *routed(spool, whole, "archive"))
    if spoil == "answers":
        settle(spool, delivery, Done(outcome="delivered", facts={"delivered": {"0": "0000"}}))
    elif spoil == "delivery":
        spool.store.delete(f"deliveries/{delivery}/00000000.json")
    elif spoil == "file":
        spool.store.delete(f"parts/{part.id}/instances/" + spool.store.list(f"parts/{part.id}/instances")[0])
    elif spoil == "stranger":
        stranger = spool.store.path(put_instance(spool, part, "1.1.8"))
        assert take_account(spool).doubts == []  # it may be on its way into a part
        at = (spool.now() - LANDING).timestamp()
        os.utime(stranger, (at, at))
    elif spoil == "record":
        damage(spool, f"deliveries/{delivery}/00000000.json")
    elif spoil == "part":
        spool.store.delete(f"parts/{part.id}/part.json")
    else:
        spool.store.delete(f"parts/{part.id}/decision.json")
    account = take_account(spool)
    [doubt] = account.doubts
    assert (doubt.part, doubt.instances) == (part.id, instances)
    assert why in doubt.why
    assert account.destinations["ct-1", "archive"]["delivered"] >= 3
    if spoil not in ("record",):
        assert balances(account)


def test_a_report_holds_no_patient_data_and_says_what_is_wrong(spool: Spool) -> None:
    [delivery] = routed(spool, study(spool, 1), "archive")
    settle(spool, delivery, Done(outcome="delivered", facts={"delivered": {"0": "0000"}}))
    account = take_account(spool)
    texts = (as_text(account, "A <day>"), as_html(account, "A <day>"), json.dumps(facts(account, "A <day>")))
    for text in texts:
        assert "has no answer for them" in text
        assert "CANARY" not in text
        assert "1.1" not in text
    assert "A &lt;day&gt;" in texts[1]
    assert json.loads(texts[2])["explained"] is False
