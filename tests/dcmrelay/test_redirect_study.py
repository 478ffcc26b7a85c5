"""`dead redirect --whole-study`: a study goes elsewhere with all that is still to come of it, on prepared spools."""

import json
import threading
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from consumers.router.handler import Router
from dcmrelay.redirecting import _meant
from producers.replay import redirect as redirecting
from producers.replay.orders import Site
from producers.replay.redirect import Way
from producers.replay.show import dead_letters
from shared.config import load
from shared.messages import Bell
from shared.outcomes import Done
from shared.spool.parts import decided_deliveries
from shared.spool.pins import Pin, newest_pin, study_pins
from shared.spool.spool import Spool
from shared.spool.states import Retry, State
from shared.spool.units import Unit
from shared.work import Worker
from tests.dcmrelay.relays import STUDY, Command, Prepared, commander, prepared
from tests.shared.spool.examples import Killed, Steps

TEXT = """
[relay]
data_dir = "var"
[ingress]
min_free = "1MB"
[[source]]
name = "ct-1"
ae_title = "CT1"
[[source]]
name = "mr-1"
ae_title = "MR1"
[[destination]]
name = "archive"
ae_title = "ARCHIVE"
host = "127.0.0.1"
port = 104
[[destination]]
name = "reading"
ae_title = "READING"
host = "127.0.0.1"
port = 105
[[route]]
name = "chosen"
CHOICE
[[route]]
name = "never"
match = { host = "192.0.2.1" }
to = ["reading"]
"""
TO, ONE_OF = 'to = ["archive"]', 'one_of = [{ destination = "archive" }, { destination = "reading" }]'


@dataclass
class Hospital:
    """A relay whose studies go to `archive`, and may go to `reading`."""

    relay: Prepared
    command: Command
    path: Path

    def configure(self, text: str) -> None:
        self.path.write_text(text, encoding="utf-8")
        self.relay.config = load(self.path)
        self.relay.spool.keep_config(self.relay.config.snapshot(), self.relay.config.hash)

    def sent(self, study: str = STUDY, source: str = "ct-1") -> str:
        """A part that the router has looked at."""
        part = self.relay.part(study, source=source, config=self.relay.config.hash)
        self.route()
        return part

    def route(self) -> None:
        """The router looks at every part that waits for it."""
        worker = Worker(self.relay.spool, Router(self.relay.spool).handle, Retry(), threading.Event())
        for part in self.relay.spool.parts.ids():
            if (state := self.state(part)).status == "waiting" and not state.outcome:
                worker.look(Bell(unit=part, n=state.n))

    def state(self, unit: str) -> State:
        found = self.relay.spool.units(unit).newest(unit)
        assert found is not None
        return found

    def deliveries(self, part: str) -> list[Unit]:
        found = [self.relay.spool.deliveries.load(it) for it in decided_deliveries(self.relay.spool, part) or ()]
        return [unit for unit in found if unit is not None]

    def went(self, part: str) -> list[str]:
        return [str(unit.order["destination"]) for unit in self.deliveries(part)]

    def letter(self, study: str = STUDY, source: str = "ct-1") -> tuple[str, str]:
        """A part, and its delivery, which is a dead letter."""
        (unit,) = self.deliveries(part := self.sent(study, source))
        self.relay.held(unit.id, "gave up", "unreachable")
        return part, unit.id

    def redirect(self, *more: str) -> None:
        said = self.command("dead", "redirect", *more, "--to", "reading", "--whole-study", "--why", "moved")
        assert said.code == 0, said.err
        self.route()

    def pin(self, route: str, study: str = STUDY) -> Pin:
        found = newest_pin(self.relay.spool, study_pins(study, "DCMRELAY"), route)
        assert found is not None
        return found


