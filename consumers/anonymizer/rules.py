"""One profile made ready: for every listed element the one action that is in force. No I/O, no clock, no globals.

Built options: retain-uids, retain-device-identity, retain-institution-identity, retain-patient-characteristics,
retain-longitudinal-full-dates, retain-longitudinal-modified-dates. Accepted but not built: retain-safe-private and
clean-*; the stricter Basic Profile acts instead and the output does not claim them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pydicom.datadict import dictionary_VR, tag_for_keyword

from consumers.anonymizer.objects import objects_problems
from consumers.anonymizer.pseudonyms import pseudonym_length, template_problem
from consumers.anonymizer.tables import TABLE, Row
from consumers.anonymizer.unlisted import Action
from shared.errors import ConfigError

# Option of a profile: column of the table, code value and meaning in CID 7050 (PS3.16).
OPTIONS: dict[str, tuple[str, str, str]] = {
    "retain-longitudinal-full-dates": (
        "full_dates",
        "113106",
        "Retain Longitudinal Temporal Information Full Dates Option",
    ),
    "retain-longitudinal-modified-dates": (
        "modified_dates",
        "113107",
        "Retain Longitudinal Temporal Information Modified Dates Option",
    ),
    "retain-patient-characteristics": ("patient", "113108", "Retain Patient Characteristics Option"),
    "retain-device-identity": ("device", "113109", "Retain Device Identity Option"),
    "retain-uids": ("uids", "113110", "Retain UIDs Option"),
    "retain-institution-identity": ("institution", "113112", "Retain Institution Identity Option"),
}
NOT_BUILT = (
    "retain-safe-private",
    "clean-pixel-data",
    "clean-recognizable-visual-features",
    "clean-graphics",
    "clean-structured-content",
    "clean-descriptors",
)
BASIC_CODE = ("113100", "Basic Application Confidentiality Profile")

# Letters a value may have (PS3.5 6.2); only elements of these VRs take pseudonyms and constants.
_LONGEST = {"AE": 16, "CS": 16, "LO": 64, "LT": 1024, "PN": 64, "SH": 16, "ST": 1024, "UC": 1024, "UT": 1024}
_DATE_VRS = frozenset(("DA", "DT", "TM"))
# Without the IOD at hand the code that leaves every Type satisfied is taken; what was empty before stays empty.
_PLAIN: dict[str, Action] = {"X": "X", "Z": "Z", "D": "D", "U": "U"}
_PLAIN |= {"X/Z": "Z", "X/D": "D", "X/Z/D": "D", "Z/D": "D", "X/Z/U*": "U"}


class Profile(Protocol):
    """What this package needs to know of a profile of the configuration."""

    @property
    def base(self) -> str:
        """Always `basic`."""

    @property
    def options(self) -> Sequence[str]:
        """Options by the standard's names, in lower case with hyphens."""

    @property
    def pseudonyms(self) -> Mapping[str, str]:
        """Template by keyword."""

    @property
    def set_after(self) -> Mapping[str, str]:
        """Constant by keyword."""

    @property
    def objects(self) -> Mapping[Any, str]:
        """`drop`, `hold` or `send` by category."""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """A profile and its key, resolved.

    Args:
        key: the profile's secret; never shown.
        actions: action by tag, for the rows of the table and the profile's pseudonyms.
        basic: the same with no option; what happens to a value that an option keeps but that is not spelled as its VR.
        templates: pseudonym template by tag.
        set_after: constant by tag, written into the data set's root last.
        objects: `drop`, `hold` or `send` by category of object, where the profile says so.
        codes: code value and meaning of the Basic Profile and of each option really applied.
        dates: what (0028,0303) says: REMOVED, MODIFIED or UNMODIFIED.
    """

    key: bytes
    actions: Mapping[int, Action]
    basic: Mapping[int, Action]
    templates: Mapping[int, str]
    set_after: Mapping[int, str]
    objects: Mapping[str, str]
    codes: tuple[tuple[str, str], ...]
    dates: str

    def __repr__(self) -> str:
        return f"Rules(codes={self.codes!r}, dates={self.dates!r})"


