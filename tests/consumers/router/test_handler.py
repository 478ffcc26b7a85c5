"""The router's consumer: decided once, under the configuration of the closing, and never by a guess."""

import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from pydicom.uid import EnhancedSRStorage

from consumers.router.handler import Router
from shared.messages import Bell, Ring
from shared.notices.happened import of_happenings
from shared.outcomes import Done
from shared.spool import states
from shared.spool.deliveries import Ordered, order_from_json, ordered_to_json
from shared.spool.parts import decided_deliveries, is_finished
from shared.spool.pins import live_pins, study_pins
from shared.spool.states import State
from tests.consumers.bench import ALL, RELAY, STUDY, Bench, bench, data_set, data_sets

MODALITIES = """
[[route]]
name = "structured"
match = { Modality = "SR" }
to = ["reading"]
last = true
[[route]]
name = "images"
match = { Modality = ["CT", "MR"] }
to = ["archive"]
"""
OUTSIDE = """
[[route]]
name = "all"
to = ["archive"]
profile = "basic"
"""


@pytest.fixture
def relay(tmp_path: Path) -> Bench:
    return bench(tmp_path)


def routed(relay: Bench, part: str) -> State:
    relay.look(part, Router(relay.spool).handle)
    state = relay.spool.parts.newest(part)
    assert state is not None
    return state


def decision(relay: Bench, part: str) -> dict[str, Any]:
    content = relay.spool.read_json(f"parts/{part}/decision.json")
    assert content is not None
    return content


def went_to(relay: Bench, part: str) -> list[str]:
    assert routed(relay, part).outcome == "routed"
    return [str(order["destination"]) for order in decision(relay, part)["deliveries"]]


def assert_held(state: State, words: str) -> None:
    assert (state.status, state.dead_letter_class) == ("held", "policy")
    assert words in state.reason


def test_a_part_that_closed_after_the_study_was_routed_is_noted_as_an_addendum(relay: Bench) -> None:
    relay.configure(RELAY + ALL)
    first, beside = relay.part(*data_sets(1)), relay.part(*data_sets(1))
    routed(relay, first)
    relay.now += timedelta(minutes=5)
    late = relay.part(*data_sets(2))
    for part in (beside, late):
        routed(relay, part)
    (noted,) = of_happenings(relay.spool)
    assert (noted.occasion, noted.about) == ("addendum", "all")
    assert noted.facts == {"ids": [late]}


def test_a_part_becomes_deliveries_and_a_bell_for_each(relay: Bench) -> None:
    part = relay.part(*data_sets(2))
    said = relay.look(part, Router(relay.spool).handle)
    order = order_from_json(decision(relay, part)["deliveries"][0])
    assert said.rings == (Ring(routing_key="send.archive", bell=Bell(unit=order.id, n=0), journey=part),)
    state = relay.spool.deliveries.newest(order.id)
    assert state is not None
    assert (state.n, state.stage, state.status) == (0, "send", "waiting")
    assert relay.spool.store.list("active/deliveries") == [order.id]


def test_a_part_for_another_form_is_rendered_first(tmp_path: Path) -> None:
    relay = bench(tmp_path, RELAY + OUTSIDE)
    said = relay.look(relay.part(data_set()), Router(relay.spool).handle)
    assert [ring.routing_key for ring in said.rings] == ["render"]


def test_an_instance_no_route_wants_is_held(tmp_path: Path) -> None:
    relay = bench(tmp_path, RELAY + MODALITIES)
    part = relay.part(data_set(Modality="US"))
    assert_held(routed(relay, part), "no route wants it: source 'ct-1', 1 instances")
    assert relay.spool.read_json(f"parts/{part}/decision.json") is None
    assert relay.spool.store.list("deliveries") == []


def test_a_study_goes_where_any_of_its_instances_matches(tmp_path: Path) -> None:
    relay = bench(tmp_path, RELAY + MODALITIES)
    assert went_to(relay, relay.part(data_set(1, Modality="US"), data_set(2, Modality="MR"))) == ["archive"]


def test_an_instance_that_cannot_be_read_goes_where_the_others_go(tmp_path: Path) -> None:
    relay = bench(tmp_path, RELAY + MODALITIES)
    part = relay.part(*data_sets(2))
    relay.spool.store.path(relay.manifest(part).instances[0].file).write_bytes(b"not DICOM")
    assert went_to(relay, part) == ["archive"]


