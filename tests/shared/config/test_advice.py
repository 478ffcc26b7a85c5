# ruff: noqa: E501 (a problem is one line, however long)
from datetime import UTC, date, datetime

import pytest

from shared.config import parse, unbuilt_in, warnings_of
from tests.shared.config.examples import FOLDER, FULL, ROUTE, small

TODAY = date(2026, 11, 22)

CALENDARS = """
[relay]
timezone = "Europe/Lisbon"
[calendar.office]
open = ["mon-fri 08:00-20:00"]
closed_on = ["2026-12-25", "2027-01-01"]
[calendar.night]
open = ["mon-sun 20:00-08:00", "sat-sun 08:00-20:00"]
also_open_on = ["2026-12-25", "2027-01-01"]
[[route]]
name = "reading"
one_of = [
  { destination = "archive", during = "office", as_backup = "always" },
  { destination = "outside", during = "night", as_backup = "always" },
]
"""


def _warnings(more: str) -> list[str]:
    return [str(warning) for warning in warnings_of(small(more), TODAY)]


def test_a_plain_configuration_has_no_warnings() -> None:
    assert _warnings(ROUTE) == []


def test_calendars_that_fit_together_have_no_warnings() -> None:
    assert _warnings(CALENDARS) == []


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (
            ', "sat-sun 08:00-20:00"',
            "",
            "route 'reading' key one_of: nobody covers sat,sun 08:00-20:00, when a candidate with as_backup = \"always\" takes over; extend a calendar",
        ),
        (
            'also_open_on = ["2026-12-25", ',
            "also_open_on = [",
            "route 'reading' key one_of: nobody covers 2026-12-25 08:00-20:00, when a candidate with as_backup = \"always\" takes over; extend a calendar",
        ),
        (
            "fri 08:00-20:00",
            "fri 08:00-21:00",
            "route 'reading' key one_of: more than one candidate is open on mon,tue,wed,thu,fri 20:00-21:00, when the first listed gets all; separate the calendars",
        ),
        (
            '["mon-fri 08:00-20:00"]',
            '["mon-fri 08:00-20:00", "tue 19:00-20:00"]',
            "calendar 'office' key open: windows overlap on tue 19:00-20:00; make them meet instead",
        ),
        (
            'closed_on = ["2026-12-25", "2027-01-01"]',
            'closed_on = ["2026-12-25"]',
            "calendar 'office' key closed_on: no holiday is listed for 2027; add them here or to also_open_on",
        ),
        (
            '  { destination = "outside", during = "night", as_backup = "always" },\n',
            "",
            "route 'reading' key one_of: has no backup, so its studies wait when the candidate fails; add another with as_backup = \"always\"",
        ),
    ],
)
def test_calendars_that_do_not_fit_are_warned_about(old: str, new: str, line: str) -> None:
    assert old in CALENDARS
    assert line in _warnings(CALENDARS.replace(old, new))


def test_a_calendar_that_is_always_open_needs_no_holiday() -> None:
    assert _warnings('[relay]\ntimezone = "UTC"\n[calendar.c]\nopen = ["mon-sun 00:00-24:00"]' + ROUTE) == []


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (
            '[ingress]\nlisten = ["0.0.0.0:104"]\nplain = "vpn"\n' + ROUTE,
            "source 'ct' key hosts: is missing, so any machine that knows the AE title may send; name its addresses",
        ),
        (
            '[ingress.tls]\nlisten = ["0.0.0.0:2762"]\ncertificate = "c"\nkey = "k"\nca = "a"\n' + ROUTE,
            "source 'ct' key certificate: is missing, so whoever has any certificate of [ingress.tls] ca may send; name its certificate",
        ),
        (
            ROUTE + '[[destination]]\nname = "d"\nae_title = "D"\nhost = "h"\nport = 1\nretry = { give_up = "71h" }',
            "destination 'd' key retry.give_up: 71h is under 72h, which a long weekend outlasts; write \"3d\" or more",
        ),
        (
            ROUTE + '[spool]\nretention = "6d"',
            "[spool] key retention: 6d is shorter than relay.follow, 7d; keep it as long",
        ),
        (
            ROUTE + 'accepted_within = "1h"',
            "route 'plain' key accepted_within: is said by `dcmrelay status` only; a [[notify]] with on = [\"late\"] tells a person",
        ),
        (
            ROUTE + 'when_partial = "hold"',
            "route 'plain' key when_partial: without effect, because there is no one_of; remove it",
        ),
        (
            ROUTE + '[profile.p]\noptions = ["clean-graphics"]',
            "profile 'p' key options: clean-graphics has no effect in this version: the elements are removed, as in the basic profile, which is stricter",
        ),
        (
            ROUTE + 'match = { source = "ct", called = "OLD*" }',
            "route 'plain' key match.called: no such source may call 'OLD*', so the route never matches; it may call 'DCMRELAY'",
        ),
        (
            ROUTE + 'match = { Modality = "ct" }',
            "route 'plain' key match.Modality: 'ct' never matches, Modality is always upper case; write 'CT'",
        ),
        (
            ROUTE + 'last = true\n[[route]]\nname = "below"\nto = ["outside"]',
            "route 'below': never matches, because 'plain' above takes all of its studies and is last; move it up",
        ),
        ("", "[[route]]: none is configured, so every study waits as a dead letter; add one"),
    ],
)
def test_what_is_allowed_but_doubtful_is_warned_about(more: str, line: str) -> None:
    assert line in _warnings(more)


def test_a_route_below_a_narrower_last_one_is_not_warned_about() -> None:
    assert _warnings(ROUTE + 'last = true\nmatch = { source = "ct" }\n[[route]]\nname = "b"\nto = ["outside"]') == []


def test_a_configuration_without_sources_is_warned_about() -> None:
    warnings = warnings_of(parse("", FOLDER), TODAY)
    assert str(warnings[0]) == "[[source]]: none is configured, so every caller is refused; add one for each sender"


def test_without_a_date_the_clock_says_which_year_is_next() -> None:
    listed = [f"{datetime.now(UTC).year + n}-12-25" for n in (0, 1, 2)]
    more = f'[relay]\ntimezone = "UTC"\n[calendar.c]\nopen = ["mon 08:00-09:00"]\nclosed_on = {listed}'
    assert warnings_of(small(ROUTE + more)) == ()


def test_a_plain_configuration_asks_for_nothing_unbuilt() -> None:
    assert unbuilt_in(small()) == ()


def test_everything_unbuilt_in_the_full_example_is_named() -> None:
    unbuilt = [
        str(problem).partition(" is not built in this version")[0]
        for problem in unbuilt_in(parse(FULL.read_text(), FOLDER))
    ]
    assert unbuilt == [
        "profile 'outside' key objects.structured_report: \"send\"",
    ]


@pytest.mark.parametrize(
    ("more", "place"),
    [
        (
            '[profile.p]\noptions = ["clean-pixel-data"]\n[[route]]\nname = "r"\nto = ["outside"]\nprofile = "p"',
            "profile 'p' key options",
        ),
    ],
)
def test_what_this_version_does_not_do_is_refused_at_start(more: str, place: str) -> None:
    assert [problem.place for problem in unbuilt_in(small(more))] == [place]


def test_an_edit_or_profile_that_no_route_uses_is_no_reason_to_refuse() -> None:
    unused = '[edit.e]\nremove = ["PatientComments"]\n[profile.p]\noptions = ["clean-pixel-data"]'
    assert unbuilt_in(small(ROUTE + unused)) == ()
