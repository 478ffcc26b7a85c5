"""Which values a VR may hold, in characters. No I/O, no clock, no globals. Source: PS3.5 6.2, Table 6.2-1."""

import re
from datetime import date

# Text that is in the data set's character set, and text that never is; numbers and their range.
IN_CHARACTER_SET = frozenset(("LO", "LT", "PN", "SH", "ST", "UC", "UT"))
PLAIN = frozenset(("AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI", "UR"))
NUMBERS = {
    "FD": "d", "FL": "f", "SL": "l", "SS": "h", "SV": "q", "UL": "L", "US": "H", "UV": "Q",
}  # fmt: skip
WRITABLE = IN_CHARACTER_SET | PLAIN | frozenset(NUMBERS)
SINGLE = frozenset(("LT", "ST", "UR", "UT"))

_LONGEST = {"AE": 16, "CS": 16, "DS": 16, "IS": 12, "LO": 64, "LT": 10240, "PN": 64, "SH": 16, "ST": 1024, "UI": 64}
_LONGEST |= {"DT": 26, "TM": 14, "DA": 8, "AS": 4}
_DAY = r"(?P<day>[0-9]{8})"
_CLOCK = r"([01][0-9]|2[0-3])([0-5][0-9]([0-5][0-9]|60)?)?"
_SPELLING = {
    "AE": re.compile(r"[\x20-\x5b\x5d-\x7e]+"),
    "AS": re.compile(r"[0-9]{3}[DWMY]"),
    "CS": re.compile(r"[A-Z0-9_ ]+"),
    "DA": re.compile(_DAY),
    "DS": re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?"),
    "DT": re.compile(r"([0-9]{4}|[0-9]{4}(0[1-9]|1[0-2])|[0-9]{8}|(?P<day>[0-9]{8})"
                     r"([01][0-9]|2[0-3])([0-5][0-9](([0-5][0-9]|60)(\.[0-9]{1,6})?)?)?)([+-][01][0-9][0-5][0-9])?"),
    "IS": re.compile(r"[+-]?[0-9]+"),
    "TM": re.compile(rf"{_CLOCK}|([01][0-9]|2[0-3])[0-5][0-9]([0-5][0-9]|60)\.[0-9]{{1,6}}"),
    "UI": re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))*"),
    "UR": re.compile(r"[\x21-\x7e]+"),
}  # fmt: skip
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_LAID_OUT = frozenset(("LT", "ST", "UT"))


def fault_of(vr: str, vm: str, text: str) -> str:
    """What keeps a text from being the value of an element, as the end of a sentence; empty when nothing does.

    Args:
        vr: of the element; one of WRITABLE, or UN.
        vm: value multiplicity as the data dictionary writes it, such as `1` or `2-n`; empty: any.
        text: the values, with backslashes between them.
    """
    values = [text] if vr in SINGLE else text.split("\\")
    if not all(value.strip(" ") for value in values):
        return "would be empty"
    if not _is_multiplicity(vm, len(values)):
        return f"would have {len(values)} values, and its value multiplicity is {vm}"
    return next(filter(None, (_fault(vr, value) for value in values)), "")


def _fault(vr: str, value: str) -> str:
    longest = _LONGEST.get(vr)
    parts = value.split("=") if vr == "PN" else [value]
    if longest is not None and any(len(part) > longest for part in parts):
        return f"would be longer than the {longest} characters that VR {vr} holds"
    if vr in NUMBERS:
        return _number_fault(vr, value)
    spelling = _SPELLING.get(vr)
    found = spelling.fullmatch(value.strip(" ")) if spelling else None
    if spelling and not (found and _is_date(found) and _is_in_range(vr, value)):
        return f"would not be what VR {vr} holds"
    left = re.sub(r"[\t\n\f\r]", "", value) if vr in _LAID_OUT else value
    return "would hold a control character" if _CONTROL.search(left) else _name_fault(vr, value)


def _name_fault(vr: str, value: str) -> str:
    groups = value.split("=") if vr == "PN" else []
    return "would have too many name components" if len(groups) > 3 or any(g.count("^") > 4 for g in groups) else ""


def _is_date(found: re.Match[str]) -> bool:
    day = found.groupdict().get("day")
    if day is None:
        return True
    try:
        date(int(day[:4]), int(day[4:6]), int(day[6:]))
    except ValueError:
        return False
    return True


def _is_in_range(vr: str, value: str) -> bool:
    return vr != "IS" or -(2**31) <= int(value) < 2**31


def _number_fault(vr: str, value: str) -> str:
    if vr in ("FD", "FL"):
        return "" if _SPELLING["DS"].fullmatch(value.strip(" ")) else f"would not be what VR {vr} holds"
    bits = {"US": 16, "SS": 16, "UL": 32, "SL": 32, "UV": 64, "SV": 64}[vr]
    low, high = (0, 2**bits) if vr in ("UL", "US", "UV") else (-(2 ** (bits - 1)), 2 ** (bits - 1))
    is_whole = re.fullmatch(r"[+-]?[0-9]{1,20}", value.strip(" "))
    return "" if is_whole and low <= int(value) < high else f"would not be what VR {vr} holds"


def _is_multiplicity(vm: str, count: int) -> bool:
    if not vm:
        return True
    low, _, high = vm.partition("-")
    if not high:
        return count == int(low)
    if high.endswith("n"):
        step = int(high[:-1] or 1)
        return count >= int(low) and count % step == 0 if step > 1 else count >= int(low)
    return int(low) <= count <= int(high)
