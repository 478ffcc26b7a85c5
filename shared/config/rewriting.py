"""[edit.NAME]: what is changed in a data set on its way."""

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, model_validator

from shared.config.addresses import Address, parse_address, protected, unchangeable
from shared.config.conditions import flat
from shared.config.fields import Constant, KeyFile, Listed, RegularExpression, Table, text
from shared.config.templates import parse_template
from shared.config.values import shown
from shared.editing.values import WRITABLE

ROWS_MAX = 20_000
_FILE_MAX = 4 * 1024 * 1024


def _address(written: str) -> str:
    address = parse_address(written)
    if why := unchangeable(address):
        raise ValueError(f"{written} {why}")
    return written


def _writable(written: str) -> str:
    address = parse_address(_address(written))
    is_known = address.creator or address.tag >> 16 & 1 or address.vr
    if not is_known or (address.vr and address.vr not in WRITABLE):
        kind = f"VR {address.vr}" if address.vr else "a VR that depends on other elements"
        raise ValueError(f"{written} has {kind}, which cannot take text; choose a text or number element, or remove it")
    return written


def _source(written: str) -> str:
    parse_address(written)
    return written


Place = Annotated[str, text(_address, '"PatientComments"')]
WritablePlace = Annotated[str, text(_writable, '"PatientID"')]
Quoted = Annotated[str, text(_source, '"AccessionNumber"')]
Template = Annotated[str, text(parse_template, '"Hospital Example"')]


class Removal(Table):
    """One element to remove, or a private creator with its block; exactly one is given."""

    keyword: Place | None = None
    private: Constant | None = None


def _removal(value: object) -> object:
    if isinstance(value, str):
        return {"keyword": value}
    given = [k for k, v in value.items() if v is not None] if isinstance(value, dict) else []
    if len(given) != 1 and not isinstance(value, Removal):
        raise ValueError('must be a keyword or { private = "CREATOR" }')
    return value


class Replacement(Table):
    """What is found in a value and what stands there instead.

    Args:
        regex: found in time linear to the value.
        by: literal text.
    """

    regex: RegularExpression
    by: Annotated[str, text(str, '"CT"')] = ""


def _rows(file: Path) -> dict[str, str]:
    try:
        content = file.read_bytes()
        if len(content) > _FILE_MAX:
            raise ValueError(f"{file} is larger than 4 MB; shorten it")
        lines = content.decode("utf-8-sig").splitlines()
    except OSError as error:
        raise ValueError(
            f"{file} cannot be read ({error.strerror}); write the path of a CSV file, relative to this one"
        ) from None
    except UnicodeDecodeError:
        raise ValueError(f"{file} is not UTF-8; save it as UTF-8 text") from None
    rows: dict[str, str] = {}
    for number, row in enumerate(csv.reader(lines), 1):
        if not row or row[0].startswith("#"):
            continue
        if len(row) < 2:
            raise ValueError(f"{file} line {number} has one column; write what is looked up and what stands for it")
        if rows.setdefault(row[0].strip(), row[1].strip()) != row[1].strip():
            raise ValueError(f"{file} line {number} gives another value for what an earlier line has; keep one")
    if len(rows) > ROWS_MAX:
        raise ValueError(f"{file} has more than {ROWS_MAX} lines; shorten it")
    return rows


class Lookup(Table):
    """A value found in a CSV file: its first column is looked for, its second is taken.

    Args:
        file: UTF-8, relative to the configuration; a line that begins with # is passed over. Read when the
            configuration is loaded, and kept with it.
        by: what is looked for.
        otherwise: when no line has it, "hold" the instance, or "keep" the element as it is.
        default: a value for that case instead.
        rows: the file's content; not written by hand.
    """

    file: Annotated[str, text(str, '"stations.csv"')]
    by: Template
    otherwise: Literal["hold", "keep"] = "hold"
    default: Template | None = None
    rows: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _read(cls, value: Any, info: ValidationInfo) -> Any:
        if info.context and isinstance(value, dict) and isinstance(value.get("file"), str):
            if "rows" in value:
                raise ValueError("rows come from the file; remove them")
            if "\0" not in value["file"]:
                return {**value, "rows": _rows(Path(info.context["folder"]) / value["file"])}
        return value


