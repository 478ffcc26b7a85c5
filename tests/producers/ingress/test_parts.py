"""When a part is over, on a clock that the test moves."""

from datetime import UTC, datetime

import pytest

from producers.ingress.parts import OpenPart, OpenParts, Session, key_of
from shared.config.peers import Source
from shared.dimse import Proposal
from shared.spool.parts import Instance, Part, new_part_id

QUIET = (30.0, 10.0)


class Clock:
    """Monotonic seconds, as a test says."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def parts(clock: Clock) -> OpenParts:
    return OpenParts(monotonic=clock)


def session() -> Session:
    proposal = Proposal(calling_ae_title="CT1", called_ae_title="DCMRELAY", host="127.0.0.1")
    return Session(source=Source(name="ct-1", ae_title="CT1"), proposal=proposal)


def new_part(study: str = "1.2.3") -> Part:
    return Part(
        id=new_part_id(),
        source="ct-1",
        calling_ae_title="CT1",
        called_ae_title="DCMRELAY",
        study_instance_uid=study,
        run="i0",
        opened_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def instance(name: str = "a") -> Instance:
    return Instance(
        file=name, sha256=name, offset=0, size=1, sop_class_uid="1", sop_instance_uid="2", transfer_syntax_uid="3"
    )


def brought(parts: OpenParts, by: Session, study: str = "1.2.3", quiet: tuple[float, float] = QUIET) -> OpenPart:
    """One instance has come."""
    key = key_of(new_part(study))
    to = parts.begin_storing(lambda: new_part(study), key, quiet, by)
    parts.end_storing(to, instance())
    return to


def test_a_part_is_over_when_nothing_came_for_a_while(parts: OpenParts, clock: Clock) -> None:
    part = brought(parts, session())
    clock.now += 29.9
    assert parts.take_over() == []
    clock.now += 0.1
    assert parts.take_over() == [part]
    assert len(parts) == 0


def test_a_part_is_over_sooner_once_its_associations_are_closed(parts: OpenParts, clock: Clock) -> None:
    one, two = session(), session()
    part = brought(parts, one)
    brought(parts, two)
    parts.end_session(one)
    clock.now += 10
    assert parts.take_over() == []
    parts.end_session(two)
    clock.now += 9.9
    assert parts.take_over() == []
    clock.now += 0.1
    assert parts.take_over() == [part]


def test_a_release_does_not_make_a_part_wait_longer_than_quiet(parts: OpenParts, clock: Clock) -> None:
    by = session()
    brought(parts, by, quiet=(5, 60))
    parts.end_session(by)
    clock.now += 5
    assert len(parts.take_over()) == 1


def test_each_instance_keeps_a_part_open(parts: OpenParts, clock: Clock) -> None:
    by = session()
    for _ in range(5):
        brought(parts, by)
        clock.now += 29
    assert len(parts) == 1
    assert parts.take_over() == []


def test_an_instance_on_its_way_keeps_a_part_open_however_long_it_takes(parts: OpenParts, clock: Clock) -> None:
    by = session()
    brought(parts, by)
    by.receiving = True
    clock.now += 3600
    assert parts.take_over() == []
    by.receiving = False
    assert len(parts.take_over()) == 1


def test_an_instance_being_stored_keeps_a_part_open(parts: OpenParts, clock: Clock) -> None:
    part = parts.begin_storing(new_part, key_of(new_part()), QUIET, session())
    clock.now += 3600
    assert parts.take_over() == []
    parts.end_storing(part, None)
    clock.now += 30
    assert parts.take_over() == [part]
    assert part.known == {}


def test_studies_are_parts_of_their_own(parts: OpenParts) -> None:
    by = session()
    assert brought(parts, by, "1.2.3") is not brought(parts, by, "1.2.4")
    assert brought(parts, by, "1.2.3") is brought(parts, by, "1.2.3")


def test_what_comes_after_a_part_was_taken_goes_to_another(parts: OpenParts, clock: Clock) -> None:
    first = brought(parts, session())
    clock.now += 30
    parts.take_over()
    assert brought(parts, session()) is not first


def test_an_adopted_part_takes_more_and_is_over_when_quiet(parts: OpenParts, clock: Clock) -> None:
    part = new_part()
    parts.adopt(part, QUIET, takes_more=True)
    assert brought(parts, session()).part == part
    clock.now += 30
    assert [over.part for over in parts.take_over()] == [part]


def test_two_adopted_parts_of_one_study_are_both_gone_on_with(parts: OpenParts, clock: Clock) -> None:
    one, two = new_part(), new_part()
    parts.adopt(one, QUIET, takes_more=True)
    parts.adopt(two, QUIET, takes_more=True)
    assert brought(parts, session()).part == one
    clock.now += 30
    assert [over.part for over in parts.take_over()] == [one, two]


def test_an_adopted_part_whose_closing_has_begun_takes_nothing_more(parts: OpenParts, clock: Clock) -> None:
    part = new_part()
    parts.adopt(part, QUIET, takes_more=False)
    assert brought(parts, session()).part != part
    clock.now += 30
    assert part in [over.part for over in parts.take_over()]


def test_a_part_set_apart_takes_nothing_more_and_is_over_again(parts: OpenParts, clock: Clock) -> None:
    first = brought(parts, session())
    parts.set_apart(first)
    second = brought(parts, session())
    assert second is not first
    clock.now += 30
    assert parts.take_over() == [first, second]