def rules_of(profile: Profile, key: bytes) -> Rules:
    """Resolve one profile of the configuration with its key.

    Args:
        profile: see `Profile`.
        key: at least 16 bytes.

    Raises:
        ConfigError: the profile asks for what does not exist or cannot be together; names every problem.
    """
    problems = profile_problems(profile) + ([] if len(key) >= 16 else ["key_file: holds less than 16 bytes"])
    if problems:
        raise ConfigError(tuple(problems))
    columns = frozenset(OPTIONS[option][0] for option in profile.options if option in OPTIONS)
    templates = _by_tag(profile.pseudonyms)
    basic = {tag: _action(tag, row, frozenset()) for tag, row in TABLE.items()}
    actions = {tag: _action(tag, row, columns) for tag, row in TABLE.items()}
    return Rules(
        key=key,
        actions=actions | dict.fromkeys(templates, "pseudonym"),
        basic=basic,
        templates=templates,
        set_after=_by_tag(profile.set_after),
        objects={str(category): verdict for category, verdict in profile.objects.items()},
        codes=(BASIC_CODE, *(OPTIONS[option][1:] for option in sorted(set(profile.options) & set(OPTIONS)))),
        dates="MODIFIED" if "modified_dates" in columns else "UNMODIFIED" if "full_dates" in columns else "REMOVED",
    )


def profile_problems(profile: Profile) -> list[str]:
    """One line per problem of a profile, each beginning with the key it is about; empty when it can be used."""
    problems = [] if profile.base == "basic" else ['base: must be "basic"']
    problems += [f'options: there is no "{option}"' for option in profile.options if option not in _known_options()]
    if {"retain-longitudinal-full-dates", "retain-longitudinal-modified-dates"} <= set(profile.options):
        problems.append("options: full dates and modified dates exclude each other, take one out")
    for keyword, template in profile.pseudonyms.items():
        wrong = _text_problem(keyword, pseudonym_length(template)) or template_problem(template)
        problems += [f"pseudonyms.{keyword}: {wrong}"] if wrong else []
    for keyword, constant in profile.set_after.items():
        wrong = _text_problem(keyword, len(constant)) or (
            None if _plain(constant) else "may hold no backslash and no control character"
        )
        problems += [f"set_after.{keyword}: {wrong}"] if wrong else []
    return problems + objects_problems(profile.objects)


def _known_options() -> set[str]:
    return {*OPTIONS, *NOT_BUILT}


def _plain(constant: str) -> bool:
    return constant.isprintable() and "\\" not in constant


def _text_problem(keyword: str, length: int) -> str | None:
    tag = tag_for_keyword(keyword)
    if tag is None:
        return "is no DICOM keyword"
    longest = _LONGEST.get(dictionary_VR(tag), 0)
    return None if length <= longest else f"takes at most {longest} letters" if longest else "is no text element"


def _by_tag(texts: Mapping[str, str]) -> dict[int, str]:
    return {tag: text for keyword, text in texts.items() if (tag := tag_for_keyword(keyword)) is not None}


def _action(tag: int, row: Row, columns: frozenset[str]) -> Action:
    """The action of one row under the chosen option columns; modifying a date wins over keeping it."""
    codes = {column: row.options[column] for column in columns if column in row.options}
    if "modified_dates" in codes:
        return "shift"
    if "K" in codes.values():
        return "K"
    return _basic(tag, row.basic)


def _basic(tag: int, code: str) -> Action:
    if tag == tag_for_keyword("PatientID"):
        return "Z"  # one dummy for everybody would merge patients at the destination
    if code in ("X/D", "X/Z/D") and dictionary_VR(tag) in _DATE_VRS and tag != tag_for_keyword("AcquisitionDateTime"):
        return "X"  # better no date than one that sorts wrongly
    return _PLAIN[code]
