"""The identity of a changed object: new SOP Instance UIDs, and what stood there before. No I/O, no clock, no globals.

Source: PS3.4 B (a changed object is another SOP Instance), PS3.3 C.12.1 (original attributes); ADR 0021.
"""

import hashlib
import hmac
import uuid
from collections.abc import Iterable
from datetime import datetime

from shared.editing.elements import (
    CHARACTER_SET,
    Changes,
    Element,
    Encoding,
    Level,
    element_of,
    item_of,
    put_together,
    rewritten,
)

_SOP_INSTANCE_UID = 0x00080018
_REFERENCED_SOP_CLASS_UID, _REFERENCED_SOP_INSTANCE_UID = 0x00081150, 0x00081155
_CONCATENATION_SOURCE = 0x00200242
_STUDY_INSTANCE_UID = 0x0020000D
_ORIGINAL_ATTRIBUTES = 0x04000561
# Below it the standard names what is never stored: studies, procedure steps, patients.
_MANAGED = "1.2.840.10008.3.1."


def new_uid(key: bytes, edit: str, uid: str) -> str:
    """The SOP Instance UID of an instance after an edit: the same whoever makes it, and whenever. Source: PS3.5 B.2.

    Args:
        key: the secret.
        edit: name of the edit; another edit makes another object.
        uid: as received.
    """
    message = b"".join(len(it).to_bytes(8, "big") + it for it in (b"edited uid", edit.encode(), uid.encode()))
    return f"2.25.{uuid.UUID(bytes=hmac.new(key, message, hashlib.sha256).digest()[:16], version=4).int}"


def reidentified(header: bytes, encoding: Encoding, *, key: bytes, edit: str) -> bytes:
    """A data set's elements with a new SOP Instance UID, in itself and in its references inside the study.

    A reference is left alone when it stands below another Study Instance UID, or names what is never stored.
    """
    root = Level(body=header, encoding=encoding)
    study = _uid(root, _STUDY_INSTANCE_UID)

    def changes(level: Level) -> Changes:
        if level.parent is None:
            tags: tuple[int, ...] = (_SOP_INSTANCE_UID, _CONCATENATION_SOURCE)
        else:
            tags = (_REFERENCED_SOP_INSTANCE_UID,) if _is_inside(level, study) else ()
        old = {tag: _uid(level, tag) for tag in tags}
        return {
            tag: element_of(tag, "UI", new_uid(key, edit, uid).encode(), level.encoding)
            for tag, uid in old.items()
            if uid
        }

    return rewritten(root, changes, lambda _: True)


def with_original(before: bytes, after: bytes, encoding: Encoding, *, at: datetime, system: str, reason: str) -> bytes:
    """A changed data set with what stood there before in Original Attributes Sequence.

    Args:
        before: its elements as received.
        after: as changed.
        encoding: of both.
        at: when it was changed, aware; the same each time it is made again.
        system: who changed it, an AE title.
        reason: `COERCE` or `CORRECT`.
    """
    old, new = Level(body=before, encoding=encoding), Level(body=after, encoding=encoding)
    original = b"".join(_former(old, new))
    facts = (
        (0x04000550, "SQ", item_of(original, encoding)),
        (0x04000562, "DT", at.strftime("%Y%m%d%H%M%S.%f%z").encode()),
        (0x04000563, "LO", system.encode("ascii", "replace")),
        (0x04000564, "LO", b""),
        (0x04000565, "CS", reason.encode()),
    )
    item = item_of(b"".join(element_of(*fact, encoding).raw for fact in facts), encoding)
    standing = new.get(_ORIGINAL_ATTRIBUTES)
    earlier = standing.value if standing is not None and standing.vr != "UN" else b""
    return put_together(new, {_ORIGINAL_ATTRIBUTES: element_of(_ORIGINAL_ATTRIBUTES, "SQ", earlier + item, encoding)})


def _former(old: Level, new: Level) -> Iterable[bytes]:
    """The elements that were changed or removed, as they were; empty those that came."""
    was, now = ({it.tag: it for it in level.elements if it.tag & 0xFFFF} for level in (old, new))
    for tag in sorted(was.keys() | now.keys()):
        before, after = was.get(tag), now.get(tag)
        if before is not None and tag == CHARACTER_SET and before == after:
            yield before.raw  # the values below are written in it
        elif before != after:
            yield before.raw if before is not None else _empty(after, new.encoding)


def _empty(element: Element | None, encoding: Encoding) -> bytes:
    return b"" if element is None else element_of(element.tag, element.vr, b"", encoding).raw


def _is_inside(level: Level, study: str) -> bool:
    """Whether an item refers to an instance of the study that it is in."""
    if _uid(level, _REFERENCED_SOP_CLASS_UID).startswith(_MANAGED):
        return False
    above: Level | None = level
    while above is not None and above.parent is not None:
        named = _uid(above, _STUDY_INSTANCE_UID)
        if named:
            return named == study
        above = above.parent
    return True


def _uid(level: Level, tag: int) -> str:
    element = level.get(tag)
    return "" if element is None else element.value.decode("latin-1").strip(" \0")
