"""Elements and items of a data set as bytes: taken apart, changed, put together; what is not changed keeps its bytes.

No I/O, no clock, no globals. Source: PS3.5 7.1 (elements), 7.5 (sequences), 6.2.2 (UN).
"""

import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from pydicom.datadict import dictionary_has_tag, dictionary_VR

from shared.editing.charsets import CharacterSet, character_set
from shared.errors import DataSetError

DEPTH_MAX = 64
CHARACTER_SET = 0x00080005
_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_LONG_VRS = frozenset(("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"))


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """How a data set is written: implicit or explicit VR, little or big endian."""

    implicit: bool
    little: bool


IMPLICIT = Encoding(implicit=True, little=True)


@dataclass(frozen=True, kw_only=True)
class Element:
    """One element as it is written.

    Args:
        tag: of the element.
        vr: as written; empty when the VR is implicit.
        raw: the whole element.
        value: the value field; of undefined length, without the delimiter.
        is_undefined: whether its length is undefined.
    """

    tag: int
    vr: str
    raw: bytes
    value: bytes
    is_undefined: bool = False

    @property
    def known_vr(self) -> str:
        """As written; else the data dictionary's; UN when neither says one."""
        if self.vr not in ("", "UN"):
            return self.vr
        return vr_of(self.tag) or "UN"

    @property
    def is_sequence(self) -> bool:
        """Whether items are in it."""
        return self.known_vr == "SQ" or (self.is_undefined and self.vr in ("", "UN"))


def vr_of(tag: int) -> str:
    """The data dictionary's VR; empty when it knows none, or several."""
    vr = dictionary_VR(tag) if dictionary_has_tag(tag) else ""
    return "" if " or " in vr else vr


@dataclass(frozen=True, kw_only=True)
class Level:
    """The root of a data set, or an item in it.

    Args:
        body: its elements as they are written.
        encoding: how.
        path: tags of the sequences that lead to it.
        parent: what it is in; None: it is the root.
    """

    body: bytes
    encoding: Encoding
    path: tuple[int, ...] = ()
    parent: "Level | None" = None

    @cached_property
    def elements(self) -> list[Element]:
        """Its elements, in the order of its bytes.

        Raises:
            DataSetError: it is not a data set.
        """
        return _elements(self.body, self.encoding)

    def get(self, tag: int) -> Element | None:
        """The element of a tag; None when there is none."""
        return next((element for element in self.elements if element.tag == tag), None)

    @cached_property
    def characters(self) -> CharacterSet:
        """How its text is written: by itself, or by what it is in. Source: PS3.5 7.5.3."""
        own = self.get(CHARACTER_SET)
        if own is None and self.parent is not None:
            return self.parent.characters
        return character_set(own.value if own else b"")

    def items(self, sequence: Element) -> "list[Level]":
        """The items of a sequence of this level."""
        inner = IMPLICIT if sequence.vr == "UN" else self.encoding
        path = (*self.path, sequence.tag)
        return [Level(body=it.value, encoding=inner, path=path, parent=self) for it in _items(sequence.value, inner)]


Changes = Mapping[int, Element | None]


def rewritten(level: Level, visit: Callable[[Level], Changes], enters: Callable[[tuple[int, ...]], bool]) -> bytes:
    """The elements of a level after what `visit` says of it and of the items below it.

    Args:
        level: the root, at first.
        visit: gives, by tag, the elements that come or go at a level; None: it goes.
        enters: whether to look into a sequence, by its path.

    Raises:
        DataSetError: it is not a data set, or nested too deep.
    """
    if len(level.path) > DEPTH_MAX:
        raise DataSetError(f"sequences are nested more than {DEPTH_MAX} deep")
    changes = dict(visit(level))
    for element in level.elements:
        if element.tag not in changes and element.is_sequence and enters((*level.path, element.tag)):
            changed = _sequence(level, element, visit, enters)
            if changed is not None:
                changes[element.tag] = changed
    return level.body if not changes else put_together(level, changes)


def put_together(level: Level, changes: Changes) -> bytes:
    """The bytes of a level with some elements changed; the length of a group that changed, which is retired, goes."""
    groups = {tag >> 16 for tag in changes}
    stays = (it for it in level.elements if it.tag not in changes and (it.tag & 0xFFFF or it.tag >> 16 not in groups))
    comes = (it for it in changes.values() if it is not None)
    return b"".join(it.raw for it in sorted((*stays, *comes), key=lambda it: it.tag))


def element_of(tag: int, vr: str, value: bytes, encoding: Encoding) -> Element:
    """A plain element, or a sequence of defined length, made of its value.

    Raises:
        OverflowError: the value is longer than its VR can say.
    """
    if len(value) % 2:
        value += b"\0" if vr in ("OB", "UI", "UN") else b" "
    head = _head(tag, vr, len(value), encoding)
    return Element(tag=tag, vr="" if encoding.implicit else vr, raw=head + value, value=value)


