import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.config.matching import covers, fits, is_wider, parse_match_key

LETTERS = "ab*?"


@pytest.mark.parametrize(
    ("pattern", "value", "fit"),
    [
        ("CT", "CT", True),
        ("CT", "ct", False),
        ("CT*", "CT", True),
        ("?R", "MR", True),
        ("?R", "XMR", False),
        ("[CM]R", "CR", False),
        ("HEAD.*", "HEADxx", False),
        ("*", "", True),
        ("*", "two\nlines", True),
    ],
)
def test_a_pattern_knows_two_wildcards_and_nothing_else(pattern: str, value: str, fit: bool) -> None:
    assert fits(pattern, value) is fit


@given(st.text(LETTERS, max_size=5), st.text(LETTERS, max_size=5), st.text("ab", max_size=6))
def test_a_wider_pattern_takes_all_that_the_narrower_takes(wide: str, narrow: str, value: str) -> None:
    if covers(wide, narrow) and fits(narrow, value):
        assert fits(wide, value)


@pytest.mark.parametrize(
    ("wide", "narrow", "expected"),
    [
        ({}, {"source": ("ct",)}, True),
        ({"source": ("*",)}, {"source": ("ct",)}, True),
        ({"source": ("ct",)}, {}, False),
        ({"Modality": ("CT", "MR")}, {"Modality": ("CT",), "source": ("ct",)}, True),
        ({"Modality": ("CT",)}, {"Modality": ("CT", "MR")}, False),
    ],
)
def test_a_table_is_wider_when_each_of_its_conditions_is(
    wide: dict[str, tuple[str, ...]], narrow: dict[str, tuple[str, ...]], expected: bool
) -> None:
    assert is_wider(wide, narrow) is expected


@pytest.mark.parametrize(
    ("key", "remedy"),
    [
        ("modality", "did you mean 'Modality'"),
        ("Source", "did you mean 'source'"),
        ("Modalty", "did you mean 'Modality'"),
        ("PixelData", "cannot be compared with text"),
        ("TransferSyntaxUID", "file meta information"),
        ("", "neither a key of the relay"),
    ],
)
def test_a_match_key_that_is_none_is_refused_with_the_one_meant(key: str, remedy: str) -> None:
    with pytest.raises(ValueError, match=remedy):
        parse_match_key(key)
