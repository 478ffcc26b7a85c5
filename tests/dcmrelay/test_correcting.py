"""`dead replay --set`: a person corrects an element, and what stopped goes on with the new value and no other."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from pydicom import Dataset, dcmread

from consumers.anonymizer.handler import Anonymizer
from consumers.ledger.folding import kind_of
from consumers.router.handler import Router
from consumers.sender.parcel import pack
from dcmrelay.person import who
from producers.replay import redirect as redirecting
from producers.replay.correct import correct_part, correction_of
from producers.replay.orders import Site
from producers.replay.redirect import Way
from producers.replay.show import dead_letters
from shared.errors import SupersededError
from shared.forms import RECEIVED
from shared.outcomes import Done, Held, Outcome
from shared.spool.accounts import accounts_of_delivery, accounts_of_part
from shared.spool.deliveries import order_from_json
from shared.spool.parts import decided_deliveries
from shared.spool.pins import live_pins, study_pins
from shared.spool.spool import Spool
from shared.spool.states import State
from shared.work import Claim
from tests.consumers.bench import ALL, NOW, RELAY, STUDY, Bench, bench, data_set, data_sets
from tests.dcmrelay.relays import Command, commander
from tests.shared.spool.examples import Killed, Steps

PATIENT = '[[check]]\nname = "patient"\npattern = { PatientID = "^[0-9]{6}$" }\n'
EDITED = '[edit.e]\nset = { AccessionNumber = "HX{AccessionNumber}" }\n' + ALL + 'edit = "e"\ncorrection = true\n'
WHY = ("--why", "typed wrong")


@pytest.fixture
def relay(tmp_path: Path) -> Bench:
    return configured(bench(tmp_path), RELAY + ALL + PATIENT)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[Command]:
    yield commander(monkeypatch, capsys, tmp_path / "dcmrelay.toml")
    structlog.reset_defaults()


def configured(relay: Bench, text: str) -> Bench:
    (relay.folder / "dcmrelay.toml").write_text(text, encoding="utf-8")
    relay.configure(text)
    return relay


def routed(relay: Bench, part: str) -> State:
    relay.look(part, Router(relay.spool).handle)
    state = relay.spool.parts.newest(part)
    assert state is not None
    return state


def rendered(relay: Bench, delivery: str) -> State:
    relay.look(delivery, Anonymizer(relay.spool, relay.config).handle)
    state = relay.spool.deliveries.newest(delivery)
    assert state is not None
    return state


def held(relay: Bench, *data: Dataset) -> str:
    part = relay.part(*data)
    assert routed(relay, part).dead_letter_class == "invalid"
    return part


def leaving(relay: Bench, delivery: str) -> dict[str, Dataset]:
    """What of a delivery may leave, by index, as the sender finds it."""
    unit = relay.spool.deliveries.load(delivery)
    assert unit is not None
    parcel = pack(relay.spool, order_from_json(unit.order), deidentified_only=False)
    return {i: dcmread(relay.spool.store.path(it.file)) for i, it in parcel.left(unit.facts).items()}


def answered(relay: Bench, delivery: str, *delivered: str, word: Outcome) -> None:
    """Lets a sender tell what was delivered, and what became of the delivery then."""

    def handle(claim: Claim) -> Outcome:
        claim.record({"delivered": dict.fromkeys(delivered, "0000")})
        return word

    relay.look(delivery, handle)


def refused(relay: Bench, delivery: str) -> None:
    """Lets a delivery be refused whole."""
    answered(relay, delivery, word=Held("2 of 2 instances refused (A900)", "refused"))


def deliveries(relay: Bench, part: str) -> list[str]:
    return list(decided_deliveries(relay.spool, part) or ())


def form_of(relay: Bench, delivery: str) -> str:
    return order_from_json(relay.spool.deliveries.order(delivery) or {}).form.label


def test_a_part_is_checked_and_goes_with_the_corrected_value_and_nothing_else_changes(
    relay: Bench, command: Command
) -> None:
    part = held(relay, *data_sets(2))
    said = command("dead", "replay", part, "--set", "PatientID=471100", *WHY)
    assert (said.code, said.out.splitlines()[0]) == (0, "corrected: 1")
    assert routed(relay, part).outcome == "routed"
    (delivery,) = deliveries(relay, part)
    assert rendered(relay, delivery).stage == "send"
    for index, sent in leaving(relay, delivery).items():
        before = dcmread(relay.spool.store.path(relay.manifest(part).instances[int(index)].file))
        assert sent.PatientID == "471100"
        sent.PatientID = before.PatientID
        assert sent == before
    assert form_of(relay, delivery) == "corrected"


NAMES = [("\\ISO 2022 IR 87", "Yamada^Tarou=山田^太郎=やまだ^たろう", "山田"), ("ISO_IR 126", "Διονύσιος", "Διονύσιος")]


@pytest.mark.parametrize(("character_set", "name", "part_of_it"), NAMES)
def test_a_corrected_name_is_read_by_rules_and_receiver_in_the_character_set_of_the_file(
    relay: Bench, command: Command, character_set: str, name: str, part_of_it: str
) -> None:
    configured(relay, RELAY + ALL + f'[[check]]\nname = "n"\npattern = {{ PatientName = "{part_of_it}" }}\n')
    part = held(relay, data_set(SpecificCharacterSet=character_set.split("\\"), StudyDescription="plain"))
    assert command("dead", "replay", part, "--set", f"PatientName={name}", *WHY).err == ""
    assert routed(relay, part).outcome == "routed"
    (delivery,) = deliveries(relay, part)
    rendered(relay, delivery)
    (sent,) = leaving(relay, delivery).values()
    sent.decode()
    assert (str(sent.PatientName), sent.StudyDescription) == (name, "plain")
    assert "\\".join(sent.get("SpecificCharacterSet")) == character_set or sent.SpecificCharacterSet == character_set


def test_later_parts_of_the_study_are_not_corrected_by_it(relay: Bench, command: Command) -> None:
    part = held(relay, data_set())
    command("dead", "replay", part, "--set", "PatientID=471100", *WHY)
    routed(relay, part)
    pins = live_pins(relay.spool, study_pins(STUDY, "DCMRELAY"), relay.config.relay.follow)
    assert pins["all"].choices[0].form == RECEIVED
    later = relay.part(data_set(2, PatientID="471100"))
    assert routed(relay, later).outcome == "routed"
    assert form_of(relay, deliveries(relay, later)[0]) == "as received"


def test_a_correction_that_is_wrong_too_waits_again_and_a_second_adds_to_it(relay: Bench, command: Command) -> None:
    part = held(relay, data_set())
    command("dead", "replay", part, "--set", "PatientID=X1", "--set", "AccessionNumber=A9", *WHY)
    assert "PatientID does not fit" in routed(relay, part).reason
    command("dead", "replay", part, *WHY)
    assert routed(relay, part).status == "held"
    command("dead", "replay", part, "--set", "PatientID=471100", *WHY)
    routed(relay, part)
    (delivery,) = deliveries(relay, part)
    rendered(relay, delivery)
    assert [(it.PatientID, it.AccessionNumber) for it in leaving(relay, delivery).values()] == [("471100", "A9")]


def test_a_second_correction_may_name_the_same_element_by_its_tag(relay: Bench, command: Command) -> None:
    part = held(relay, data_set())
    command("dead", "replay", part, "--set", "PatientID=X1", *WHY)
    routed(relay, part)
    said = command("dead", "replay", part, "--set", "(0010,0020)=471100", *WHY)
    assert (said.code, said.err) == (0, "")
    assert routed(relay, part).outcome == "routed"


def test_a_letter_that_the_rest_of_an_instance_cannot_stand_beside_is_refused_before_anything_goes(
    relay: Bench, command: Command
) -> None:
    part = held(relay, data_set(SpecificCharacterSet="ISO_IR 100", StudyDescription="Größe"))
    said = command("dead", "replay", part, "--set", "PatientName=Διονύσιος", *WHY)
    assert said.code == 1
    assert "PatientName has characters that the character set of the instance has not" in said.err
    assert relay.spool.parts.newest(part).status == "held"  # type: ignore[union-attr]


def test_what_an_edit_held_goes_by_the_edit_of_now_when_that_is_said(relay: Bench, command: Command) -> None:
    configured(relay, RELAY + EDITED.replace('"HX{', '"A number much too long {'))
    part = relay.part(data_set(1, AccessionNumber="A1"))
    routed(relay, part)
    (old,) = deliveries(relay, part)
    rendered(relay, old)
    answered(relay, old, word=Held("1 instance is held", "invalid"))
    configured(relay, RELAY + EDITED)
    said = command("dead", "replay", old, "--profile-now", *WHY)
    assert (said.code, said.err) == (0, "")
    routed(relay, part)
    new = deliveries(relay, part)[1]
    configured(relay, RELAY + ALL)  # what it goes by now is kept
    rendered(relay, new)
    assert [it.AccessionNumber for it in leaving(relay, new).values()] == ["HXA1"]


def test_corrections_come_before_edit_and_profile(relay: Bench, command: Command) -> None:
    configured(
        relay,
        RELAY
        + EDITED.replace('edit = "e"', 'edit = "e"\nprofile = "basic"').replace("correction = true\n", "")
        + PATIENT,
    )
    part = held(relay, data_set(AccessionNumber="A1"))
    command("dead", "replay", part, "--set", "PatientID=471100", "--set", "AccessionNumber=B{AccessionNumber}", *WHY)
    routed(relay, part)
    (delivery,) = deliveries(relay, part)
    assert form_of(relay, delivery) == "corrected, edited (e), de-identified (basic)"
    assert rendered(relay, delivery).stage == "send"
    (sent,) = leaving(relay, delivery).values()
    assert sent.PatientIdentityRemoved == "YES"
    assert "471100" not in str(sent)


def test_of_a_delivery_the_held_instance_goes_corrected_and_the_others_are_untouched(
    relay: Bench, command: Command
) -> None:
    configured(relay, RELAY + EDITED)
    part = relay.part(data_set(1, AccessionNumber="A1"), data_set(2), data_set(3, AccessionNumber="A1"))
    routed(relay, part)
    (old,) = deliveries(relay, part)
    rendered(relay, old)
    answered(relay, old, "0", "2", word=Held("1 instance is held", "invalid"))
    said = command("dead", "replay", old, "--set", "AccessionNumber=A1", *WHY)
    assert (said.code, said.err) == (0, "")
    routed(relay, part)
    new = deliveries(relay, part)[1]
    assert rendered(relay, new).stage == "send"
    assert {index: it.AccessionNumber for index, it in leaving(relay, new).items()} == {"1": "HXA1"}
    assert form_of(relay, new) == "corrected, edited (e)"
    state = relay.spool.deliveries.newest(old)
    assert state is not None
    assert (state.outcome, state.by, state.reason) == ("corrected", who(), "AccessionNumber: typed wrong")
    story = command("show", part).out
    assert f"corrected by {who()}" in story
    assert "archive (corrected, edited (e))" in story


def test_what_was_corrected_is_never_sent_uncorrected_again(relay: Bench, command: Command) -> None:
    configured(relay, RELAY + ALL)
    part = relay.part(*data_sets(2))
    routed(relay, part)
    (old,) = deliveries(relay, part)
    refused(relay, old)
    command("dead", "replay", old, "--set", "PatientID=471100", *WHY)
    routed(relay, part)
    new = deliveries(relay, part)[1]
    rendered(relay, new)
    answered(relay, new, "0", "1", word=Done(outcome="delivered"))
    assert command("resend", part, *WHY).code == 0
    routed(relay, part)
    (again,) = set(deliveries(relay, part)) - {old, new}
    assert form_of(relay, again) == "corrected"


def test_a_dry_run_names_elements_and_changes_nothing(relay: Bench, command: Command) -> None:
    part = held(relay, data_set(1), data_set(2, PatientID="4712"))
    before = relay.spool.parts.newest(part)
    said = command("dead", "replay", part, "--set", "PatientID=4712", "--dry-run", "--json")
    (row,) = json.loads(said.out)
    assert row["would"] == "decided anew; changes PatientID in 1 of 2"
    assert relay.spool.parts.newest(part) == before
    assert not [it for it in relay.spool.store.list(f"parts/{part}") if it.startswith("corrections")]


def test_explain_tells_of_a_past_study_by_its_corrected_values(relay: Bench, command: Command) -> None:
    configured(relay, RELAY + EDITED + PATIENT)
    part = held(relay, data_set(AccessionNumber="A1"))
    assert "a person is needed" in command("explain", part).out
    command("dead", "replay", part, "--set", "PatientID=471100", "--set", "AccessionNumber=B7", *WHY)
    routed(relay, part)
    said = command("explain", part, "--values").out
    assert "a person is needed" not in said
    assert 'AccessionNumber changes in 1 instances: "B7" -> "HXB7"' in said


def test_values_stand_in_the_spool_alone(relay: Bench, command: Command) -> None:
    part = held(relay, data_set())
    said = [command("dead", "replay", part, "--set", "PatientID=471100", *WHY)]
    routed(relay, part)
    said += [command("show", part), command("dead", "list"), command("show", part, "--json")]
    assert not any("471100" in it.out.replace(STUDY, "") or "471100" in it.err for it in said)
    (name,) = [it for it in relay.spool.store.list(f"parts/{part}") if it.startswith("corrections")]
    kept = relay.spool.store.path(f"parts/{part}/{name}")
    assert kept.stat().st_mode & 0o077 == 0
    assert "471100" in kept.read_text()
    records = [it for it in relay.spool.store.path(f"parts/{part}").glob("*.json") if it != kept]
    assert not any("471100" in it.read_text() for it in records)


def test_the_ledger_says_corrected_who_and_which_elements(relay: Bench, command: Command) -> None:
    part = held(relay, data_set())
    command("dead", "replay", part, "--set", "PatientID=471100", *WHY)
    account = accounts_of_part(relay.spool, part)[-1]
    assert (kind_of(account), account["by"], account["reason"]) == ("corrected", who(), "PatientID: typed wrong")
    assert "471100" not in json.dumps(accounts_of_part(relay.spool, part))
    configured(relay, RELAY + ALL)
    other = relay.part(data_set(2))
    routed(relay, other)
    refused(relay, deliveries(relay, other)[0])
    command("dead", "replay", deliveries(relay, other)[0], "--set", "PatientID=471100", *WHY)
    assert kind_of(accounts_of_delivery(relay.spool, deliveries(relay, other)[0])[-1]) == "corrected"


REFUSED = [
    (("PatientID",), "--set: write KEYWORD=VALUE"),
    (("=471100",), "--set: write KEYWORD=VALUE"),
    (("PatientID=",), "--set: PatientID has no value; --set gives one, and removes nothing"),
    (("PatentID=471100",), "--set: 'PatentID' is not a DICOM keyword; did you mean 'PatientID'?"),
    (("PatientID=471100", "PatientID=471101"), "--set: PatientID is given twice; keep one of them"),
    (
        ("StudyInstanceUID=1.2.471100",),
        "--set: StudyInstanceUID is a UID or describes the pixel data, which --set leaves",
    ),
    (("Rows=471100",), "--set: Rows is a UID or describes the pixel data, which --set leaves as it is"),
    (("PixelData=471100",), "--set: PixelData belongs to the pixel data, which no edit touches"),
    (("SpecificCharacterSet=471100",), "--set: SpecificCharacterSet says how the text is written"),
    (("RequestAttributesSequence=471100",), "--set: RequestAttributesSequence has VR SQ, which cannot take text"),
    (("PatientID={471100}",), "--set: PatientID: braces quote other elements"),
    (("PatientID=}471100",), "--set: PatientID: braces quote other elements"),
]


@pytest.mark.parametrize(("settings", "words"), REFUSED)
def test_what_cannot_be_set_is_refused_without_its_value(
    relay: Bench, command: Command, settings: tuple[str, ...], words: str
) -> None:
    part = held(relay, data_set())
    said = command("dead", "replay", part, *(word for it in settings for word in ("--set", it)), *WHY)
    assert said.code == 1
    assert said.err.startswith(f"dcmrelay: {words}")
    assert "471100" not in said.err
    assert relay.spool.parts.newest(part).status == "held"  # type: ignore[union-attr]


IMPOSSIBLE = [
    ("StudyDate=471100", "StudyDate "),
    (f"AccessionNumber={'471100' * 3}", "AccessionNumber would be longer than the 16 characters"),
    ("AccessionNumber=A{StudyID}", "AccessionNumber would be empty: StudyID, which it quotes, has no value"),
    ("PatientID=4711", "every instance has these values already; replay it without --set"),
]


@pytest.mark.parametrize(("setting", "words"), IMPOSSIBLE)
def test_a_correction_that_no_instance_can_take_lets_nothing_go(
    relay: Bench, command: Command, setting: str, words: str
) -> None:
    part = held(relay, data_set())
    said = command("dead", "replay", part, "--set", setting, *WHY)
    assert said.code == 1
    assert words in said.err
    assert "471100" not in said.err
    assert relay.spool.parts.newest(part).status == "held"  # type: ignore[union-attr]
    configured(relay, RELAY + ALL)
    other = relay.part(data_set(2))
    routed(relay, other)
    refused(relay, deliveries(relay, other)[0])
    assert words in command("dead", "replay", deliveries(relay, other)[0], "--set", setting, *WHY).err
    assert len(deliveries(relay, other)) == 1


def test_only_one_study_is_corrected_at_a_time_with_words_and_nothing_beside(relay: Bench, command: Command) -> None:
    first, second = held(relay, data_set()), relay.part(data_set(1, "1.9"), study="1.9")
    routed(relay, second)
    setting = ("--set", "PatientID=471100")
    assert "these are of 2 studies" in command("dead", "replay", first, second, *setting, *WHY).err
    assert '--why "..."' in command("dead", "replay", first, *setting).err
    assert "--set goes without" in command("dead", "replay", first, *setting, "--profile-now", *WHY).err
    assert {it.status for part in (first, second) if (it := relay.spool.parts.newest(part))} == {"held"}


def test_a_part_that_was_routed_already_is_corrected_by_its_deliveries(relay: Bench, command: Command) -> None:
    configured(relay, RELAY + ALL)
    part = relay.part(data_set())
    Router(relay.spool).handle(relay.claim(part))
    relay.look(part, lambda _: Held("a bug", "bug"))
    said = command("dead", "replay", part, "--set", "PatientID=471100", *WHY)
    assert (said.code, "it is decided already" in said.err) == (1, True)


def stopped(relay: Bench, which: str) -> str:
    """A part that was not routed, or that has a delivery that was refused."""
    part = relay.part(data_set())
    if which == "part":
        relay.look(part, lambda _: Held("no route wants it", "policy"))
    else:
        routed(relay, part)
        refused(relay, deliveries(relay, part)[0])
    return part


def correct(relay: Bench, spool: Spool) -> None:
    """Corrects the one dead letter, by the functions behind the command."""
    edit = correction_of(["PatientID=471100"])
    for letter in dead_letters(spool):
        if letter.stage == "route":
            correct_part(spool, letter, edit, by="A", why="", config=relay.config.hash)
        else:
            site = Site(spool=spool, config=relay.config, by="A", why="")
            way = Way(correction=edit)
            units = [redirecting.load_delivery(spool, letter.id)]
            redirecting.carried_out(site, redirecting.planned(site, units, way), way)


def test_a_router_that_hung_meanwhile_decides_nothing_uncorrected(relay: Bench) -> None:
    configured(relay, RELAY + ALL)
    part = relay.part(data_set())
    hung = relay.claim(part)
    relay.look(part, lambda _: Held("a bug", "bug"))
    correct(relay, relay.spool)
    with pytest.raises(SupersededError):
        Router(relay.spool).handle(hung)
    assert deliveries(relay, part) == []
    routed(relay, part)
    assert [form_of(relay, it) for it in deliveries(relay, part)] == ["corrected"]


def test_what_was_decided_uncorrected_all_the_same_is_held(relay: Bench) -> None:
    configured(relay, RELAY + ALL)
    part = stopped(relay, "part")
    correct(relay, relay.spool)
    relay.spool.put_json(f"parts/{part}/decision.json", {"config": relay.config.hash, "routes": [], "deliveries": []})
    assert "nothing of it goes uncorrected" in routed(relay, part).reason


@pytest.mark.parametrize("which", ["part", "delivery"])
def test_killed_at_any_durable_step_the_same_again_corrects_it_once(tmp_path: Path, which: str) -> None:
    for last in range(1, 40):
        (tmp_path / str(last)).mkdir()
        relay = bench(tmp_path / str(last))
        part = stopped(relay, which)
        steps = Steps([], last)
        with contextlib.suppress(Killed):
            correct(relay, Spool(relay.spool.store.path(""), clock=lambda: NOW, step=steps))
        correct(relay, relay.spool)
        routed(relay, part)
        forms = [form_of(relay, it) for it in deliveries(relay, part)]
        assert forms == ["as received"] * (which == "delivery") + ["corrected"]
        if len(steps.seen) < last:
            return
    pytest.fail("never came to the end")
