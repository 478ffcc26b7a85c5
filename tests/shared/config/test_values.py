from collections.abc import Callable
from datetime import date, timedelta
from ipaddress import ip_network

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.config import keywords, matching, templates, values, windows
from shared.config.values import Address

PARSERS: tuple[Callable[[str], object], ...] = (
    values.parse_duration,
    values.parse_size,
    values.parse_rate,
    values.parse_percentage,
    values.parse_name,
    values.parse_ae_title,
    values.parse_host,
    values.parse_peer,
    values.parse_certificate,
    values.parse_address,
    values.parse_network,
    values.parse_date,
    windows.parse_window,
    matching.parse_match_key,
    keywords.check_keyword,
    keywords.check_value_keyword,
    keywords.check_text_keyword,
    templates.parse_template,
    lambda text: keywords.check_pseudonym("PatientID", text),
    lambda text: keywords.check_constant("InstitutionName", text),
)

NEARLY = st.from_regex(r"[0-9.:%\[\]/ -]{0,20}(ms|s|d|GB|Mbit/s|%|mon-fri|\{key:9\})?", fullmatch=True)


@pytest.mark.parametrize("parse", PARSERS)
@settings(deadline=None)
@given(text=st.text(max_size=40) | NEARLY)
@example(text="9" * 400 + "d")
@example(text="999999999999999d")
@example(text="٣s")
@example(text="0001-01-01")
@example(text="1.2.3.4/99999999999")
@example(text="[::1%eth0]:104")
@example(text="\udc80")
def test_a_parser_refuses_with_a_sentence_and_nothing_else(parse: Callable[[str], object], text: str) -> None:
    sentence = _refusal(parse, text)
    assert sentence is None or (len(sentence) > 20 and "\n" not in sentence)


def _refusal(parse: Callable[[str], object], text: str) -> str | None:
    try:
        parse(text)
    except ValueError as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("10m", 600), ("12h", 43200), ("7d", 604800), ("500ms", 0.5), ("1.5s", 1.5)],
)
def test_a_duration_is_a_number_and_a_unit(text: str, seconds: float) -> None:
    assert values.parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["30", "30 s", "-1s", "0s", "1w", "", "1e3s", "36501d"])
def test_a_duration_without_unit_or_out_of_bounds_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"duration|longer than zero|too long"):
        values.parse_duration(text)


def test_a_pause_may_be_zero() -> None:
    assert values.parse_pause("0s") == timedelta(0)
    assert values.parse_pause("1s") == timedelta(seconds=1)
    assert values.parse_pause(values.write_duration(timedelta(0))) == timedelta(0)


@given(st.integers(1, 36_500 * 86_400 * 10**6))
def test_a_duration_survives_writing(microseconds: int) -> None:
    duration = timedelta(microseconds=microseconds)
    assert values.parse_duration(values.write_duration(duration)) == duration


@pytest.mark.parametrize(
    ("text", "size"), [("10GB", 10**10), ("2.5MB", 2_500_000), ("1B", 1), ("3kB", 3000), ("0B", 0), ("1TB", 10**12)]
)
def test_a_size_is_decimal(text: str, size: int) -> None:
    assert values.parse_size(text) == size
    assert values.parse_size(values.write_size(size)) == size


@pytest.mark.parametrize(
    ("text", "rate"), [("160Mbit/s", 20e6), ("20MB/s", 20e6), ("8bit/s", 1.0), ("1Gbit/s", 125e6), ("1.5kB/s", 1500.0)]
)
def test_a_rate_is_bytes_per_second(text: str, rate: float) -> None:
    assert values.parse_rate(text) == rate
    assert values.parse_rate(values.write_rate(rate)) == rate


@pytest.mark.parametrize("text", ["160Mbit", "160 Mbit/s", "20", "1bit/s", "999999999999Gbit/s"])
def test_a_rate_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"rate|less than one byte|too large"):
        values.parse_rate(text)


@pytest.mark.parametrize(("text", "fraction"), [("20%", 0.2), ("0%", 0.0), ("100%", 1.0), ("12.5%", 0.125)])
def test_a_percentage_is_a_fraction(text: str, fraction: float) -> None:
    assert values.parse_percentage(text) == fraction
    assert values.parse_percentage(values.write_percentage(fraction)) == fraction


@pytest.mark.parametrize(
    ("text", "host", "port", "loopback"),
    [
        ("127.0.0.1:11112", "127.0.0.1", 11112, True),
        ("[::1]:104", "::1", 104, True),
        ("localhost:0", "localhost", 0, True),
        ("0.0.0.0:104", "0.0.0.0", 104, False),
        ("relay.example:104", "relay.example", 104, False),
    ],
)
def test_an_address_knows_who_can_reach_it(text: str, host: str, port: int, loopback: bool) -> None:
    address = values.parse_address(text)
    assert address == Address(host, port)
    assert str(address) == text
    assert address.is_loopback == loopback


@pytest.mark.parametrize("text", ["11112", ":104", "::1:104", "127.0.0.1:65536", "127.0.0.1:", "256.0.0.1:104"])
def test_an_address_without_host_or_port_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"write host:port|at most 65535|is not an IP address"):
        values.parse_address(text)


@pytest.mark.parametrize("text", ["A", "STORE SCP", "NO", "archive", "A" * 16, "{}[]#"])
def test_an_ae_title_keeps_its_case_and_characters(text: str) -> None:
    assert values.parse_ae_title(text) == text


@pytest.mark.parametrize("text", ["", "   ", "A" * 17, "A\\B", "A\tB", "ÁRCHIVE", " A", "A "])
def test_an_ae_title_outside_the_default_repertoire_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="AE title"):
        values.parse_ae_title(text)


def test_a_network_with_bits_behind_its_prefix_is_refused_with_the_one_meant() -> None:
    assert values.parse_network("10.1.2.3") == ip_network("10.1.2.3/32")
    with pytest.raises(ValueError, match=r'write "10\.1\.0\.0/16"'):
        values.parse_network("10.1.2.3/16")


def test_a_date_is_written_year_first() -> None:
    assert values.parse_date("2026-12-25") == date(2026, 12, 25)
    for text in ("25.12.2026", "2026-02-30", "2026-12-25T00:00", "20261225"):
        with pytest.raises(ValueError, match="is not a date"):
            values.parse_date(text)


def test_a_long_or_unprintable_value_is_quoted_short_and_on_one_line() -> None:
    assert values.shown("a" * 100) == "'" + "a" * 56 + "..."
    assert "\n" not in values.shown("a\nb\x1b[31m")
    assert values.shown(["secret"]) == "a list"
