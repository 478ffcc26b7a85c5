"""The second lock: what leaves is in the form that the delivery is bound to, or nothing leaves."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from consumers.anonymizer.handler import Anonymizer
from consumers.sender.handler import Sender
from shared.forms import Form, rendition_id
from shared.spool.renditions import output_name
from shared.spool.states import State
from tests.consumers.bench import Bench, bench, data_set, data_sets
from tests.consumers.sender.peer import QUICK, Peer, aimed, flip_last_byte, listening

Proofs = dict[str, Any]


@dataclass
class Rendered:
    """A de-identified part of three instances, ready to be sent to a peer that takes nothing else."""

    relay: Bench
    peer: Peer
    part: str
    form: Form
    delivery: str

    @property
    def proof(self) -> str:
        return f"renditions/{rendition_id(self.part, self.form)}/proof-000000.json"

    def file(self, index: int) -> Path:
        return self.relay.spool.store.path(output_name(rendition_id(self.part, self.form), index))

    def forge(self, change: Callable[[Proofs], object]) -> None:
        """Puts another proof in the place of the one that stands."""
        content = self.relay.spool.read_json(self.proof)
        assert content is not None
        change(content)
        self.relay.spool.store.delete(self.proof)
        self.relay.spool.put_json(self.proof, content)

    def send(self, delivery: str = "") -> State:
        destination = self.relay.config.destination("archive")
        assert destination is not None
        ours = Sender(
            self.relay.spool, destination, may_send=lambda: None, stopping=self.relay.stopping, timeouts=QUICK
        )
        self.relay.look(delivery or self.delivery, ours.handle)
        state = self.relay.spool.deliveries.newest(delivery or self.delivery)
        assert state is not None
        return state


@pytest.fixture
def rendered(tmp_path: Path) -> Iterator[Rendered]:
    relay = bench(tmp_path)
    with listening(Peer()) as peer:
        aimed(relay, peer.port, more="deidentified_only = true")
        part = relay.part(*data_sets(3))
        form = relay.form()
        delivery = relay.delivery(part, form=form)
        relay.look(delivery, Anonymizer(relay.spool, relay.config).handle)
        yield Rendered(relay, peer, part, form, delivery)


def assert_nothing_left(rendered: Rendered, state: State, words: str) -> None:
    assert (state.status, state.dead_letter_class) == ("held", "policy")
    assert words in state.reason
    assert rendered.peer.callers == []


def test_a_rendition_with_its_proof_leaves(rendered: Rendered) -> None:
    assert rendered.send().outcome == "delivered"
    originals = {it.sop_instance_uid for it in rendered.relay.manifest(rendered.part).instances}
    assert len(rendered.peer.kept) == 3
    assert not originals & set(rendered.peer.kept)


def test_without_a_proof_nothing_leaves(rendered: Rendered) -> None:
    rendered.relay.spool.store.delete(rendered.proof)
    assert_nothing_left(rendered, rendered.send(), "no proof of de-identification")


def test_the_proof_of_another_part_is_none(rendered: Rendered) -> None:
    rendered.forge(lambda proof: proof.update(part="p" + "0" * 32))
    assert_nothing_left(rendered, rendered.send(), "no proof of de-identification")


def test_the_proof_of_another_form_is_none(rendered: Rendered) -> None:
    rendered.forge(lambda proof: proof["form"].update(profile_hash="0" * 64))
    assert_nothing_left(rendered, rendered.send(), "no proof of de-identification")


def test_a_proof_for_fewer_instances_covers_none(rendered: Rendered) -> None:
    rendered.forge(lambda proof: proof["instances"].pop())
    assert_nothing_left(rendered, rendered.send(), "does not cover every instance")


def test_a_proof_about_other_inputs_is_none(rendered: Rendered) -> None:
    rendered.forge(lambda proof: proof["instances"][1].update(input_sha256="0" * 64))
    assert_nothing_left(rendered, rendered.send(), "about other instances")


def test_a_proof_that_names_an_original_as_the_output_is_none(rendered: Rendered) -> None:
    original = rendered.relay.manifest(rendered.part).instances[1]
    rendered.forge(lambda proof: proof["instances"][1].update(made=vars(original)))
    assert_nothing_left(rendered, rendered.send(), "names another file")


def test_a_proof_that_names_the_output_of_a_neighbour_is_none(rendered: Rendered) -> None:
    def swap(proof: Proofs) -> None:
        one, two = proof["instances"][:2]
        one["made"], two["made"] = two["made"], one["made"]

    rendered.forge(swap)
    assert_nothing_left(rendered, rendered.send(), "names another file")


def test_an_original_put_in_the_place_of_an_output_never_leaves(rendered: Rendered) -> None:
    original = rendered.relay.spool.store.path(rendered.relay.manifest(rendered.part).instances[1].file)
    rendered.file(1).unlink()
    rendered.file(1).write_bytes(original.read_bytes())
    state = rendered.send()
    assert (state.status, state.dead_letter_class) == ("held", "policy")
    assert state.reason.startswith("1 of 3 instances held")
    assert len(rendered.peer.kept) == 2


def test_an_output_damaged_on_disk_never_leaves(rendered: Rendered) -> None:
    flip_last_byte(rendered.file(2))
    assert rendered.send().reason.endswith("2 delivered")
    assert len(rendered.peer.kept) == 2


def test_a_destination_for_de_identified_data_gets_no_originals(rendered: Rendered) -> None:
    as_received = rendered.relay.delivery(rendered.part)
    assert_nothing_left(rendered, rendered.send(as_received), "takes nothing without proof of de-identification")


def test_another_engine_version_is_another_form_with_no_proof(rendered: Rendered) -> None:
    other = rendered.relay.delivery(rendered.part, form=replace(rendered.form, engine_version=99))
    assert_nothing_left(rendered, rendered.send(other), "no proof of de-identification")


def test_what_the_profile_holds_or_drops_stays_and_the_others_leave(tmp_path: Path) -> None:
    relay = bench(tmp_path)
    with listening(Peer()) as peer:
        aimed(relay, peer.port)
        part = relay.part(data_set(1), data_set(2, BurnedInAnnotation="YES"))
        form = relay.form()
        made = Rendered(relay, peer, part, form, relay.delivery(part, form=form))
        relay.look(made.delivery, Anonymizer(relay.spool, relay.config).handle)
        state = made.send()
    assert (state.status, state.dead_letter_class) == ("held", "policy")
    assert state.reason.startswith("1 of 2 instances held")
    assert len(peer.kept) == 1
    assert "CANARY" not in json.dumps(relay.facts(made.delivery))
