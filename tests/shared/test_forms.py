"""Forms and the ids that follow from them; outcomes, as a consumer says them."""

from dataclasses import FrozenInstanceError, fields, replace

import pytest

from shared.forms import RECEIVED, Form, corrected, hashed_id, rendition_id
from shared.outcomes import Done, Held, Later, Next
from tests.shared.spool.examples import FORM, order_for

PART = "p" + "1" * 32


def test_the_same_facts_always_give_the_same_id() -> None:
    assert hashed_id("d", "a", 1, {"x": 1, "y": 2}) == hashed_id("d", "a", 1, {"y": 2, "x": 1})
    assert hashed_id("d", "part") == "d689dab4ddb82dccd359304bcc7a62880"


def test_facts_cannot_run_into_one_another() -> None:
    ids = {hashed_id("d", *facts) for facts in (("ab", "c"), ("a", "bc"), ("abc",), (["a", "bc"],), ("a", "b", "c"))}
    assert len(ids) == 5


def test_a_rendition_is_another_when_anything_that_shapes_its_bytes_is() -> None:
    changes = [
        replace(FORM, profile="other"),
        replace(FORM, profile_hash="other"),
        replace(FORM, key_id="other"),
        replace(FORM, engine_version=2),
        replace(FORM, issuer="other"),
        replace(FORM, edit="other"),
        replace(FORM, edit_hash="other"),
        replace(FORM, edit_key_id="other"),
        replace(FORM, corrections="other"),
    ]
    assert len(changes) == len(fields(Form)) - 1
    ids = {rendition_id(PART, form) for form in (FORM, RECEIVED, *changes)} | {rendition_id("p" + "2" * 32, FORM)}
    assert len(ids) == 3 + len(changes)


def test_a_delivery_is_one_for_part_form_and_destination_whatever_routes_ask_for_it() -> None:
    order = order_for(PART)
    assert replace(order, route="other", urgent=True, optional=True).id == order.id
    others = [replace(order, **change) for change in (
        {"part": "p" + "2" * 32}, {"destination": "b"}, {"identity": "2" * 16}, {"form": FORM}
    )]  # fmt: skip
    assert len({it.id for it in (order, *others)}) == 5


def test_a_form_reads_well() -> None:
    assert (RECEIVED.label, FORM.label) == ("as received", "de-identified (reading)")


def test_a_corrected_form_is_another_and_without_corrections_the_same_again() -> None:
    edited = Form(kind="edited", edit="console", edit_hash="e", edit_key_id="k")
    for form, label in ((RECEIVED, ""), (FORM, ", de-identified (reading)"), (edited, ", edited (console)")):
        assert corrected(form, "c").label == f"corrected{label}"
        assert corrected(corrected(form, "c"), "") == form
    assert corrected(RECEIVED, "c").kind == "edited"


def test_an_instance_keeps_its_uid_unless_a_profile_or_an_edit_makes_a_new_one() -> None:
    keeps = (RECEIVED, corrected(RECEIVED, "c"), Form(kind="edited", edit="console", edit_hash="e"))
    assert all(form.keeps_uids for form in keeps)
    assert not any(form.keeps_uids for form in (FORM, replace(keeps[2], edit_key_id="k"), corrected(FORM, "c")))


@pytest.mark.parametrize("outcome", [Done(outcome="routed"), Next("send"), Later("away"), Held("no", "policy")])
def test_an_outcome_cannot_be_changed_once_said(outcome: Done | Next | Later | Held) -> None:
    with pytest.raises(FrozenInstanceError):
        outcome.reason = "other"  # type: ignore[union-attr, misc]
