"""Which routes want a study, by table."""

from collections.abc import Iterable

import pytest

from consumers.router.rules import Header, Wanted, excluded_by, is_open_to, keywords_of, matches, wanted_by
from shared.config.rules import Route

FACTS = {"source": "ct-1", "called": "DCMRELAY"}
CT: Header = {"Modality": ("CT",), "BodyPartExamined": ("CHEST",), "ImageType": ("ORIGINAL", "PRIMARY", "AXIAL")}
SR: Header = {"Modality": ("SR",), "BodyPartExamined": (), "ImageType": ()}


def route(name: str, *, last: bool = False, **match: tuple[str, ...]) -> Route:
    return Route(name=name, match=match, to=("archive",), last=last)


@pytest.mark.parametrize(
    ("match", "matched"),
    [
        ({}, True),
        ({"source": ("ct-1",)}, True),
        ({"source": ("mr-1",)}, False),
        ({"source": ("mr-1", "ct-1")}, True),
        ({"source": ("ct-*",)}, True),
        ({"source": ("ct-?",)}, True),
        ({"source": ("ct-??",)}, False),
        ({"called": ("OLDPACS",)}, False),
        ({"source": ("ct-1",), "called": ("DCMRELAY",)}, True),
        ({"Modality": ("CT",)}, True),
        ({"Modality": ("MR", "CT")}, True),
        ({"Modality": ("ct",)}, False),
        ({"Modality": ("C?",)}, True),
        ({"Modality": ("*",)}, True),
        ({"Modality": ("CT",), "BodyPartExamined": ("CHEST",)}, True),
        ({"Modality": ("CT",), "BodyPartExamined": ("HEAD",)}, False),
        ({"ImageType": ("AXIAL",)}, True),
        ({"ImageType": ("LOCALIZER",)}, False),
        ({"StudyDescription": ("*",)}, False),
        ({"source": ("mr-1",), "Modality": ("CT",)}, False),
    ],
)
def test_a_study_of_one_instance_matches(match: dict[str, tuple[str, ...]], matched: bool) -> None:
    assert matches(match, FACTS, lambda: [CT]) is matched


def test_one_instance_that_matches_is_enough() -> None:
    assert matches({"Modality": ("SR",)}, FACTS, lambda: [CT, CT, SR])


def test_all_keywords_must_fit_one_and_the_same_instance() -> None:
    assert not matches({"Modality": ("SR",), "BodyPartExamined": ("CHEST",)}, FACTS, lambda: [CT, SR])


def test_an_instance_that_could_not_be_read_matches_no_keyword() -> None:
    assert not matches({"Modality": ("*",)}, FACTS, lambda: [{}])


def no_headers() -> Iterable[Header]:
    raise AssertionError("the instances were read")


def test_the_instances_are_not_read_for_what_the_relay_knows() -> None:
    assert matches({"source": ("ct-1",)}, FACTS, no_headers)
    assert not matches({"source": ("mr-1",), "Modality": ("CT",)}, FACTS, no_headers)


def test_only_the_keywords_that_some_rule_asks_about_are_read() -> None:
    routes = [route("a", source=("ct-1",), Modality=("CT",)), route("b", called=("X",), PatientID=("4*",))]
    assert keywords_of(routes) == ("Modality", "PatientID")


@pytest.mark.parametrize(
    ("routes", "pinned", "wanted"),
    [
        ((route("a"), route("b")), (), ("a", "b")),
        ((route("a", Modality=("MR",)), route("b")), (), ("b",)),
        ((route("a", last=True), route("b")), (), ("a",)),
        ((route("a", last=True, Modality=("MR",)), route("b")), (), ("b",)),
        ((route("a"), route("b", last=True), route("c")), (), ("a", "b")),
        ((route("a", Modality=("MR",)),), (), ()),
        ((route("a", Modality=("MR",)),), ("a",), ("a",)),
        ((route("a", Modality=("MR",), last=True), route("b")), ("a",), ("a",)),
        ((route("a", last=True), route("b"), route("c")), ("b",), ("a", "b")),
        ((route("a"),), ("gone",), ("a",)),
    ],
)
def test_the_routes_that_want_a_study(
    routes: tuple[Route, ...], pinned: tuple[str, ...], wanted: tuple[str, ...]
) -> None:
    assert tuple(it.route.name for it in wanted_by(routes, FACTS, lambda: [CT], pinned)) == wanted


def test_a_route_that_an_earlier_part_took_is_not_asked_again() -> None:
    one = route("a", Modality=("MR",))
    assert wanted_by([one], FACTS, no_headers, ["a"]) == [Wanted(route=one, follows=True)]


@pytest.mark.parametrize(
    ("match", "matched"),
    [
        ({"Modality": ("CT",)}, True),
        ({"Modality": ("CT",), "instances": ("any",)}, True),
        ({"Modality": ("CT",), "instances": ("all",)}, False),
        ({"Modality": ("CT", "SR"), "instances": ("all",)}, True),
        ({"instances": ("all",)}, True),
    ],
)
def test_any_instance_must_fit_or_all_of_them(match: dict[str, tuple[str, ...]], matched: bool) -> None:
    assert matches(match, FACTS, lambda: [CT, SR]) is matched


def test_an_instance_that_could_not_be_read_is_not_counted_among_all() -> None:
    assert not matches({"Modality": ("CT",), "instances": ("all",)}, FACTS, lambda: [CT, {}])


@pytest.mark.parametrize(
    ("key", "patterns", "matched"),
    [
        ("host", ("10.1.0.0/16",), True),
        ("host", ("10.2.0.0/16",), False),
        ("weekday", ("mon-fri",), True),
        ("weekday", ("sat-sun",), False),
        ("time", ("20:00-08:00",), True),
        ("time", ("08:00-20:00",), False),
    ],
)
def test_what_the_relay_knows_of_a_part_is_matched_without_its_instances(
    key: str, patterns: tuple[str, ...], matched: bool
) -> None:
    facts = {**FACTS, "host": "10.1.2.3", "weekday": "fri", "time": "1320"}
    assert matches({key: patterns}, facts, no_headers) is matched
    assert not matches({key: patterns}, FACTS, no_headers)


def test_a_pin_stands_for_all_but_the_sender() -> None:
    match = {"source": ("ct-1",), "weekday": ("sat",), "Modality": ("MR",)}
    assert is_open_to(match, {**FACTS, "weekday": "mon"})
    assert not is_open_to(match, {"source": "mr-1", "called": "DCMRELAY"})


def test_the_instances_that_a_destination_never_gets_are_named_by_their_index() -> None:
    excludes = ({"Modality": ("SR",)}, {"ImageType": ("DERIVED",), "Modality": ("CT",)})
    assert excluded_by(excludes, [CT, SR, {}, {**CT, "ImageType": ("DERIVED",)}]) == (1, 3)
