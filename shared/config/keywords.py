"""DICOM keywords as the configuration writes them, checked against the dictionary of PS3.6.

No I/O, no clock. Each function raises ValueError with a sentence that says what to write instead.
"""

import re

from shared.config.values import did_you_mean, shown
from shared.dictionary import keywords, vr_of

# The longest value each text VR may hold, in characters. Source: PS3.5 6.2.
LONGEST = {"AE": 16, "AS": 4, "CS": 16, "LO": 64, "LT": 10240, "PN": 64, "SH": 16, "ST": 1024, "UC": 2**20, "UT": 2**20}
_NOT_TEXT = frozenset({"SQ", "OB", "OD", "OF", "OL", "OV", "OW", "UN", "OB or OW"})
_TEMPLATE_KEY = re.compile(r"\{key:([0-9]{1,3})\}")

SHORTEST_KEY, LONGEST_KEY = 4, 52  # 20 to 256 bits: base32 of an HMAC-SHA256


def check_keyword(keyword: str) -> str:
    """Return a keyword of the data dictionary, of an element that a data set holds."""
    if keyword not in keywords() or not keyword:
        raise ValueError(f"{shown(keyword)} is not a DICOM keyword{did_you_mean(keyword, keywords())}")
    if keywords()[keyword] >> 16 <= 0x0002:
        raise ValueError(
            f"{keyword} stands in the command or the file meta information, not in the data set; remove it"
        )
    return keyword


def check_value_keyword(keyword: str) -> str:
    """Return a keyword whose element holds values that can be written as text."""
    vr = vr_of(check_keyword(keyword))
    if vr in _NOT_TEXT:
        raise ValueError(f"{keyword} has VR {vr}, which cannot be compared with text; choose another element")
    return keyword


def check_present_keyword(keyword: str) -> str:
    """Return a keyword whose element can be asked for without reading images: a value as text, or a sequence."""
    return keyword if vr_of(check_keyword(keyword)) == "SQ" else check_value_keyword(keyword)


def check_date_keyword(keyword: str) -> str:
    """Return a keyword whose element holds dates."""
    vr = vr_of(check_keyword(keyword))
    if vr != "DA":
        raise ValueError(f'{keyword} has VR {vr}, which is no date; name an element of VR DA, such as "StudyDate"')
    return keyword


def check_text_keyword(keyword: str) -> str:
    """Return a keyword whose element holds free text, so that any constant may be written to it."""
    vr = vr_of(check_keyword(keyword))
    if vr not in LONGEST:
        raise ValueError(f"{keyword} has VR {vr}, which cannot take free text; choose a text element")
    return keyword


def check_constant(keyword: str, text: str) -> str:
    """Return a constant that fits a text element: its length and its characters."""
    return _fitting(check_text_keyword(keyword), text, len(text))


def check_pseudonym(keyword: str, template: str) -> str:
    """Return a pseudonym's template: literal text with one {key:N}, N characters of base32, that fits its element."""
    check_text_keyword(keyword)
    keys = _TEMPLATE_KEY.findall(template)
    if len(keys) != 1:
        raise ValueError(f'{shown(template)} must hold one {{key:N}}, such as "HX{{key:12}}"')
    if not SHORTEST_KEY <= int(keys[0]) <= LONGEST_KEY:
        raise ValueError(f"{shown(template)}: N of {{key:N}} is {SHORTEST_KEY} to {LONGEST_KEY}")
    literal = _TEMPLATE_KEY.sub("", template)
    _no_braces(template, literal)
    return _fitting(keyword, template, len(literal) + int(keys[0]))


def _no_braces(template: str, literal: str) -> None:
    if "{" in literal or "}" in literal:
        raise ValueError(f"{shown(template)} has a brace that belongs to nothing; remove it")


def _fitting(keyword: str, text: str, length: int) -> str:
    vr = vr_of(keyword)
    if length > LONGEST[vr]:
        raise ValueError(f"{shown(text)} makes {length} characters; an element of VR {vr} holds {LONGEST[vr]}")
    if "\\" in text or not text.isprintable():
        raise ValueError(f"{shown(text)} may hold no backslash, which separates values, and no control character")
    return text
