"""Destinations and forms of a route, and the deliveries that several routes make together."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from consumers.router.choice import changed, choices_of, orders_of
from shared.config import Config, parse
from shared.errors import PermanentError
from shared.forms import ENGINE_VERSION, RECEIVED, Form
from shared.spool.deliveries import Order
from shared.spool.parts import Part
from shared.spool.pins import Pin
from tests.consumers.bench import RELAY
from tests.shared.config.examples import FOLDER

PART = Part(
    id="p" + "0" * 32,
    source="ct-1",
    calling_ae_title="CT1",
    called_ae_title="DCMRELAY",
    study_instance_uid="1.2.3",
    run="i0",
    opened_at=datetime(2026, 1, 1, tzinfo=UTC),
)
ROUTES = """
[[route]]
name = "plain"
to = ["archive", "reading"]
[[route]]
name = "spare"
optional = ["archive"]
[[route]]
name = "now"
to = ["archive"]
priority = "urgent"
[[route]]
name = "outside"
to = ["archive"]
profile = "basic"
"""
CONFIG = parse(RELAY + ROUTES, FOLDER)


def pin(name: str, config: Config = CONFIG) -> Pin:
    route = config.route(name)
    assert route is not None
    choices = choices_of(route, config, "HX", lambda profile: f"key of {profile}")
    urgent = route.priority == "urgent"
    return Pin(route=name, epoch=0, made_at=PART.opened_at, choices=choices, urgent=urgent, config=config.hash)


def orders(*names: str) -> list[Order]:
    return list(orders_of(PART, {name: pin(name) for name in names}, CONFIG, "CT1"))


def test_a_route_without_a_profile_chooses_the_form_as_received() -> None:
    assert [(c.destination, c.form, c.optional) for c in pin("plain").choices] == [
        ("archive", RECEIVED, False),
        ("reading", RECEIVED, False),
    ]


EDITS = """
[edit.e]
remove = ["PatientComments"]
[edit.own]
remove = ["StationName"]
[[route]]
name = "edited"
edit = "e"
to = ["archive"]
one_of = [{ destination = "reading", edit = "own" }]
"""
EDITED = [
    ("", "edited (e)", "key of e"),
    ("correction = true", "edited (e)", ""),
    ('profile = "basic"', "edited (e), de-identified (basic)", ""),
]


@pytest.mark.parametrize(("more", "label", "uid_key"), EDITED)
def test_an_edit_is_pinned_with_its_content_and_the_key_of_its_uids_unless_they_stay_or_a_profile_makes_them(
    more: str, label: str, uid_key: str
) -> None:
    config = parse(RELAY + EDITS.replace('edit = "e"', f'edit = "e"\n{more}', 1), FOLDER)
    route = config.routes[0]
    first, own = choices_of(
        route, config, "HX", lambda it: f"key of {it}", "reading", edit_key_id=lambda it: f"key of {it}"
    )
    assert (first.form.label, first.form.edit_hash) == (label, config.edits["e"].hash)
    assert first.form.edit_key_id == uid_key
    assert (own.form.edit, own.form.edit_hash) == ("own", config.edits["own"].hash)


def test_what_a_person_corrected_in_a_part_is_in_every_form_of_its_deliveries_and_in_no_pin() -> None:
    pins = {name: pin(name) for name in ("plain", "outside")}
    labels = {it.form.label for it in orders_of(PART, pins, CONFIG, "CT1", corrections="c")}
    assert labels == {"corrected", "corrected, de-identified (basic)"}
    assert {it.form.label for one in pins.values() for it in one.choices} == {"as received", "de-identified (basic)"}


def test_a_profile_is_pinned_with_its_content_key_and_engine() -> None:
    assert pin("outside").choices[0].form == Form(
        kind="deidentified",
        profile="basic",
        profile_hash=CONFIG.profiles["basic"].hash,
        key_id="key of basic",
        engine_version=ENGINE_VERSION,
        issuer="HX",
    )


def test_a_choice_knows_who_its_destination_was() -> None:
    assert pin("now").choices[0].identity == CONFIG.destinations[0].identity


def test_each_destination_of_a_route_gets_a_delivery() -> None:
    assert [order.destination for order in orders("plain")] == ["archive", "reading"]


def test_the_same_destination_in_the_same_form_on_two_routes_is_one_delivery() -> None:
    assert [order.destination for order in orders("plain", "now")] == ["archive", "reading"]


def test_the_same_destination_in_two_forms_is_two_deliveries() -> None:
    made = orders("plain", "outside")
    assert [(order.destination, order.form.kind) for order in made] == [
        ("archive", "received"),
        ("reading", "received"),
        ("archive", "deidentified"),
    ]
    assert len({order.id for order in made}) == 3


@pytest.mark.parametrize(
    ("names", "optional", "urgent"),
    [
        (("plain",), False, False),
        (("spare",), True, False),
        (("spare", "plain"), False, False),
        (("plain", "spare"), False, False),
        (("spare", "now"), False, True),
        (("plain", "now"), False, True),
    ],
)
def test_a_merged_delivery_is_optional_if_all_say_so_and_urgent_if_any_does(
    names: tuple[str, ...], optional: bool, urgent: bool
) -> None:
    merged = orders(*names)[0]
    assert (merged.destination, merged.optional, merged.urgent) == ("archive", optional, urgent)


def test_we_call_ourselves_as_the_destination_says() -> None:
    assert [order.calling_ae_title for order in orders("plain")] == ["DCMRELAY", "CT1"]


def without(what: str) -> Config:
    return CONFIG.model_copy(update={what: ()} if what == "destinations" else {what: {}})


def test_a_pin_can_be_followed_while_nothing_changed() -> None:
    assert changed(pin("plain"), CONFIG) == ""
    assert changed(pin("outside"), CONFIG) == ""


@pytest.mark.parametrize(
    "text",
    [
        RELAY.replace("port = 104", "port = 204"),
        RELAY.replace('ae_title = "ARCHIVE"', 'ae_title = "ARCHIVE2"'),
        RELAY.replace('host = "127.0.0.1"\nport = 104', 'host = "127.0.0.2"\nport = 104'),
    ],
)
def test_a_destination_that_is_another_peer_now_cannot_be_followed(text: str) -> None:
    assert text != RELAY
    assert "destination 'archive' of route 'now' is gone or was changed" in changed(
        pin("now"), parse(text + ROUTES, FOLDER)
    )


def test_a_destination_that_is_gone_cannot_be_followed() -> None:
    assert "destination 'archive'" in changed(pin("now"), without("destinations"))


def test_a_profile_that_is_gone_cannot_be_followed() -> None:
    assert (
        changed(pin("outside"), without("profiles")) == "profile 'basic' of route 'outside' is gone since it was chosen"
    )


def test_a_profile_with_other_content_is_followed_as_it_was_pinned() -> None:
    other = parse(RELAY + '[profile.basic.set_after]\nPatientSex = "O"\n' + ROUTES, FOLDER)
    assert other.profiles["basic"].hash != CONFIG.profiles["basic"].hash
    assert changed(pin("outside"), other) == ""


@pytest.mark.parametrize(("what", "name"), [("destinations", "plain"), ("profiles", "outside")])
def test_what_is_not_configured_cannot_be_chosen(what: str, name: str) -> None:
    with pytest.raises(PermanentError, match="is not configured any more") as error:
        choices_of(CONFIG.route(name), without(what), "", lambda _: "")  # type: ignore[arg-type]
    assert error.value.dead_letter_class == "policy"


def test_a_delivery_is_named_by_part_destination_and_form_alone() -> None:
    order = orders("plain")[0]
    assert replace(order, route="x", urgent=True, optional=True, source="y").id == order.id
    others = (replace(order, part="p" + "1" * 32), replace(order, identity="z"), orders("outside")[0])
    assert order.id not in {other.id for other in others}
