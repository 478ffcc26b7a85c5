"""A replay keeps the form, whatever the configuration says by then; a part is decided anew."""

from pathlib import Path

import pytest

from consumers.anonymizer.handler import Anonymizer
from consumers.router.handler import Router
from producers.replay.ring import release
from producers.replay.show import dead_letters
from shared.outcomes import Held
from shared.spool.deliveries import order_from_json
from shared.spool.parts import decided_deliveries
from shared.spool.states import State
from tests.consumers.bench import ALL, RELAY, Bench, bench, data_set
from tests.consumers.sender.peer import Peer, after, aimed, listening, sender

DEIDENTIFIED = '[[route]]\nname = "all"\nprofile = "basic"\nto = ["archive"]\n'


@pytest.fixture
def relay(tmp_path: Path) -> Bench:
    return bench(tmp_path)


def replayed(relay: Bench) -> None:
    """Releases the one dead letter under the configuration of now."""
    (letter,) = dead_letters(relay.spool)
    assert release(relay.spool, letter, by="ann@pacs", why="", config=relay.config.hash) is not None


def newest(relay: Bench, unit: str) -> State:
    state = relay.spool.units(unit).newest(unit)
    assert state is not None
    return state


def test_what_was_to_be_deidentified_is_so_after_its_route_lost_the_profile(relay: Bench) -> None:
    with listening(Peer()) as peer:
        aimed(relay, peer.port)
        part = relay.part(data_set())
        delivery = relay.delivery(part, form=relay.form())
        relay.look(delivery, lambda _: Held("a bug", "bug"))
        relay.configure(RELAY.replace("port = 104\n", f"port = {peer.port}\n") + ALL)
        replayed(relay)
        assert newest(relay, delivery).stage == "render"
        relay.look(delivery, Anonymizer(relay.spool, relay.config).handle)
        assert after(relay, delivery, sender(relay)).outcome == "delivered"
    assert len(peer.kept) == 1
    assert not peer.kept.keys() & {it.sop_instance_uid for it in relay.manifest(part).instances}


def test_what_goes_as_received_does_not_go_where_proof_is_asked_for_by_now(relay: Bench) -> None:
    with listening(Peer()) as peer:
        aimed(relay, peer.port)
        delivery = relay.delivery(relay.part(data_set()))
        relay.look(delivery, lambda _: Held("gave up", "unreachable"))
        aimed(relay, peer.port, more="deidentified_only = true")
        replayed(relay)
        state = after(relay, delivery, sender(relay))
    assert (state.status, state.dead_letter_class) == ("held", "policy")
    assert not peer.callers


def test_a_part_is_decided_anew_with_the_profile_that_its_route_has_by_now(relay: Bench) -> None:
    relay.configure(RELAY)
    part = relay.part(data_set())
    relay.look(part, Router(relay.spool).handle)
    assert newest(relay, part).status == "held"
    relay.configure(RELAY + DEIDENTIFIED)
    replayed(relay)
    relay.look(part, Router(relay.spool).handle)
    (delivery,) = decided_deliveries(relay.spool, part) or ()
    unit = relay.spool.deliveries.load(delivery)
    assert unit is not None
    assert order_from_json(unit.order).form.kind == "deidentified"
