"""The workers, one process each, by their kind; imported only when they run."""

import contextlib
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TextIO, cast

from dcmrelay.child import Overheard

_MODULES = {
    "ingress": "producers.ingress.__main__",
    "router": "consumers.router.__main__",
    "anonymizer": "consumers.anonymizer.__main__",
    "janitor": "consumers.janitor.__main__",
    "ledger": "consumers.ledger.__main__",
    "sender": "consumers.sender.__main__",
}
KINDS = tuple(_MODULES)
PER_MACHINE = tuple(kind for kind in KINDS if kind != "sender")


def work(kind: str, config_path: Path, *names: tuple[str, ...]) -> int:
    """Run a worker until it is told to stop.

    Args:
        kind: one of KINDS.
        config_path: the configuration file.
        names: for a sender: the tuple of destinations, empty for all.

    Returns:
        The process's exit code.
    """
    main = cast(Callable[..., int], import_module(_MODULES[kind]).main)
    overheard = Overheard(kind)
    with contextlib.redirect_stderr(cast(TextIO, overheard)):
        code = main(config_path, *names)
    if code:
        overheard.tell_parent()
    return code
