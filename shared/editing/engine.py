"""One edit of one data set's header: bytes in, bytes out. No I/O, no clock, no globals.

Every value is made of what stood there before the edit, so the order of its tables says nothing. What it does not name
keeps its bytes; what it cannot make whole and right, it refuses, and the instance waits for a person.

Source: PS3.5 6.2 (values), 7.8.1 (private creators); ADR 0021.
"""

import re
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from io import BytesIO

from pydicom.datadict import dictionary_has_tag, dictionary_VM, keyword_for_tag, private_dictionary_VR
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset

from shared.config.addresses import Address, parse_address
from shared.config.regex import LONGEST_REPLACED, replaced
from shared.config.rewriting import Edit, Lookup, Replacement
from shared.config.templates import pieces_of
from shared.editing.charsets import UTF_8, UnwritableError
from shared.editing.elements import (
    CHARACTER_SET,
    Changes,
    Element,
    Encoding,
    Level,
    creators_of,
    element_of,
    put_together,
    rewritten,
    vr_of,
)
from shared.editing.values import IN_CHARACTER_SET, NUMBERS, PLAIN, fault_of
from shared.errors import DataSetError

_UNREADABLE_TEXT = frozenset(("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "AT"))
_SIGNED = (0x4FFE0001, 0xFFFAFFFA)


def edited(header: bytes, encoding: Encoding, edit: Edit, facts: Mapping[str, str]) -> bytes:
    """The elements of a data set after an edit.

    Args:
        header: the elements before the pixel data.
        encoding: how they are written.
        edit: what is changed.
        facts: values of `source` and `called`.

    Raises:
        DataSetError: a result would be empty, too long or not what its VR holds; names the element, no value.
    """
    root = Level(body=header, encoding=encoding)
    try:
        return _Editing(edit, facts).of(root)
    except UnwritableError:
        if not _is_ascii(root):
            raise
    utf_8 = element_of(CHARACTER_SET, "CS", UTF_8, encoding)
    return _Editing(edit, facts).of(Level(body=put_together(root, {CHARACTER_SET: utf_8}), encoding=encoding))


@dataclass(frozen=True)
class _Editing:
    """An edit with what it is given."""

    edit: Edit
    facts: Mapping[str, str]

    def of(self, root: Level) -> bytes:
        ways = {it.way[:n] for _, it in self.edit.addresses() for n in range(1, len(it.way) + 1)}
        creators = {it.private for it in self.edit.remove if it.private}
        return rewritten(root, self._changes, lambda path: bool(creators) or path in ways)

    def _changes(self, level: Level) -> Changes:
        changes: dict[int, Element | None] = dict(self._removed(level))
        for address, make in self._made():
            if address.way != level.path:
                continue
            tag = _resolved(address, level, changes)
            try:
                made = make(level, tag)
                if made is not None:
                    changes[tag] = _element(level, tag, address, made)
            except UnwritableError as error:
                raise UnwritableError(f"{address.text} {error.reason}") from None
            except DataSetError as error:
                raise DataSetError(f"{address.text} {error.reason}") from None
        return changes

    def _removed(self, level: Level) -> Iterator[tuple[int, None]]:
        for it in self.edit.remove:
            if it.private:
                yield from ((tag, None) for tag in _block(level, it.private))
            elif it.keyword and (address := parse_address(it.keyword)).way == level.path:
                tag = _found(address, level)
                if tag is not None and level.get(tag) is not None:
                    yield tag, None
        if not level.path:
            yield from ((tag, None) for tag in _SIGNED if level.get(tag) is not None)

    def _made(self) -> Iterator[tuple[Address, Callable[[Level, int], str | None]]]:
        """Each element that gets a value, with what makes it; None leaves it as it is."""
        for place, template in self.edit.set.items():
            yield parse_address(place), partial(self._filled, template)
        for place, source in self.edit.copy_from.items():
            yield parse_address(place), partial(self._filled, f"{{{source}}}")
        for place, steps in self.edit.replace.items():
            yield parse_address(place), partial(_replaced, steps)
        for place, lookup in self.edit.lookup.items():
            yield parse_address(place), partial(self._looked_up, lookup)

    def _filled(self, template: str, level: Level, _tag: int) -> str:
        return self._text(template, level)

    def _looked_up(self, lookup: Lookup, level: Level, _tag: int) -> str | None:
        found = lookup.rows.get(self._text(lookup.by, level).strip(" "))
        if found is None and lookup.default is not None:
            return self._text(lookup.default, level)
        if found is None and lookup.otherwise == "hold":
            raise DataSetError(f"stands in no line of {lookup.file}")
        return found

    def _text(self, template: str, level: Level) -> str:
        """A template filled; one that is a quotation alone gives all values, else each quotation gives the first."""
        pieces = pieces_of(template)
        alone = len(pieces) == 3 and not pieces[0] and not pieces[2]
        return "".join(self._piece(piece, level, whole=alone, literal=k % 2 == 0) for k, piece in enumerate(pieces))

    def _piece(self, piece: str | Address, level: Level, *, whole: bool, literal: bool) -> str:
        if isinstance(piece, str):
            return piece if literal else self.facts.get(piece, "")
        text = _quoted(piece, level)
        if not text.strip(" "):
            raise DataSetError(f"would be empty: {piece.text}, which it quotes, has no value")
        return text if whole else text.partition("\\")[0]


def text_of(element: Element, level: Level) -> str:
    """The value of an element as text, backslashes between values; empty when it has none that is text."""
    vr = element.known_vr
    if vr in IN_CHARACTER_SET:
        return level.characters.read(element.value, vr)
    if vr in NUMBERS:
        order, size = "<" if level.encoding.little else ">", struct.calcsize(f"={NUMBERS[vr]}")
        count = len(element.value) // size
        return "\\".join(map(str, struct.unpack_from(f"{order}{count}{NUMBERS[vr]}", element.value)))
    if vr in _UNREADABLE_TEXT or element.is_undefined:
        return ""
    return element.value.decode("latin-1").rstrip(" \0")


def _quoted(address: Address, level: Level) -> str:
    """The value at an address: in the item itself where the way is the same, else in each first item."""
    while level.parent is not None and level.path != address.way[: len(level.path)]:
        level = level.parent
    for tag in address.way[len(level.path) :]:
        sequence = level.get(tag)
        items = level.items(sequence) if sequence is not None and sequence.is_sequence else []
        if not items:
            return ""
        level = items[0]
    tag_there = _found(address, level)
    element = None if tag_there is None else level.get(tag_there)
    return "" if element is None else text_of(element, level)


def _replaced(steps: tuple[Replacement, ...], level: Level, tag: int) -> str | None:
    element = level.get(tag)
    before = "" if element is None else text_of(element, level)
    if not before.strip(" "):
        return None
    if len(before) > LONGEST_REPLACED:
        raise DataSetError(f"is longer than {LONGEST_REPLACED} characters, in which nothing is replaced")
    after = before
    for step in steps:
        after = replaced(step.regex, step.by, after)
    return None if after == before else after


def _element(level: Level, tag: int, address: Address, text: str) -> Element:
    before = level.get(tag)
    vr = _vr(tag, address, before)
    vm = dictionary_VM(tag) if not address.creator and dictionary_has_tag(tag) else ""
    if fault := fault_of(vr, vm, text):
        raise DataSetError(fault)
    if vr in NUMBERS:
        order = "<" if level.encoding.little else ">"
        numbers = [float(it) if vr in ("FD", "FL") else int(it) for it in text.split("\\")]
        value = struct.pack(f"{order}{len(numbers)}{NUMBERS[vr]}", *numbers)
    elif vr in PLAIN:
        value = text.encode("ascii")
    elif vr == "UN":
        value = level.characters.write(text + " " * (len(text) % 2), "LO")
    else:
        value = level.characters.write(text, vr)
    try:
        return element_of(tag, vr, value, level.encoding)
    except OverflowError:
        raise DataSetError("would be longer than an element can be") from None


def _vr(tag: int, address: Address, before: Element | None) -> str:
    """As the data dictionary says; of a private element as it is written, or as its creator is known to write it."""
    if known := ("" if address.creator else vr_of(tag)):
        return known
    if before is not None and before.vr not in ("", "UN"):
        if before.vr not in IN_CHARACTER_SET | PLAIN | set(NUMBERS):
            raise DataSetError(f"has VR {before.vr}, which cannot take text")
        return before.vr
    try:
        vr = private_dictionary_VR(tag, address.creator) if address.creator else "UN"
    except KeyError:
        return "UN"
    return vr if vr in IN_CHARACTER_SET | PLAIN | set(NUMBERS) else "UN"


def _found(address: Address, level: Level) -> int | None:
    """The tag of an address at its level; None when its private creator has no block there."""
    if not address.creator:
        return address.tag
    blocks = creators_of(level.elements, address.tag >> 16)
    block = next((block for block, creator in sorted(blocks.items()) if creator == address.creator), None)
    return None if block is None else address.tag >> 16 << 16 | block << 8 | address.tag & 0xFF


def _resolved(address: Address, level: Level, changes: dict[int, Element | None]) -> int:
    """The same, with a block reserved for the creator when it has none. Source: PS3.5 7.8.1."""
    group = address.tag >> 16
    found = _found(address, level)
    if found is not None:
        return found
    ours = {it.tag & 0xFF: it.value.decode("latin-1").strip(" ") for it in changes.values()
            if it is not None and it.tag >> 16 == group and it.tag & 0xFFFF <= 0xFF}  # fmt: skip
    taken = creators_of(level.elements, group) | ours
    block = next((b for b, creator in ours.items() if creator == address.creator), None)
    block = block or next((b for b in range(0x10, 0x100) if b not in taken), None)
    if block is None:
        raise DataSetError(f"{address.text} finds no free block in its group")
    creator = element_of(group << 16 | block, "LO", address.creator.encode("latin-1", "replace"), level.encoding)
    changes[creator.tag] = creator
    return group << 16 | block << 8 | address.tag & 0xFF


def _block(level: Level, creator: str) -> Iterator[int]:
    """Tags of a private creator and of all that stands in its blocks."""
    for group in {it.tag >> 16 for it in level.elements if it.tag >> 16 & 1}:
        for block, name in creators_of(level.elements, group).items():
            if name == creator:
                yield group << 16 | block
                yield from (it.tag for it in level.elements if it.tag >> 8 == group << 8 | block)


def _is_ascii(level: Level) -> bool:
    """Whether all text that is in the root's character set is the same bytes in ISO_IR 192."""
    if not level.path and not level.characters.is_plain:
        return False
    for element in level.elements:
        if element.is_sequence:
            items = (item for item in level.items(element) if item.get(CHARACTER_SET) is None)
            if not all(_is_ascii(item) for item in items):
                return False
        elif element.known_vr in IN_CHARACTER_SET and re.search(rb"[\x1b\x80-\xff]", element.value):
            return False
    return True


def edited_header(ds: Dataset, edit: Edit, facts: Mapping[str, str]) -> Dataset:
    """A header that was read, as `edited` makes it: what rules see of a part that a person corrected.

    Args:
        ds: elements of an instance; those that the edit quotes among them.
        edit: what is changed.
        facts: values of `source` and `called`.

    Raises:
        DataSetError: a result cannot be; names the element.
    """
    after = edited(_written(ds), Encoding(implicit=False, little=True), edit, facts)
    header = read_dataset(BytesIO(after), False, True)
    header.decode()
    return header


def _written(ds: Dataset) -> bytes:
    """Elements as bytes, in Explicit VR Little Endian."""
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = False, True
    try:
        write_dataset(buffer, ds)
    except Exception as error:  # noqa: BLE001  (parser boundary)
        raise DataSetError(f"its elements are not what they declare ({type(error).__name__})") from None
    return buffer.getvalue()


def keywords_in(edit: Edit) -> set[str]:
    """The top-level keywords that an edit changes or quotes."""
    quoted = (p for t in (*edit.set.values(), *edit.copy_from.values()) for p in pieces_of(t) if isinstance(p, Address))
    return {keyword_for_tag((*it.way, it.tag)[0]) for it in (*(it for _, it in edit.addresses()), *quoted)} - {""}
