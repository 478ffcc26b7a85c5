"""Who may come in and what can be kept, by table."""

from pathlib import Path

import pytest

from producers.ingress.acceptance import refusal, status_of, who
from shared.config import parse
from shared.dimse import (
    CALLED_NOT_RECOGNIZED,
    CALLING_NOT_RECOGNIZED,
    TEMPORARY_CONGESTION,
    Proposal,
    Rejection,
    StoreRequest,
)
from shared.headers import Identity
from tests.producers.ingress.running import RELAY

CONFIG = parse(RELAY, Path("/srv/relay"))


@pytest.mark.parametrize(
    ("calling", "called", "host", "has_room", "rejection"),
    [
        ("CT1", "DCMRELAY", "127.0.0.1", True, None),
        ("CT1", "DCMRELAY", "192.0.2.9", True, None),
        ("FAR", "DCMRELAY", "10.1.2.3", True, None),
        ("CONSOLE", "OLDPACS", "127.0.0.1", True, None),
        ("NOBODY", "DCMRELAY", "127.0.0.1", True, CALLING_NOT_RECOGNIZED),
        ("", "DCMRELAY", "127.0.0.1", True, CALLING_NOT_RECOGNIZED),
        ("FAR", "DCMRELAY", "127.0.0.1", True, CALLING_NOT_RECOGNIZED),
        ("CT1", "OLDPACS", "127.0.0.1", True, CALLED_NOT_RECOGNIZED),
        ("CONSOLE", "DCMRELAY", "127.0.0.1", True, CALLED_NOT_RECOGNIZED),
        ("CT1", "DCMRELAY", "127.0.0.1", False, TEMPORARY_CONGESTION),
        ("NOBODY", "DCMRELAY", "127.0.0.1", False, CALLING_NOT_RECOGNIZED),
    ],
)
def test_who_may_come_in(calling: str, called: str, host: str, has_room: bool, rejection: Rejection | None) -> None:
    proposal = Proposal(calling_ae_title=calling, called_ae_title=called, host=host)
    assert refusal(CONFIG.mismatch_of(*who(proposal)), has_room=has_room) == rejection


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, 0x0000),
        ({"sop_class_uid": "1.9"}, 0xA900),
        ({"sop_instance_uid": "1.9"}, 0xA900),
        ({"study_instance_uid": ""}, 0xC000),
        ({"series_instance_uid": ""}, 0xC000),
        ({"sop_instance_uid": ""}, 0xC000),
        ({"sop_class_uid": ""}, 0xC000),
    ],
)
def test_which_instances_can_be_kept(changes: dict[str, str], status: int) -> None:
    said = {
        "sop_class_uid": "1.1",
        "sop_instance_uid": "1.2",
        "study_instance_uid": "1.3",
        "series_instance_uid": "1.4",
    }
    request = StoreRequest(
        context_id=1,
        message_id=1,
        affected_sop_class_uid="1.1",
        affected_sop_instance_uid="1.2",
        transfer_syntax_uid="1.2.840.10008.1.2",
    )
    assert status_of(request, Identity(**{**said, **changes})) == status
