"""What a sweep finds is told once by each notifier, whatever fails or dies in between."""

import json
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from consumers.janitor.sweep import sweep
from consumers.janitor.telling import Look, Teller, forget_told
from shared import metrics
from shared.config import Notify
from shared.config.rules import Calendar
from shared.config.windows import parse_window
from shared.errors import NotifyError
from shared.notices import looking
from shared.notices.happened import note
from shared.notices.sending import Message
from shared.notices.told import failures
from shared.outcomes import Later
from shared.reload_note import note_of, read_note
from shared.spool.pauses import Pause, put_pause
from tests.dcmrelay.relays import NOW, Prepared, prepared

MORE = """
accepted_within = "10m"
[[notify]]
name = "page"
kind = "command"
on = ["dead_letter", "destination_down", "disk_low", "late", "stuck", "addendum", "handed_over", "configuration"]
command = ["/bin/true"]
"""


@dataclass
class Page:
    """Takes messages, or fails."""

    got: list[Message] = field(default_factory=list)
    fails: bool = False

    def __call__(self, _notify: Notify, message: Message) -> None:
        if self.fails:
            raise NotifyError("the pager is off")
        self.got.append(message)

    def said(self) -> list[str]:
        return [message.subject.removeprefix("dcmrelay DCMRELAY: ") for message in self.got]


@dataclass
class Told:
    relay: Prepared
    page: Page
    minutes: float = 0

    def look(self, minutes: float = 0) -> list[str]:
        """Moves the clock, sweeps and tells, as the janitor does; returns all that was said so far."""
        self.minutes += minutes
        spool, config = self.relay.spool, self.relay.config
        now = NOW + timedelta(minutes=self.minutes)
        spool.now = lambda: now
        free = looking.free_since(spool, config)
        unfinished, refused = sweep(spool, config.hash).unfinished, bool(read_note(config).get("refused"))
        troubles = tuple(looking.all_troubles(spool, config, unfinished, free, refused=refused))
        teller = Teller(spool, config, config.notify[0], self.page)
        teller.tell(Look(troubles=troubles, held_back=frozenset(n for n, since in free.items() if since is None)))
        forget_told(spool, [teller], troubles)
        return self.page.said()


@pytest.fixture
def told(tmp_path: Path) -> Told:
    text = MORE
    relay = prepared(tmp_path, more=text)
    config = relay.config
    limited = tuple(it.model_copy(update={"alert_after": timedelta(minutes=15)}) for it in config.destinations)
    relay.config = config.model_copy(update={"destinations": limited})
    return Told(relay, Page())


def test_many_dead_letters_are_one_message_and_later_ones_another(told: Told) -> None:
    for _ in range(6):
        told.relay.held(told.relay.part())
    assert told.look() == []
    assert told.look(1) == ["6 new dead letters, not routed, 6 in all"]
    told.relay.held(told.relay.part())
    assert len(told.look(5)) == 1
    assert told.look(11)[1:] == ["1 new dead letter, not routed, 7 in all"]
    assert len(told.look(60)) == 2


def test_a_janitor_that_died_before_or_after_it_told_repeats_at_most_once(told: Told) -> None:
    told.relay.held(told.relay.part())
    told.look(1)
    folder = told.relay.spool.store.root / "told/page/dead_letter/_"
    newest = sorted(folder.iterdir())[-1]
    newest.unlink()  # it died when the message was out and that was not on record
    claim = sorted(folder.iterdir())[-1]
    claim.write_text(claim.read_text().replace('"owner":"', '"owner":"gone-'))
    assert len(told.look(1)) == 1, "the claim of a process that cannot be seen holds for its lease"
    assert len(told.look(5)) == 2
    assert len(told.look(60)) == 2


def test_a_notifier_that_fails_is_tried_again_and_named(told: Told) -> None:
    told.page.fails = True
    told.relay.held(told.relay.part())
    assert told.look(1) == []
    assert failures(told.relay.spool, ("page",)) == {"page": "the pager is off"}
    assert metrics.value("dcmrelay_notifier_failing", notifier="page") == 1
    told.page.fails = False
    assert told.look(0.01) == []
    assert len(told.look(1)) == 1
    assert failures(told.relay.spool, ("page",)) == {}
    assert metrics.value("dcmrelay_notifier_failing", notifier="page") == 0