def item_of(body: bytes, encoding: Encoding) -> bytes:
    """An item of defined length around elements."""
    return _head(_ITEM, "", len(body), replace(encoding, implicit=True)) + body


def _sequence(
    level: Level, element: Element, visit: Callable[[Level], Changes], enters: Callable[[tuple[int, ...]], bool]
) -> Element | None:
    """A sequence with its items rewritten; None when all stay as they are."""
    items = level.items(element)
    bodies = [rewritten(item, visit, enters) for item in items]
    if all(body is item.body for body, item in zip(bodies, items, strict=True)):
        return None
    inner = IMPLICIT if element.vr == "UN" else level.encoding
    as_written = _items(element.value, inner)
    value = b"".join(_item(old, body, inner) for old, body in zip(as_written, bodies, strict=True))
    if not element.is_undefined:
        return element_of(element.tag, element.vr or "SQ", value, level.encoding)
    head = _head(element.tag, element.vr, _UNDEFINED, level.encoding)
    raw = head + value + _head(_SEQUENCE_END, "", 0, inner)
    return replace(element, raw=raw, value=value)


def _item(old: Element, body: bytes, encoding: Encoding) -> bytes:
    if not old.is_undefined:
        return item_of(body, encoding)
    return _head(_ITEM, "", _UNDEFINED, encoding) + body + _head(_ITEM_END, "", 0, encoding)


def _head(tag: int, vr: str, length: int, encoding: Encoding) -> bytes:
    order = "<" if encoding.little else ">"
    if encoding.implicit or tag >> 16 == 0xFFFE:
        return struct.pack(f"{order}HHL", tag >> 16, tag & 0xFFFF, length)
    if vr in _LONG_VRS:
        return struct.pack(f"{order}HH2sHL", tag >> 16, tag & 0xFFFF, vr.encode(), 0, length)
    if length > 0xFFFF:
        raise OverflowError
    return struct.pack(f"{order}HH2sH", tag >> 16, tag & 0xFFFF, vr.encode(), length)


def _elements(body: bytes, encoding: Encoding) -> list[Element]:
    found, position = [], 0
    while position < len(body):
        element, position = _element(body, position, encoding, 0)
        found.append(element)
    return found


def _items(body: bytes, encoding: Encoding) -> list[Element]:
    items = _elements(body, encoding)
    if any(item.tag != _ITEM for item in items):
        raise DataSetError("a sequence holds something that is no item")
    return items


def _element(body: bytes, position: int, encoding: Encoding, depth: int) -> tuple[Element, int]:
    """The element or item at a position, and where the next begins."""
    tag, vr, length, value = _read_head(body, position, encoding)
    if length != _UNDEFINED:
        end = value + length
        if end > len(body):
            raise DataSetError("an element is longer than what holds it: the file is cut short or broken")
        return Element(tag=tag, vr=vr, raw=body[position:end], value=body[value:end]), end
    inner = IMPLICIT if vr == "UN" else encoding
    stop = _ITEM_END if tag == _ITEM else _SEQUENCE_END
    value_end, end = _delimiter(body, value, inner, stop, depth + 1)
    return Element(tag=tag, vr=vr, raw=body[position:end], value=body[value:value_end], is_undefined=True), end


def _delimiter(body: bytes, position: int, encoding: Encoding, stop: int, depth: int) -> tuple[int, int]:
    """Where the delimiter of a value of undefined length begins and ends."""
    if depth > 2 * DEPTH_MAX + 2:
        raise DataSetError(f"sequences are nested more than {DEPTH_MAX} deep")
    while position < len(body):
        if _read_head(body, position, encoding)[0] == stop:
            return position, position + 8
        _, position = _element(body, position, encoding, depth)
    raise DataSetError("a sequence has no end: the file is cut short")


def _read_head(body: bytes, position: int, encoding: Encoding) -> tuple[int, str, int, int]:
    """Tag, VR, length, and where the value begins."""
    order = "<" if encoding.little else ">"
    try:
        group, element = struct.unpack_from(f"{order}HH", body, position)
        tag = group << 16 | element
        if encoding.implicit or group == 0xFFFE:
            return tag, "", struct.unpack_from(f"{order}L", body, position + 4)[0], position + 8
        vr = body[position + 4 : position + 6].decode("latin-1")
        if vr in _LONG_VRS:
            return tag, vr, struct.unpack_from(f"{order}L", body, position + 8)[0], position + 12
        return tag, vr, struct.unpack_from(f"{order}H", body, position + 6)[0], position + 8
    except struct.error:
        raise DataSetError("ends within an element: the file is cut short") from None


def creators_of(elements: Iterable[Element], group: int) -> dict[int, str]:
    """The private creators of a group by their block, 0x10 to 0xFF. Source: PS3.5 7.8.1."""
    return {
        it.tag & 0xFF: it.value.decode("latin-1").strip(" \0")
        for it in elements
        if it.tag >> 16 == group and 0x10 <= it.tag & 0xFFFF <= 0xFF
    }
