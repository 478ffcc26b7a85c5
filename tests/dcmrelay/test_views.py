"""Facts of the spool as a person reads them."""

import pytest

from dcmrelay.views import delivery_state


@pytest.mark.parametrize("outcome", ["discarded", "redirected", "replaced", "failed"])
def test_what_arrived_before_a_delivery_was_given_up_is_told_with_how_it_ended(outcome: str) -> None:
    ended = {"state": "final", "outcome": outcome}
    assert delivery_state({**ended, "delivered": 1}) == f"1 delivered, the rest {outcome}"
    assert delivery_state({**ended, "delivered": 0}) == outcome


def test_what_the_anonymizer_does_is_called_by_the_form() -> None:
    working = {"state": "working", "stage": "render", "delivered": 0}
    assert delivery_state({**working, "form": "edited"}) == "editing"
    assert delivery_state({**working, "form": "deidentified"}) == "de-identifying"
