"""What an edit changed, for a person at a terminal; it holds values and belongs in no log. No I/O, no clock."""

from collections.abc import Iterator
from dataclasses import dataclass

from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence


@dataclass(frozen=True, kw_only=True)
class Change:
    """One element that differs.

    Args:
        path: tags from the root, an item by its number from 1: `(0040,0275)[1].(0040,1001)`.
        keyword: of the element; empty when the data dictionary does not know it.
        vr: of the element.
        old: its value as text; None: it came.
        new: its value as text; None: it went.
    """

    path: str
    keyword: str
    vr: str
    old: str | None
    new: str | None


def changes(before: Dataset, after: Dataset) -> list[Change]:
    """The elements that differ, in the order of their tags; of sequences with as many items, those inside."""
    return list(_changes(before, after, ""))


def _changes(before: Dataset, after: Dataset, prefix: str) -> Iterator[Change]:
    for tag in sorted({*before.keys(), *after.keys()}):
        old, new = before.get(tag), after.get(tag)
        path = f"{prefix}({tag >> 16:04x},{tag & 0xFFFF:04x})"
        if old == new:
            continue
        was, now = _items(old), _items(new)
        if was is not None and now is not None and len(was) == len(now):
            for number, (one, other) in enumerate(zip(was, now, strict=True), 1):
                yield from _changes(one, other, f"{path}[{number}].")
        else:
            vr = str((new or old).VR)
            yield Change(path=path, keyword=keyword_for_tag(tag), vr=vr, old=_text(old), new=_text(new))


def _items(element: DataElement | None) -> Sequence | None:
    return element.value if element is not None and isinstance(element.value, Sequence) else None


def _text(element: DataElement | None) -> str | None:
    if element is None:
        return None
    if isinstance(element.value, Sequence | bytes):
        unit = "items" if isinstance(element.value, Sequence) else "bytes"
        return f"{len(element.value)} {unit}"
    return "\\".join(map(str, element.value)) if element.VM > 1 else str(element.value or "")