def test_a_part_of_nothing_readable_is_held_where_a_rule_must_read_it(tmp_path: Path) -> None:
    relay = bench(tmp_path, RELAY + MODALITIES)
    part = relay.part(data_set())
    relay.spool.store.path(relay.manifest(part).instances[0].file).write_bytes(b"not DICOM")
    assert_held(routed(relay, part), "no route wants it")


def test_whoever_comes_second_reads_the_decision_of_the_first(relay: Bench) -> None:
    part = relay.part(data_set())
    first = Router(relay.spool).handle(relay.claim(part))
    before = decision(relay, part)
    relay.now += timedelta(hours=1)
    assert Router(relay.spool).handle(relay.claim(part)) == first
    assert decision(relay, part) == before


def test_two_routers_at_one_part_make_one_decision(relay: Bench) -> None:
    part, gate = relay.part(data_set()), threading.Barrier(2)
    answers: list[object] = []

    def race() -> None:
        claim = relay.claim(part)
        gate.wait()
        answers.append(Router(relay.spool).handle(claim))

    threads = [threading.Thread(target=race) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers[0] == answers[1]
    assert isinstance(answers[0], Done)
    assert len(relay.spool.store.list("deliveries")) == 1


def test_a_bell_is_not_rung_for_a_delivery_that_somebody_has_begun(relay: Bench) -> None:
    part = relay.part(data_set())
    answer = Router(relay.spool).handle(relay.claim(part))
    assert isinstance(answer, Done)
    delivery = answer.rings[0].bell.unit
    relay.look(delivery, lambda _: Done(outcome="delivered"))
    assert Router(relay.spool).handle(relay.claim(part)) == Done(outcome="routed")


def test_a_part_is_decided_under_the_configuration_it_was_closed_under(relay: Bench) -> None:
    part = relay.part(data_set())
    relay.configure(RELAY + ALL.replace("archive", "reading"))
    assert went_to(relay, part) == ["archive"]
    assert went_to(relay, relay.part(data_set(2, study="1.9"), study="1.9")) == ["reading"]


def test_a_late_part_follows_the_pin_after_the_rules_changed(tmp_path: Path) -> None:
    relay = bench(tmp_path, RELAY + MODALITIES)
    assert went_to(relay, relay.part(data_set(Modality="CT"))) == ["archive"]
    relay.configure(RELAY + MODALITIES.replace('["CT", "MR"]', '"MR"'))
    assert went_to(relay, relay.part(data_set(2, Modality="CT"))) == ["archive"]


def test_a_late_part_that_a_last_route_wants_follows_the_pin_all_the_same(tmp_path: Path) -> None:
    relay = bench(tmp_path, RELAY + MODALITIES)
    went_to(relay, relay.part(data_set(Modality="CT")))
    assert sorted(went_to(relay, relay.part(data_set(2, Modality="SR")))) == ["archive", "reading"]


def test_a_late_part_keeps_the_destination_of_its_route(relay: Bench) -> None:
    went_to(relay, relay.part(data_set()))
    relay.configure(RELAY + ALL.replace("archive", "reading"))
    assert went_to(relay, relay.part(data_set(2))) == ["archive"]


def test_a_late_part_keeps_the_profile_as_it_was_pinned(tmp_path: Path) -> None:
    relay = bench(tmp_path, RELAY + OUTSIDE)
    went_to(relay, first := relay.part(data_set()))
    relay.configure(RELAY + '[profile.basic.set_after]\nPatientSex = "O"\n' + OUTSIDE)
    went_to(relay, second := relay.part(data_set(2)))
    forms = [decision(relay, part)["deliveries"][0]["form"] for part in (first, second)]
    assert forms[0] == forms[1]


def test_the_same_study_under_another_called_ae_title_is_chosen_for_anew(relay: Bench) -> None:
    went_to(relay, relay.part(data_set()))
    relay.configure(RELAY + ALL.replace("archive", "reading"))
    assert went_to(relay, relay.part(data_set(2), called="OTHER")) == ["reading"]


def test_a_pin_is_not_followed_for_ever(relay: Bench) -> None:
    went_to(relay, relay.part(data_set()))
    relay.now += relay.config.relay.follow
    relay.configure(RELAY + ALL.replace("archive", "reading"))
    assert went_to(relay, relay.part(data_set(2))) == ["reading"]


def test_a_late_part_whose_destination_was_changed_is_held(relay: Bench) -> None:
    went_to(relay, relay.part(data_set()))
    relay.configure(RELAY.replace("port = 104", "port = 204") + ALL)
    assert_held(routed(relay, relay.part(data_set(2))), "destination 'archive' of route 'all' is gone or was changed")


def test_a_late_part_whose_route_is_gone_is_held(relay: Bench) -> None:
    went_to(relay, relay.part(data_set()))
    relay.configure(RELAY + ALL.replace('"all"', '"another"'))
    assert_held(routed(relay, relay.part(data_set(2))), "route 'all', which earlier parts of the study took, is gone")


def test_a_late_part_whose_profile_is_gone_is_held(tmp_path: Path) -> None:
    relay = bench(tmp_path, RELAY + OUTSIDE)
    went_to(relay, relay.part(data_set()))
    relay.configure(RELAY.replace("[profile.basic]", "[profile.other]") + OUTSIDE.replace('"basic"', '"other"'))
    assert_held(routed(relay, relay.part(data_set(2))), "profile 'basic' of route 'all' is gone")


def test_a_part_of_a_source_that_is_configured_no_more_is_held(relay: Bench) -> None:
    part = relay.part(data_set(), source="somebody")
    assert_held(routed(relay, part), "source 'somebody' is not configured any more")


def test_a_part_whose_profile_has_lost_its_key_is_held(tmp_path: Path) -> None:
    relay = bench(tmp_path, RELAY + OUTSIDE)
    relay.config.key_path(relay.config.profiles["basic"]).unlink()
    assert_held(routed(relay, relay.part(data_set())), "restore it from a backup")


def test_a_part_whose_configuration_is_not_in_the_spool_is_a_bug(relay: Bench) -> None:
    part = relay.part(data_set())
    relay.spool.store.delete(f"config/{relay.config.hash}.json")
    state = routed(relay, part)
    assert (state.status, state.dead_letter_class) == ("held", "bug")


def test_pins_are_kept_once_per_study_and_route(relay: Bench) -> None:
    for number in (1, 2):
        went_to(relay, relay.part(data_set(number)))
    pins = live_pins(relay.spool, study_pins(STUDY, "DCMRELAY"), timedelta(days=7))
    assert {name: pin.epoch for name, pin in pins.items()} == {"all": 0}


def test_two_routers_at_two_parts_of_a_study_make_one_pin(relay: Bench) -> None:
    parts = [relay.part(data_set(number)) for number in (1, 2)]
    relay.configure(RELAY + ALL.replace("archive", "reading"))
    parts += [relay.part(data_set(3))]
    gate = threading.Barrier(len(parts))

    def race(part: str) -> None:
        gate.wait()
        relay.look(part, Router(relay.spool).handle)

    threads = [threading.Thread(target=race, args=(part,)) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({decision(relay, part)["deliveries"][0]["destination"] for part in parts}) == 1


def test_what_another_source_sends_of_a_pinned_study_goes_by_that_sources_routes(tmp_path: Path) -> None:
    """A destination that sends a study back must not get it again."""
    relay = bench(tmp_path, RELAY + ALL.replace('name = "all"', 'name = "all"\nmatch = { source = "ct-1" }'))
    assert went_to(relay, relay.part(data_set())) == ["archive"]
    assert_held(routed(relay, relay.part(data_set(2), source="mr-1")), "no route wants it: source 'mr-1'")


def test_a_pinned_route_that_is_gone_does_not_hold_what_it_was_never_open_to(tmp_path: Path) -> None:
    relay = bench(tmp_path, RELAY + ALL.replace('name = "all"', 'name = "all"\nmatch = { source = "ct-1" }'))
    assert went_to(relay, relay.part(data_set())) == ["archive"]
    relay.configure(RELAY + ALL.replace('name = "all"', 'name = "other"\nmatch = { source = "mr-1" }'))
    assert went_to(relay, relay.part(data_set(2), source="mr-1")) == ["archive"]
    assert_held(routed(relay, relay.part(data_set(3))), "route 'all'")


def test_what_a_person_ordered_of_a_routed_part_is_made_on_top(relay: Bench) -> None:
    part = relay.part(data_set())
    routed(relay, part)
    order = order_from_json(decision(relay, part)["deliveries"][0])
    again = replace(order, again=1)
    due = relay.now + timedelta(hours=1)
    ordered = Ordered(order=again, elsewhere={"0": order.id}, due=due)
    final = relay.spool.parts.newest(part)
    assert final is not None
    reopened = states.reopened(
        final,
        now=relay.now,
        by="ann",
        why="lost",
        config=relay.config.hash,
        orders={again.id: ordered_to_json(ordered)},
    )
    relay.spool.parts.append(part, reopened)
    assert decided_deliveries(relay.spool, part) == (order.id, again.id)
    said = relay.look(part, Router(relay.spool).handle)
    assert Ring(routing_key="send.archive", bell=Bell(unit=again.id, n=0), wait=timedelta(hours=1),
                journey=part) in said.rings  # fmt: skip
    made = relay.spool.deliveries.load(again.id)
    assert made is not None
    assert (made.state.due, made.facts, made.state.config) == (due, {"elsewhere": {"0": order.id}}, relay.config.hash)
    assert routed(relay, part).outcome == "routed"
    assert not is_finished(relay.spool, part)
    assert len(relay.spool.deliveries.ids()) == 2


NESTED = """
[[route]]
name = "nested"
match = { RequestAttributesSequence.RequestedProcedureID = { regex = "^RP[0-9]+$" }, count = { at_least = 2 } }
to = ["archive"]
"""


def test_a_route_may_ask_for_what_stands_in_a_sequence_and_for_the_number_of_instances(tmp_path: Path) -> None:
    relay = bench(tmp_path, RELAY + NESTED)
    item = Dataset()
    item.RequestedProcedureID = "RP17"
    assert went_to(relay, relay.part(data_set(1, RequestAttributesSequence=[item]), data_set(2))) == ["archive"]
    one = relay.part(data_set(3, study="1.8", RequestAttributesSequence=[item]), study="1.8")
    assert_held(routed(relay, one), "no route wants it")


WITHOUT_REPORTS = 'name = "archive"\nexclude = [{ Modality = "SR" }, { sop_class = "*SRStorage" }]'


def test_a_delivery_leaves_out_what_its_destination_excludes(tmp_path: Path) -> None:
    text = RELAY.replace('name = "archive"', WITHOUT_REPORTS) + ALL.replace('["archive"]', '["archive", "reading"]')
    relay = bench(tmp_path, text)
    part = relay.part(data_set(1), data_set(2, Modality="SR"), data_set(3, sop_class_uid=EnhancedSRStorage))
    went_to(relay, part)
    orders = [order_from_json(order) for order in decision(relay, part)["deliveries"]]
    assert [(order.destination, order.excluded) for order in orders] == [("archive", (1, 2)), ("reading", ())]


def test_what_a_person_orders_leaves_out_what_the_destination_excludes(tmp_path: Path) -> None:
    text = RELAY.replace('name = "archive"', WITHOUT_REPORTS) + ALL.replace('"archive"', '"reading"')
    relay = bench(tmp_path, text)
    part = relay.part(data_set(1), data_set(2, Modality="SR"))
    routed(relay, part)
    order = order_from_json(decision(relay, part)["deliveries"][0])
    to_archive = replace(order, destination="archive", identity=relay.config.destinations[0].identity, again=1)
    final = relay.spool.parts.newest(part)
    assert final is not None
    orders = {to_archive.id: ordered_to_json(Ordered(order=to_archive))}
    relay.spool.parts.append(
        part,
        states.reopened(final, now=relay.now, by="ann", why="moved", config=relay.config.hash, orders=orders),
    )
    routed(relay, part)
    made = relay.spool.deliveries.load(to_archive.id)
    assert made is not None
    assert (made.order["destination"], made.order["excluded"]) == ("archive", [1])


def test_later_parts_of_a_study_carry_a_mark_that_people_are_told_of(relay: Bench) -> None:
    first = relay.part(data_set())
    at_once = relay.part(data_set(2))
    went_to(relay, first)
    went_to(relay, at_once)
    relay.now += timedelta(minutes=5)
    went_to(relay, late := relay.part(data_set(3)))
    marks = [decision(relay, part)["deliveries"][0]["addendum"] for part in (first, at_once, late)]
    assert marks == [False, False, True]
    (trouble,) = of_happenings(relay.spool)
    assert (trouble.occasion, trouble.about, list(trouble.members)) == ("addendum", "all", [f"{late}-all.json"])