def test_a_destination_is_told_of_after_alert_after_and_again_when_it_is_well(told: Told) -> None:
    (delivery,) = told.relay.routed(told.relay.part(minutes=0), "archive")
    told.relay.settle(delivery, Later("cannot connect"))
    told.look(14)
    assert not any("too long" in line for line in told.page.said())
    assert "archive has kept a delivery waiting too long" in told.look(2)
    told.relay.held(delivery)
    assert "nothing waits too long for archive any more" in told.look(1)


def test_a_paused_destination_is_not_told_of_nor_said_to_be_well(told: Told) -> None:
    told.relay.routed(told.relay.part(minutes=0), "archive")
    spool = told.relay.spool
    pause = {"destination": "archive", "until": None, "by": "ann", "why": ""}
    put_pause(spool, Pause(paused=True, at=NOW, **pause))  # type: ignore[arg-type]
    told.look(100)
    put_pause(spool, Pause(paused=False, at=spool.now(), **pause))  # type: ignore[arg-type]
    told.look(10)
    assert not any("archive" in line for line in told.page.said())
    assert "archive has kept a delivery waiting too long" in told.look(6)
    put_pause(spool, Pause(paused=True, at=spool.now(), **pause))  # type: ignore[arg-type]
    assert "nothing waits too long for archive any more" not in told.look(5)


def test_hours_in_which_a_destination_is_not_sent_to_do_not_count(told: Told) -> None:
    config = told.relay.config
    calendars = {"noon": Calendar(open=(parse_window("mon-sun 12:20-13:00"),))}
    limited = [it.model_copy(update={"send_during": "noon"}) for it in config.destinations if it.name == "archive"]
    told.relay.config = config.model_copy(update={"destinations": tuple(limited), "calendars": calendars})
    told.relay.routed(told.relay.part(minutes=0), "archive")
    told.look(34)
    assert not any("archive" in line for line in told.page.said())
    assert "archive has kept a delivery waiting too long" in told.look(2)
    assert "nothing waits too long for archive any more" not in told.look(30)


def test_a_part_that_is_not_accepted_within_the_routes_time_is_late(told: Told) -> None:
    told.relay.routed(told.relay.part(minutes=0), "archive")
    assert told.look(9) == []
    assert told.look(2) == ["1 study part of route all not accepted in time"]
    assert told.page.got[0].facts["command"].startswith("dcmrelay show p")


def test_work_inside_the_relay_that_nobody_does_is_told_of(told: Told) -> None:
    told.relay.part(minutes=0)
    assert told.look(14) == []
    assert told.look(2) == ["1 study part waiting too long to be routed"]


def test_a_configuration_file_that_is_refused_is_told_of_until_it_is_in_force(told: Told) -> None:
    note = note_of(told.relay.config)
    for refused in (["route 'all' key to: ..."], [], ["again"]):
        note.write_text(json.dumps({"refused": refused}), encoding="utf-8")
        told.look(30)
        told.look(30)
    assert told.page.said() == [
        "the configuration file is refused, the one before stays in force",
        "the configuration file is in force",
        "the configuration file is refused, the one before stays in force",
    ]
    assert told.page.got[0].facts["command"] == "dcmrelay check"


def test_what_happened_is_told_once_and_forgotten(told: Told) -> None:
    part, spool = told.relay.part(minutes=0), told.relay.spool
    for _ in range(2):
        note(spool, "handed_over", f"{part}-all-1", route="all", part=part)
    assert told.look(1) == ["1 study of route all handed over to another destination"]
    assert spool.store.list("happened/handed_over") == []
    assert len(told.look(9)) == 1


def test_no_message_holds_more_than_ids_names_counts_ages_and_commands(told: Told) -> None:
    told.relay.held(told.relay.part("1.2.3.999"), "PatientID 4711 of CANARY^PATIENT at 10.0.0.1")
    told.look(1)
    for message in told.page.got:
        whole = message.subject + message.text + str(message.facts)
        assert not [word for word in ("CANARY", "4711", "10.0.0.1", "1.2.3.999") if word in whole]
