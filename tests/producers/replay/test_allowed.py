"""Where a delivery may go instead: by table."""

from dataclasses import replace
from pathlib import Path

import pytest

from producers.replay.allowed import by_profile_now, by_rules_now, form_towards, readdressed
from shared.config import Config, parse
from shared.forms import ENGINE_VERSION, RECEIVED, Form
from shared.spool.deliveries import Order
from shared.spool.parts import Part
from tests.shared.spool.examples import NOW

TEXT = """
[[source]]
name = "ct-1"
ae_title = "CT1"
[[source]]
name = "mr-1"
ae_title = "MR1"
""" + "".join(
    f"""
[[destination]]
name = "{name}"
ae_title = "{name.upper()}"
host = "127.0.0.1"
port = {port}
{more}
"""
    for port, (name, more) in enumerate(
        {
            "archive": 'calling_ae_title = "{source}"', "backup": 'calling_ae_title = "{source}"', "of-mr": "",
            "under-other-name": "", "day": "deidentified_only = true", "night": "deidentified_only = true",
            "research": "", "unrouted": "",
        }.items(), 1
    )
) + """
[profile.reading]
[profile.research]
options = ["retain-patient-characteristics"]
[[route]]
name = "plain"
match = { source = "ct-1", Modality = "CT" }
to = ["archive"]
optional = ["backup"]
[[route]]
name = "mr"
match = { source = "mr-1" }
to = ["of-mr"]
[[route]]
name = "other-name"
match = { source = "ct-*", called = "OLDPACS" }
to = ["under-other-name"]
[[route]]
name = "outside"
match = { source = "ct-1" }
profile = "reading"
to = ["day", "night"]
[[route]]
name = "science"
match = { source = "ct-1" }
profile = "research"
to = ["research"]
"""  # fmt: skip
PART = Part(
    id="p1", source="ct-1", calling_ae_title="CT1", called_ae_title="DCMRELAY", study_instance_uid="1.2", run="i0",
    opened_at=NOW,
)  # fmt: skip


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return parse(TEXT, tmp_path_factory.mktemp("allowed"))


def reading(config: Config) -> Form:
    return Form(
        kind="deidentified", profile="reading", profile_hash=config.profiles["reading"].hash, key_id="k",
        engine_version=ENGINE_VERSION, issuer="HX",
    )  # fmt: skip


def order(form: Form = RECEIVED) -> Order:
    return Order(
        part="p1", route="plain", destination="archive", identity="0" * 16, calling_ae_title="CT1", form=form,
        source="ct-1", urgent=True,
    )  # fmt: skip


def test_the_same_form_goes_to_another_destination_of_the_source_as_its_route_says(config: Config) -> None:
    backup = config.destination("backup")
    assert backup is not None
    assert readdressed(order(), "backup", part=PART, config=config) == replace(
        order(), destination="backup", identity=backup.identity
    )
    moved = readdressed(order(reading(config)), "night", part=PART, config=config)
    assert (moved.destination, moved.route, moved.form) == ("night", "outside", reading(config))
    assert moved.calling_ae_title == "DCMRELAY"


def test_the_same_destination_as_it_is_configured_now_is_another_one(config: Config) -> None:
    assert readdressed(order(), "archive", part=PART, config=config).id != order().id


