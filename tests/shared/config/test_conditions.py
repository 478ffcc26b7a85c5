"""What a key of a match table can be asked, by table; and that no pattern or expression can hang."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.config import Config, parse
from shared.config.conditions import Condition, satisfied
from shared.config.matching import fits
from shared.config.regex import found
from tests.shared.config.examples import FOLDER, SMALL


def asked(toml: str) -> tuple[str, tuple[str, ...] | Condition]:
    """The one key of a match table, as it is loaded; a snapshot of it is the same."""
    config = parse(f'{SMALL}[[route]]\nname = "r"\nto = ["archive"]\nmatch = {{ {toml} }}', FOLDER)
    assert Config.from_snapshot(config.snapshot()) == config
    return next(iter(config.routes[0].match.items()))


@pytest.mark.parametrize(
    ("toml", "values", "holds"),
    [
        # patterns
        ('Modality = "CT"', ("CT",), True),
        ('Modality = "CT"', ("MR",), False),
        ('Modality = ["CT", "MR"]', ("MR",), True),
        ('StudyDescription = "*THORAX*"', ("CT THORAX LOW",), True),
        ('Modality = "CT"', (), False),
        # not
        ('Modality = { not = "SR" }', ("CT",), True),
        ('Modality = { not = ["SR", "P*"] }', ("PR",), False),
        ('Modality = { not = "SR" }', (), True),
        ('ImageType = { not = "DERIVED" }', ("DERIVED", "PRIMARY"), False),
        # presence
        ("AccessionNumber = { present = true }", ("A1",), True),
        ("AccessionNumber = { present = true }", (" ",), False),
        ("AccessionNumber = { present = true }", (), False),
        ("AccessionNumber = { present = false }", (), True),
        ("AccessionNumber = { present = false }", ("",), True),
        ("AccessionNumber = { present = false }", ("A1",), False),
        ("RequestAttributesSequence = { present = true }", ("1",), True),
        ("RequestAttributesSequence = { present = false }", (), True),
        # regular expressions
        ("StudyDescription = { regex = '(?i)thor(a|e)x' }", ("CT Thorex",), True),
        ("StudyDescription = { regex = '^thorax' }", ("CT thorax",), False),
        (r"PatientID = { regex = '^\d{5,10}$' }", ("12345",), True),
        (r"PatientID = { regex = '^\d{5,10}$' }", ("1234",), False),
        # numbers
        ("SliceThickness = { below = 1.5 }", ("1.25",), True),
        ("SliceThickness = { below = 1.5 }", (" 1.5 ",), False),
        ("SliceThickness = { at_most = 1.5 }", ("1.50",), True),
        ("SliceThickness = { above = 0.1, below = 0.3 }", ("0.2", "7"), True),
        ("PixelSpacing = { at_least = 0.5, at_most = 0.6 }", ("0.4", "0.7"), False),
        ("SliceThickness = { at_least = 1 }", ("NaN",), False),
        ("SliceThickness = { at_least = 1 }", ("thin",), False),
        ("SliceThickness = { at_least = 1 }", ("1e1",), True),
        ("SliceThickness = { at_least = 0.1 }", ("0.1",), True),
        ("count = { at_least = 100, below = 1000 }", ("612",), True),
        ("count = { above = 612 }", ("612",), False),
        # ranges of dates and times
        ('StudyDate = { from = "20260101", to = "20261231" }', ("20261231",), True),
        ('StudyDate = { from = "20260101", to = "20261231" }', ("20270101",), False),
        ('StudyDate = { from = "20260101" }', ("20251231",), False),
        ('AcquisitionDateTime = { to = "20261231" }', ("20261231235959.5",), True),
        ('StudyTime = { from = "08", to = "19" }', ("193000",), True),
        ('PatientAge = { from = "018Y", to = "120Y" }', ("045Y",), True),
        # several: all for one and the same value
        ("StudyDescription = { regex = 'THORAX', not = '*TEST*' }", ("THORAX",), True),
        ("StudyDescription = { regex = 'THORAX', not = '*TEST*' }", ("THORAX TEST",), False),
        # what the relay knows
        ('host = "10.1.0.0/16"', ("10.1.2.3",), True),
        ('host = ["10.1.0.0/16", "::1"]', ("::1",), True),
        ('host = { not = "10.1.0.0/16" }', ("10.2.0.1",), True),
        ('host = "10.1.0.0/16"', ("elsewhere",), False),
        ('weekday = "sat-mon"', ("sun",), True),
        ('weekday = ["sat", "sun"]', ("mon",), False),
        ('time = "20:00-08:00"', ("0",), True),
        ('time = "20:00-08:00"', ("480",), False),
        ('time = ["00:00-01:00", "08:00-09:30"]', ("569",), True),
        ('time = { not = "20:00-08:00" }', ("480",), True),
        ('time = "20:00-24:00"', ("1439",), True),
        ('sop_class = "CTImageStorage"', ("1.2.840.10008.5.1.4.1.1.2", "CTImageStorage"), True),
        ('sop_class = "*SRStorage"', ("1.2.3", "EnhancedSRStorage"), True),
        ('source = { not = "ct" }', ("mr",), True),
        ("called = { regex = '^OLD' }", ("OLDPACS",), True),
    ],
)
def test_values_hold_what_is_asked(toml: str, values: tuple[str, ...], holds: bool) -> None:
    key, wanted = asked(toml)
    assert satisfied(key, wanted, values) is holds


@pytest.mark.parametrize(
    "toml", ['RequestAttributesSequence.StudyID = "x"', '"RequestAttributesSequence.StudyID" = "x"']
)
def test_a_path_is_written_with_or_without_quotes(toml: str) -> None:
    assert asked(toml) == ("RequestAttributesSequence.StudyID", ("x",))


def test_an_expression_that_would_backtrack_for_ever_is_answered() -> None:
    assert not found("^(a+)+$", "a" * 100_000 + "b")
    assert not found("(x+x+)+y", "x" * 100_000)


def test_a_pattern_of_many_stars_is_answered_for_a_long_value() -> None:
    assert not fits("*a" * 12 + "*b", "a" * 10_000)


@settings(deadline=None)
@given(st.text("ab*?", max_size=8), st.text("ab", max_size=10))
def test_a_pattern_fits_what_its_plain_translation_fits(pattern: str, value: str) -> None:
    plain = "".join({"*": ".*", "?": "."}.get(c, re.escape(c)) for c in pattern)
    assert fits(pattern, value) is (re.fullmatch(plain, value) is not None)