@pytest.fixture
def hospital(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Hospital:
    path = tmp_path / "dcmrelay.toml"
    found = Hospital(prepared(tmp_path), commander(monkeypatch, capsys, path), path)
    found.relay.spool = Spool(found.relay.spool.store.root)  # a command's clock is the real one
    found.configure(TEXT.replace("CHOICE", TO))
    return found


@pytest.mark.parametrize("choice", [TO, ONE_OF])
def test_what_comes_of_a_study_later_follows_it(hospital: Hospital, choice: str) -> None:
    hospital.configure(TEXT.replace("CHOICE", choice))
    part, letter = hospital.letter()
    hospital.redirect(letter)
    assert hospital.went(part) == ["archive", "reading"]
    late = hospital.sent()
    assert hospital.went(late) == ["reading"]
    pin = hospital.pin("chosen")
    assert (pin.epoch, pin.tried, pin.choices[0].one_of) == (1, ("archive",), False)
    assert pin.why.endswith(": moved")
    assert hospital.state(late).outcome == "routed"
    assert hospital.went(hospital.sent("1.9")) == ["archive"]


def test_what_another_source_sends_of_the_study_goes_along(hospital: Hospital) -> None:
    _, letter = hospital.letter()
    (other,) = hospital.deliveries(from_mr := hospital.sent(source="mr-1"))
    hospital.redirect(letter)
    assert hospital.state(other.id).outcome == "redirected"
    assert hospital.went(from_mr) == ["archive", "reading"]
    assert hospital.went(hospital.sent(source="mr-1")) == ["reading"]


def test_what_the_old_destination_has_is_listed_until_its_people_discard_it(hospital: Hospital) -> None:
    (first,) = hospital.deliveries(hospital.sent())
    hospital.relay.progress(first.id, {"delivered": {"0": "0000"}})
    hospital.relay.settle(first.id, Done(outcome="delivered"))
    _, letter = hospital.letter()
    hospital.redirect(letter)
    said = hospital.command("status").out
    assert "archive has 1 of 1 instances of a study that reading was given; tell it to discard them" in said


def test_a_study_that_moved_is_sent_again_only_where_it_went(hospital: Hospital) -> None:
    part, letter = hospital.letter()
    hospital.redirect(letter)
    _, new = hospital.deliveries(part)
    hospital.relay.settle(new.id, Done(outcome="delivered"))
    assert hospital.command("resend", part).code == 0
    hospital.route()
    assert hospital.went(part) == ["archive", "reading", "reading"]
    assert hospital.command("resend", part, "--to", "archive").code == 0
    hospital.route()
    assert hospital.went(part) == ["archive", "reading", "reading", "archive"]


def test_a_redirect_that_is_refused_moves_no_pin(hospital: Hospital) -> None:
    hospital.configure(TEXT.replace("CHOICE", 'to = ["archive", "reading"]'))
    archive, _ = hospital.deliveries(hospital.sent())
    hospital.relay.held(archive.id, "gave up", "unreachable")
    said = hospital.command("dead", "redirect", archive.id, "--to", "reading", "--whole-study")
    assert (said.code, "reading has a delivery of its own of this part" in said.err) == (1, True)
    assert hospital.went(hospital.sent()) == ["archive", "reading"]


def test_without_whole_study_later_parts_stay(hospital: Hospital) -> None:
    _, letter = hospital.letter()
    assert hospital.command("dead", "redirect", letter, "--to", "reading").code == 0
    assert hospital.went(hospital.sent()) == ["archive"]


def test_a_dry_run_moves_no_pin(hospital: Hospital) -> None:
    _, letter = hospital.letter()
    hospital.command("dead", "redirect", letter, "--to", "reading", "--whole-study", "--dry-run")
    assert hospital.pin("chosen").epoch == 0


def test_a_late_part_whose_destination_was_changed_goes_on_with_its_study(hospital: Hospital) -> None:
    (first,) = hospital.deliveries(part := hospital.sent())
    hospital.relay.settle(first.id, Done(outcome="delivered"))
    hospital.configure(TEXT.replace("CHOICE", TO).replace("port = 104", "port = 204"))
    late = hospital.sent()
    assert (hospital.state(late).status, hospital.state(late).dead_letter_class) == ("held", "policy")
    refused = hospital.command("dead", "redirect", late, "--to", "reading")
    assert (refused.code, "`--to NAME --whole-study` moves its study first" in refused.err) == (1, True)
    shown = hospital.command("dead", "redirect", late, "--to", "reading", "--whole-study", "--dry-run", "--json")
    assert "its study moves from archive to reading; it is decided by that" in [
        row["would"] for row in json.loads(shown.out)
    ]
    hospital.redirect(late)
    assert hospital.went(late) == ["reading"]
    assert hospital.went(part) == ["archive", "reading"]
    assert hospital.went(hospital.sent()) == ["reading"]


def test_a_study_may_go_on_to_the_same_name_at_its_new_address(hospital: Hospital) -> None:
    hospital.sent()
    hospital.configure(TEXT.replace("CHOICE", TO).replace("port = 104", "port = 204"))
    late = hospital.sent()
    said = hospital.command("dead", "redirect", late, "--to", "archive", "--whole-study")
    assert said.code == 0, said.err
    hospital.route()
    (new,) = hospital.deliveries(late)
    assert new.order["identity"] == hospital.relay.config.destinations[0].identity


def test_a_late_part_whose_route_is_gone_goes_by_the_route_that_names_its_new_destination(hospital: Hospital) -> None:
    hospital.sent()
    hospital.configure(TEXT.replace("CHOICE", 'to = ["reading"]').replace('"chosen"', '"another"'))
    late = hospital.sent()
    assert "route 'chosen', which earlier parts of the study took, is gone" in hospital.state(late).reason
    hospital.redirect(late)
    assert hospital.went(late) == ["reading"]
    assert (hospital.pin("chosen").choices, hospital.pin("another").choices[0].destination) == ((), "reading")


def test_a_route_that_comes_back_does_not_give_the_study_to_its_old_destination(hospital: Hospital) -> None:
    hospital.sent()
    hospital.configure(TEXT.replace("CHOICE", 'to = ["reading"]').replace('"chosen"', '"another"'))
    hospital.redirect(hospital.sent())
    hospital.configure(TEXT.replace("CHOICE", TO))
    late = hospital.sent()
    assert hospital.state(late).dead_letter_class == "policy"
    assert hospital.went(late) == []


def test_what_is_held_for_another_reason_is_not_redirected(hospital: Hospital) -> None:
    hospital.configure(TEXT.replace("CHOICE", 'match = { host = "192.0.2.1" }\nto = ["archive"]'))
    part = hospital.sent()
    said = hospital.command("dead", "redirect", part, "--to", "reading", "--whole-study")
    assert said.code == 1
    assert "is not routed: `dcmrelay dead replay` decides it anew" in said.err
    assert hospital.state(part).status == "held"


def test_killed_at_any_step_and_given_again_the_study_is_in_one_place(hospital: Hospital) -> None:
    for kill_at in count(1):
        part, letter = hospital.letter(study := f"1.7.{kill_at}")
        if not _is_killed(hospital, kill_at, part):
            break
        hospital.route()
        late = hospital.sent(study)
        if hospital.state(letter).status == "held":
            hospital.redirect(letter)
        assert hospital.state(letter).outcome == "redirected"
        assert hospital.went(part) == ["archive", "reading"]
        current = [it for it in hospital.deliveries(late) if it.state.outcome != "redirected"]
        assert [it.order["destination"] for it in current] == ["reading"]
        assert hospital.pin("chosen", study).epoch == 1
        assert hospital.went(hospital.sent(study)) == ["reading"]
    assert kill_at > 6


def _is_killed(hospital: Hospital, kill_at: int, part: str) -> bool:
    """Redirects a part's dead letter with its whole study in a process that is killed at that step."""
    relay = hospital.relay
    spool = Spool(relay.spool.store.root, clock=relay.spool.now, step=Steps([], kill_at))
    site, way = Site(spool=spool, config=relay.config, by="ann@pacs", why=""), Way(to="reading", whole=True)
    units = _meant(spool, [it for it in dead_letters(spool) if it.part == part], [], way)
    try:
        redirecting.carried_out(site, redirecting.planned(site, units, way), way)
    except Killed:
        return True
    return False
