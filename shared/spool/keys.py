"""The pseudonym keys: read by who makes pseudonyms, named by who only needs to know which one."""

import hashlib
import hmac

from shared.config import Config
from shared.config.profiles import Profile
from shared.config.rewriting import Edit
from shared.errors import PermanentError


def read_key(config: Config, profile: Profile | Edit) -> bytes:
    """The secret that the pseudonyms of a profile, or the UIDs of an edit, are keyed with; 32 bytes or more.

    Raises:
        PermanentError: it cannot be read; class policy.
    """
    path = config.key_path(profile)
    try:
        return bytes.fromhex(path.read_text(encoding="ascii").strip())
    except (OSError, ValueError) as error:
        raise PermanentError(f"the key {path} cannot be read: restore it from a backup", "policy") from error


def id_of_key(key: bytes) -> str:
    """The public name of a key: tells keys apart, and nothing about them."""
    return hmac.new(key, b"dcmrelay key id", hashlib.sha256).hexdigest()[:16]


def key_id(config: Config, profile: str) -> str:
    """The public name of a profile's key.

    Raises:
        PermanentError: it cannot be read; class policy.
    """
    return id_of_key(read_key(config, config.profiles[profile]))


def edit_key_id(config: Config, edit: str) -> str:
    """The public name of an edit's key; raises as `key_id`."""
    return id_of_key(read_key(config, config.edits[edit]))