@pytest.mark.parametrize(
    ("to", "is_reading", "why"),
    [
        ("nowhere", False, "no destination 'nowhere' is configured; known: archive, backup"),
        ("unrouted", False, "no route of source 'ct-1' names 'unrouted'"),
        ("of-mr", False, "no route of source 'ct-1' names 'of-mr'"),
        ("under-other-name", False, "no route of source 'ct-1' names"),
        ("research", False, "no route gives 'research' studies of 'ct-1' as received"),
        ("night", False, "'night' takes nothing without proof of de-identification"),
        ("backup", True, "no route gives 'backup' studies of 'ct-1' de-identified"),
        ("research", True, "no route gives 'research' studies of 'ct-1' de-identified"),
    ],
)
def test_it_goes_nowhere_else_and_in_no_other_form(config: Config, to: str, is_reading: bool, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        readdressed(order(reading(config) if is_reading else RECEIVED), to, part=PART, config=config)


def test_an_older_profile_goes_nowhere_new(config: Config) -> None:
    older = replace(reading(config), profile_hash="0" * 64)
    with pytest.raises(ValueError, match="was changed since; --profile-now"):
        readdressed(order(older), "night", part=PART, config=config)
    now = by_profile_now(older, config, lambda _: "k")
    assert now == reading(config)
    assert readdressed(order(now), "night", part=PART, config=config).form == now


def test_a_source_that_is_gone_sends_nowhere_new(config: Config) -> None:
    with pytest.raises(ValueError, match="source 'xa-1' is not configured any more"):
        readdressed(order(), "backup", part=replace(PART, source="xa-1"), config=config)


@pytest.mark.parametrize("form", [RECEIVED, Form(kind="deidentified", profile="gone", profile_hash="0")])
def test_without_its_profile_there_is_no_newer_form(config: Config, form: Form) -> None:
    with pytest.raises(ValueError, match="no such profile"):
        by_profile_now(form, config, lambda _: "k")


TWO = """
one_of = [
  { destination = "day" },
  { destination = "night", profile = "research", edit = "theirs" },
  { destination = "research" },
]
"""


@pytest.mark.parametrize(
    ("to", "profile", "edit"),
    [("night", "research", "theirs"), ("day", "reading", ""), ("research", "reading", ""), ("archive", "reading", "")],
)
def test_another_candidate_of_its_route_gets_it_by_its_own_profile_and_edit(
    tmp_path: Path, to: str, profile: str, edit: str
) -> None:
    text = TEXT.replace('to = ["day", "night"]', TWO) + '[edit.theirs.set]\nInstitutionName = "HX"\n'
    config = parse(text, tmp_path)
    at_day = replace(order(reading(config)), destination="day", route="outside")
    form = form_towards(at_day, to, config, lambda _: "k", lambda _: "e")
    assert (form.kind, form.profile, form.edit, form.edit_key_id) == ("deidentified", profile, edit, "")
    assert form.edit_hash == (config.edits["theirs"].hash if edit else "")
    if edit:
        assert readdressed(replace(at_day, form=form), to, part=PART, config=config).destination == to
        back = form_towards(replace(at_day, destination=to, form=form), "day", config, lambda _: "k", lambda _: "e")
        assert back.edit == ""


@pytest.mark.parametrize(
    ("of_day", "of_night", "kind"),
    [
        ("", 'edit = "theirs"', "edited"),
        ('edit = "theirs"', "", "received"),
        ("", 'profile = "reading"', "deidentified"),
        ('profile = "reading"', "", "deidentified"),
        ('edit = "theirs"', 'edit = "theirs", profile = "reading"', "deidentified"),
    ],
)
def test_nothing_that_was_to_be_de_identified_goes_to_another_candidate_without(
    tmp_path: Path, of_day: str, of_night: str, kind: str
) -> None:
    them = ", ".join(
        "{ " + ", ".join(filter(None, (f'destination = "{name}"', more))) + " }"
        for name, more in (("archive", of_day), ("backup", of_night))
    )
    text = TEXT.replace('to = ["archive"]\noptional = ["backup"]', f"one_of = [{them}]")
    config = parse(text + '[edit.theirs.set]\nInstitutionName = "HX"\n', tmp_path)
    form = {"": RECEIVED, 'profile = "reading"': reading(config)}.get(of_day)
    form = form or Form(kind="edited", edit="theirs", edit_hash=config.edits["theirs"].hash, edit_key_id="e")
    found = form_towards(order(form), "backup", config, lambda _: "k", lambda _: "e")
    assert found.kind == kind
    assert found.edit_key_id == ("e" if kind == "edited" else "")
    if of_night:
        assert readdressed(order(found), "backup", part=PART, config=config).form == found


@pytest.mark.parametrize(
    ("form", "why"),
    [
        (RECEIVED, "it goes as received, by no profile and no edit"),
        (Form(kind="edited", corrections="c"), "it goes corrected, by no profile and no edit"),
        (Form(kind="deidentified", profile="gone", profile_hash="0"), "there is no such profile"),
        (Form(kind="edited", edit="gone", edit_hash="0"), "there is no such edit"),
    ],
)
def test_without_its_profile_and_its_edit_there_is_no_form_of_now(config: Config, form: Form, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        by_rules_now(form, config, lambda _: "k", lambda _: "e")


@pytest.mark.parametrize(("key", "now"), [("old", "e"), ("", "")])
def test_an_edit_that_was_changed_since_goes_nowhere_new_but_as_it_is_now(tmp_path: Path, key: str, now: str) -> None:
    editing = '[edit.console]\nset = { InstitutionName = "H" }\n[[route]]\nname = "editing"\nedit = "console"\n'
    unkeyed = "" if key else "correction = true\n"
    config = parse(TEXT.replace('"unrouted"', '"edited"') + f'{editing}{unkeyed}to = ["edited"]\n', tmp_path)
    older = Form(kind="edited", edit="console", edit_hash="0", edit_key_id=key, corrections="c")
    with pytest.raises(ValueError, match="edit 'console' was changed since; --profile-now"):
        readdressed(order(older), "edited", part=PART, config=config)
    newer = by_rules_now(older, config, lambda _: "k", lambda _: "e")
    assert newer == replace(older, edit_hash=config.edits["console"].hash, edit_key_id=now)
    assert readdressed(order(newer), "edited", part=PART, config=config).form == newer
