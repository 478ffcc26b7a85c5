"""What persons corrected in a part: an edit of its own, kept beside the part and removed with it.

parts/<id>/corrections-<hash>.json    elements and their new values; mode 0600, as all of the spool
"""

import hashlib
from collections.abc import Mapping
from typing import Any

from shared.config.addresses import parse_address
from shared.config.rewriting import Edit
from shared.errors import PermanentError
from shared.spool.parts import read_manifest
from shared.spool.spool import Spool


def corrections_name(spool: Spool, part: str, edit: Edit) -> str:
    """The name under which corrections of a part are kept, a hash.

    It is over the images too, so that a name in a log cannot be tried against a list of likely values.
    """
    manifest = read_manifest(spool, part)
    salt = "".join(it.sha256 for it in manifest.instances) if manifest else part
    return hashlib.sha256(f"{salt}{edit.hash}".encode()).hexdigest()


def keep_corrections(spool: Spool, part: str, edit: Edit) -> str:
    """Keep corrections of a part; returns their name."""
    name = corrections_name(spool, part, edit)
    spool.store.put_new(f"parts/{part}/corrections-{name}.json", edit.to_json())
    return name


def corrections_of(facts: Mapping[str, Any]) -> str:
    """The name of what was corrected, by a part's facts, a decision or a form; empty: nothing."""
    return str(facts.get("corrections", ""))


def read_corrections(spool: Spool, part: str, name: str) -> Edit:
    """The corrections kept under a name.

    Raises:
        PermanentError: they are not there; class policy.
    """
    content = spool.store.read(f"parts/{part}/corrections-{name}.json")
    if content is None:
        raise PermanentError("what a person corrected is not in the spool", "policy")
    return Edit.model_validate_json(content)


def with_more(spool: Spool, part: str, before: str, more: Edit) -> Edit:
    """The corrections kept under a name, or none, with later ones, which stand where both say something of an element.

    Raises:
        PermanentError: as `read_corrections`.
    """
    if not before:
        return more
    places, earlier = {_place(it) for it in more.set}, read_corrections(spool, part, before).set
    return Edit(set={**{it: value for it, value in earlier.items() if _place(it) not in places}, **more.set})


def _place(element: str) -> tuple[tuple[int, ...], int, str]:
    """Where an element is, however it was written."""
    address = parse_address(element)
    return address.way, address.tag, address.creator
