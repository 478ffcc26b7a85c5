"""What a part's instances fail of the checks. No I/O, no clock, no globals.

A failure names its check and the element, by keyword; never a value.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import partial

from consumers.router.rules import Header, instance_matches, keywords_of_matches, of_the_study
from shared.config.matching import STUDY_KEYS
from shared.config.regex import found
from shared.config.rules import Check

PATIENT = ("PatientID", "PatientName")
_BIRTH, _STUDY = "PatientBirthDate", "StudyDate"
_EARLIEST = date(1850, 1, 1)
_ZONES = timedelta(days=1)  # it may be tomorrow where the source stands
_LISTED = 4
# PS3.5 6.2, VR DA; the second is how it was written before DICOM (ACR-NEMA), which is still read.
_DATE = re.compile(r"(\d{4})(\d{2})(\d{2})|(\d{4})\.(\d{2})\.(\d{2})", re.ASCII)
# Element, what is wrong when it is not so, and what must be so.
Test = tuple[str, str, Callable[[Header], bool]]


@dataclass(frozen=True, kw_only=True)
class Failure:
    """What some instances of a part fail.

    Args:
        check: name of the check, or of the setting that asks.
        element: keyword.
        what: what is wrong with it, without its value.
        instances: how many instances fail.
        holds: whether the part waits for a person, or goes on with a warning.
    """

    check: str
    element: str
    what: str
    instances: int
    holds: bool

    def __str__(self) -> str:
        return f"check '{self.check}': {self.element} {self.what} in {self.instances} of the instances"


@dataclass(frozen=True, kw_only=True)
class Constant:
    """A value that all parts of a study must share.

    Args:
        failure: what it is when they do not.
        name: under which it is kept, a plain name: the element, or of one source its patient.
        text: the value, never to be written but as a keyed hash.
    """

    failure: Failure
    name: str
    text: str = field(repr=False)


def applying(checks: Iterable[Check], facts: Mapping[str, str]) -> tuple[Check, ...]:
    """The checks that look at a part: what their match asks of the part as a whole holds."""
    return tuple(check for check in checks if of_the_study(check.match, facts, STUDY_KEYS))


def keywords_of_checks(checks: Iterable[Check]) -> set[str]:
    """DICOM keywords and paths that checks ask about."""
    return {keyword for check in checks for keyword in _keywords(check)}


def failures_of(check: Check, headers: Iterable[Header], today: date) -> list[Failure]:
    """What the instances that a check looks at fail, each by itself.

    Args:
        check: one that applies to their part.
        headers: of all instances of the part.
        today: by the relay's clock.
    """
    looked_at = _selected(check, headers)
    failing = ((it, sum(not it[2](header) for header in looked_at)) for it in _tests(check, today))
    return [_failure(check, element, what, count) for (element, what, _), count in failing if count]


def constants_of(check: Check, headers: Iterable[Header], source: str) -> list[Constant | Failure]:
    """What a part says of its study that the other parts must say too; a failure where its own instances differ."""
    looked_at = _selected(check, headers)
    asked: list[tuple[str, str, str, Callable[[Header], str]]] = [
        (keyword, keyword, "is not one and the same for the study", partial(_text, keyword))
        for keyword in check.unchanged
    ]
    if check.one_patient_per_study:
        asked.append((PATIENT[0], f"{source}.patient", "is of more than one patient for the study", patient_of))
    return [it for one in asked if (it := _constant(check, looked_at, *one))]


def reason_of(failures: Sequence[Failure]) -> str:
    """One line for the dead letter, without values."""
    more = f"; and {len(failures) - _LISTED} more" if len(failures) > _LISTED else ""
    return "; ".join(map(str, failures[:_LISTED])) + more


def patient_of(header: Header) -> str:
    """Who the patient is: the ID, the name where there is no ID, empty where there is neither."""
    number, name = (_text(keyword, header) for keyword in PATIENT)
    return f"ID {number}" if number else f"name {name.rstrip('^ ')}" if name else ""


def date_of(text: str) -> date | None:
    """The date that a value of VR DA is; None when it is none."""
    if not (digits := _DATE.fullmatch(text)):
        return None
    try:
        return date(*(int(it) for it in digits.groups() if it))
    except ValueError:
        return None


def _keywords(check: Check) -> Iterator[str]:
    yield from keywords_of_matches([check.match])
    yield from (*check.require, *check.pattern, *check.values, *check.dates, *check.unchanged)
    yield from PATIENT if check.one_patient_per_study else ()
    yield from [_STUDY] if _BIRTH in check.dates else ()


def _selected(check: Check, headers: Iterable[Header]) -> list[Header]:
    theirs = {key: asked for key, asked in check.match.items() if key not in STUDY_KEYS}
    return [header for header in headers if instance_matches(theirs, header)]


def _tests(check: Check, today: date) -> Iterator[Test]:
    for keyword in check.require:
        yield keyword, "has no value", partial(_has_value, keyword)
    for keyword, regex in check.pattern.items():
        yield keyword, "does not fit its pattern", partial(_fits, keyword, regex)
    for keyword, allowed in check.values.items():
        yield keyword, "is not one of the listed values", partial(_is_listed, keyword, frozenset(allowed))
    for keyword in check.dates:
        yield keyword, "is not a date", partial(_are_dates, keyword)
        yield keyword, "lies before 1850", partial(_are_within, keyword, _EARLIEST, date.max)
        yield keyword, "lies in the future", partial(_are_within, keyword, date.min, today + _ZONES)
    if _BIRTH in check.dates:
        yield _BIRTH, f"lies after {_STUDY}", _is_born_before


def _has_value(keyword: str, header: Header) -> bool:
    return any(header.get(keyword, ()))


def _fits(keyword: str, regex: str, header: Header) -> bool:
    return all(found(regex, value) for value in header.get(keyword, ()) or ("",))


def _is_listed(keyword: str, allowed: frozenset[str], header: Header) -> bool:
    return allowed.issuperset(header.get(keyword, ()) or ("",))


def _are_dates(keyword: str, header: Header) -> bool:
    return all(date_of(value) for value in header.get(keyword, ()) if value)


def _are_within(keyword: str, first: date, last: date, header: Header) -> bool:
    return all(first <= it <= last for it in _dates(keyword, header))


def _dates(keyword: str, header: Header) -> list[date]:
    return [it for it in map(date_of, header.get(keyword, ())) if it]


def _is_born_before(header: Header) -> bool:
    born, studied = _dates(_BIRTH, header), _dates(_STUDY, header)
    return not (born and studied) or max(born) <= min(studied)


def _text(keyword: str, header: Header) -> str:
    return "\\".join(header.get(keyword, ()))


def _constant(
    check: Check, headers: Iterable[Header], element: str, name: str, what: str, text: Callable[[Header], str]
) -> Constant | Failure | None:
    """The one value of the instances that have one; a failure when they differ, None when none has one."""
    counted = Counter(filter(None, map(text, headers))).most_common()
    if not counted:
        return None
    failure = _failure(check, element, what, sum(count for _, count in counted[1:]) or counted[0][1])
    return failure if len(counted) > 1 else Constant(failure=failure, name=name, text=counted[0][0])


def _failure(check: Check, element: str, what: str, instances: int) -> Failure:
    return Failure(check=check.name, element=element, what=what, instances=instances, holds=check.on_failure == "hold")