def _few(value: object) -> object:
    if isinstance(value, dict | Replacement):
        return (value,)
    if not isinstance(value, list | tuple):
        raise ValueError(f'{shown(value)} must be a table such as {{ regex = "^CT", by = "CT" }}, or a list of them')
    return tuple(value)


class Edit(Table):
    """[edit.NAME]: elements that are changed on the way, before de-identification; each is named once.

    Args:
        set: by element, a value that may quote others in braces.
        copy_from: by element, the element whose values it gets; `copy` in the file.
        replace: by element, what is found in its value and replaced, one after the other.
        lookup: by element, a value found in a CSV file.
        remove: elements, and private creators with their blocks.
        allow: protected elements, UIDs and what describes the pixel data, that it may change all the same.
        original_attributes: what stood there before is kept in Original Attributes Sequence, PS3.3 C.12.1.
        key_file: name, inside data_dir, of the key that new SOP Instance UIDs are made with.
    """

    set: Annotated[dict[WritablePlace, Template], BeforeValidator(flat)] = Field(default_factory=dict)
    copy_from: Annotated[dict[WritablePlace, Quoted], BeforeValidator(flat)] = Field(default_factory=dict, alias="copy")
    replace: Annotated[
        dict[WritablePlace, Annotated[tuple[Replacement, ...], BeforeValidator(_few)]], BeforeValidator(flat)
    ] = Field(default_factory=dict)
    lookup: Annotated[dict[WritablePlace, Lookup], BeforeValidator(flat)] = Field(default_factory=dict)
    remove: Listed[Annotated[Removal, BeforeValidator(_removal)]] = ()
    allow: Listed[Quoted] = ()
    original_attributes: bool = False
    key_file: KeyFile = "pseudonym.key"

    @property
    def hash(self) -> str:
        """SHA-256 over what it does, in hexadecimal; where the key lies is not part of it."""
        content = self.model_dump(mode="json", by_alias=True, exclude={"key_file"})
        return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    def to_json(self) -> bytes:
        """It as the spool keeps it."""
        return self.model_dump_json(by_alias=True).encode()

    def addresses(self) -> Iterator[tuple[str, Address]]:
        """Every element that it changes, with the key that says so."""
        for key, table in (
            ("set", self.set),
            ("copy", self.copy_from),
            ("replace", self.replace),
            ("lookup", self.lookup),
        ):
            yield from ((f"{key}.{name}", parse_address(name)) for name in table)
        yield from (("remove", parse_address(it.keyword)) for it in self.remove if it.keyword)

    @model_validator(mode="after")
    def _agrees(self) -> "Edit":
        allowed = {(it.way, it.tag) for it in map(parse_address, self.allow)}
        faults = [
            f"{address.text} is a UID or describes the pixel data; write allow = [{json.dumps(address.text)}] "
            "if you mean to change it"
            for _, address in self.addresses()
            if protected(address) and (address.way, address.tag) not in allowed
        ]
        times = Counter((it.way, it.tag, it.creator) for _, it in self.addresses())
        twice = {it.text for _, it in self.addresses() if times[it.way, it.tag, it.creator] > 1}
        faults += [f"changes {shown(one)} twice; keep one of them" for one in sorted(twice)]
        ways = {(*it.way, it.tag) for _, it in self.addresses()}
        inside = [it.text for _, it in self.addresses() if any((it.way[:n]) in ways for n in range(1, len(it.way) + 1))]
        faults += [
            f"changes {shown(one)}, and the sequence that holds it; keep one of them" for one in sorted(set(inside))
        ]
        if faults:
            raise ValueError("\n".join(faults))
        return self
