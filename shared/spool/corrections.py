"""What persons corrected in a part: an edit of its own, kept beside the part and removed with it.

parts/<id>/corrections-<hash>.json    elements and their new values; mode 0600, as all of the spool
"""

import hashlib

from shared.config.rewriting import Edit
from shared.errors import PermanentError
from shared.spool.parts import read_manifest
from shared.spool.spool import Spool


def keep_corrections(spool: Spool, part: str, edit: Edit) -> str:
    """Keep corrections of a part; returns their name, a hash.

    The hash is over the images too, so that a name in a log cannot be tried against a list of likely values.
    """
    manifest = read_manifest(spool, part)
    salt = "".join(it.sha256 for it in manifest.instances) if manifest else part
    name = hashlib.sha256(f"{salt}{edit.hash}".encode()).hexdigest()
    spool.store.put_new(f"parts/{part}/corrections-{name}.json", edit.to_json())
    return name


def read_corrections(spool: Spool, part: str, name: str) -> Edit:
    """The corrections kept under a name.

    Raises:
        PermanentError: they are not there; class policy.
    """
    content = spool.store.read(f"parts/{part}/corrections-{name}.json")
    if content is None:
        raise PermanentError("what a person corrected is not in the spool", "policy")
    return Edit.model_validate_json(content)


def with_more(before: Edit | None, more: Edit) -> Edit:
    """Corrections with later ones, which stand where both say something of an element."""
    return more if before is None else Edit(set={**before.set, **more.set})
