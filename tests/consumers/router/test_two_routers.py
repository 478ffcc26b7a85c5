"""Two routers at work at the same time: on parts of one study, and on one part that both believe to be theirs."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from consumers.router.handler import Router
from shared import metrics
from shared.outcomes import Done, Held, Outcome
from tests.consumers.bench import ALL, RELAY, Bench, bench, data_set

CHECK = '[[check]]\nname = "patient"\none_patient_per_study = true\n'
ROUNDS = 12


@pytest.fixture
def relay(tmp_path: Path) -> Bench:
    return bench(tmp_path, RELAY + ALL + CHECK)


def at_once(relay: Bench, *parts: str) -> list[Outcome]:
    """What a router each says of a part, begun together."""
    claims, together = [relay.claim(part) for part in parts], Barrier(len(parts))

    def handled(number: int) -> Outcome:
        together.wait(10)
        return Router(relay.spool).handle(claims[number])

    with ThreadPoolExecutor(len(parts)) as pool:
        return list(pool.map(handled, range(len(parts))))


def test_of_two_parts_with_different_patients_one_says_whose_study_it_is_and_the_other_waits(relay: Bench) -> None:
    for number in range(ROUNDS):
        study = f"1.2.3.{number}"
        one, other = (relay.part(data_set(k, study, PatientID=str(4711 + k)), study=study) for k in (1, 2))
        kinds = [type(outcome) for outcome in at_once(relay, one, other)]
        assert sorted(kinds, key=str) == sorted((Done, Held), key=str)
    assert len(relay.spool.deliveries.ids()) == ROUNDS


def test_of_two_decisions_on_one_part_one_stands_and_both_do_what_it_says(relay: Bench) -> None:
    counted = metrics.value("dcmrelay_parts_routed_total", route="all")
    for number in range(ROUNDS):
        study = f"1.2.4.{number}"
        part = relay.part(data_set(1, study), study=study)
        before = set(relay.spool.deliveries.ids())
        one, other = at_once(relay, part, part)
        assert isinstance(one, Done)
        assert isinstance(other, Done)
        (made,) = set(relay.spool.deliveries.ids()) - before
        assert {ring.bell.unit for ring in (*one.rings, *other.rings)} == {made}
        assert [state.n for state in relay.spool.deliveries.history(made)] == [0]
    assert metrics.value("dcmrelay_parts_routed_total", route="all") == counted + ROUNDS
