"""Who gives a command, for the record."""

import getpass
import os
import socket


def who() -> str:
    """The user and the machine, such as `ann@pacs-relay`; under sudo, who called it."""
    return f"{os.environ.get('SUDO_USER') or _user()}@{socket.gethostname()}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return f"uid-{os.getuid()}"
