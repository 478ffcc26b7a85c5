"""Pins: chosen once for a study, followed for a while, by everybody."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from shared.config.profiles import Profile
from shared.forms import RECEIVED
from shared.spool.pins import (
    Choice,
    Pin,
    handed_over,
    keep_profile,
    live_pins,
    pinned_profile,
    put_handed_over,
    put_pin,
    study_pins,
)
from shared.spool.spool import Spool
from tests.shared.spool.examples import FORM, NOW, Clock, new_spool

FOLLOW = timedelta(days=7)
FOLDER = study_pins("1.2.3", "DCMRELAY")


def pin(destination: str = "day", route: str = "reading", **changes: object) -> Pin:
    chosen = Choice(destination=destination, identity="1" * 16, form=FORM)
    also = Choice(destination="research", identity="2" * 16, form=RECEIVED, optional=True)
    made = Pin(route=route, epoch=0, made_at=NOW, choices=(chosen, also), urgent=False, config="c" * 64)
    return replace(made, **changes)  # type: ignore[arg-type]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def spool(tmp_path: Path, clock: Clock) -> Spool:
    return new_spool(tmp_path, clock)


def test_a_pin_is_found_again_as_it_was_made(spool: Spool) -> None:
    assert put_pin(spool, FOLDER, pin(), FOLLOW) == pin()
    assert put_pin(spool, FOLDER, pin("archive", "plain"), FOLLOW) == pin("archive", "plain")
    assert live_pins(spool, FOLDER, FOLLOW) == {"reading": pin(), "plain": pin("archive", "plain")}


def test_studies_and_called_ae_titles_have_pins_of_their_own(spool: Spool) -> None:
    put_pin(spool, FOLDER, pin(), FOLLOW)
    for other in (study_pins("1.2.4", "DCMRELAY"), study_pins("1.2.3", "OLDPACS")):
        assert live_pins(spool, other, FOLLOW) == {}


def test_no_uid_of_a_peer_becomes_a_path() -> None:
    assert study_pins("../../etc", "A/B").count("/") == 1


def test_of_two_who_choose_at_once_the_second_follows_the_first(spool: Spool, clock: Clock) -> None:
    put_pin(spool, FOLDER, pin("day"), FOLLOW)
    clock.pass_by(seconds=1)
    assert put_pin(spool, FOLDER, pin("night", made_at=clock()), FOLLOW) == pin("day")
    assert live_pins(spool, FOLDER, FOLLOW) == {"reading": pin("day")}


def test_of_two_who_write_the_same_epoch_the_first_stands(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    put_json = spool.put_json

    def overtaken(name: str, content: dict[str, object]) -> bool:
        monkeypatch.setattr(spool, "put_json", put_json)
        put_pin(spool, FOLDER, pin("night"), FOLLOW)
        return put_json(name, content)

    monkeypatch.setattr(spool, "put_json", overtaken)
    assert put_pin(spool, FOLDER, pin("day"), FOLLOW) == pin("night")


def test_a_pin_is_followed_for_as_long_as_configured_and_then_made_anew(spool: Spool, clock: Clock) -> None:
    put_pin(spool, FOLDER, pin("day"), FOLLOW)
    clock.pass_by(days=7, microseconds=-1)
    assert live_pins(spool, FOLDER, FOLLOW) == {"reading": pin("day")}
    clock.pass_by(microseconds=1)
    assert live_pins(spool, FOLDER, FOLLOW) == {}
    standing = put_pin(spool, FOLDER, pin("night", made_at=clock()), FOLLOW)
    assert (standing.epoch, standing.choices[0].destination) == (1, "night")
    assert live_pins(spool, FOLDER, FOLLOW) == {"reading": standing}


def test_a_profile_is_kept_as_it_was_when_it_was_pinned(spool: Spool) -> None:
    profile = Profile(options=("clean-descriptors",), set_after={"InstitutionName": "HX"})
    assert pinned_profile(spool, profile.hash) is None
    keep_profile(spool, profile)
    keep_profile(spool, profile)
    kept = pinned_profile(spool, profile.hash)
    assert kept == profile
    assert kept is not None
    assert kept.hash == profile.hash


def moved(before: Pin, to: str, clock: Clock) -> Pin:
    choice = Choice(destination=to, identity="3" * 16, form=FORM)
    return handed_over(before, before.choices[0].destination, choice, made_at=clock(), config="d" * 64)


def test_a_hand_over_is_the_next_epoch_and_remembers_who_was_tried(spool: Spool, clock: Clock) -> None:
    first = put_pin(spool, FOLDER, pin("day"), FOLLOW)
    clock.pass_by(minutes=10)
    second = put_handed_over(spool, FOLDER, moved(first, "night", clock))
    assert (second.epoch, second.tried, second.made_at) == (1, ("day",), clock())
    assert [choice.destination for choice in second.choices] == ["night", "research"]
    third = put_handed_over(spool, FOLDER, moved(second, "third", clock))
    assert (third.epoch, third.tried) == (2, ("day", "night"))
    assert live_pins(spool, FOLDER, FOLLOW) == {"reading": third}


def test_of_two_who_hand_over_at_once_the_first_stands(spool: Spool, clock: Clock) -> None:
    first = put_pin(spool, FOLDER, pin("day"), FOLLOW)
    assert put_handed_over(spool, FOLDER, moved(first, "night", clock)).choices[0].destination == "night"
    assert put_handed_over(spool, FOLDER, moved(first, "third", clock)).choices[0].destination == "night"


def test_what_is_chosen_anew_after_follow_has_passed_was_tried_nowhere(spool: Spool, clock: Clock) -> None:
    put_handed_over(spool, FOLDER, moved(put_pin(spool, FOLDER, pin("day"), FOLLOW), "night", clock))
    clock.pass_by(days=7)
    anew = put_pin(spool, FOLDER, pin("day", made_at=clock()), FOLLOW)
    assert (anew.epoch, anew.tried) == (2, ())


def test_a_pin_of_an_older_version_can_be_followed(spool: Spool) -> None:
    put_pin(spool, FOLDER, pin(), FOLLOW)
    name = f"{FOLDER}/reading/000000.json"
    content = spool.read_json(name)
    assert content is not None
    del content["tried"]
    spool.store.delete(name)
    spool.put_json(name, content)
    assert live_pins(spool, FOLDER, FOLLOW) == {"reading": pin()}
