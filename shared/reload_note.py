"""Where `up` says what of the configuration file is not in force, for whoever wants to know."""

import json
from pathlib import Path
from typing import Any

from shared.config import Config


def note_of(config: Config) -> Path:
    """Where `up` says what of the configuration file is not in force."""
    return config.relay.data_dir / "run/reload.json"


def read_note(config: Config) -> dict[str, Any]:
    """What `up` noted: `refused` and `needs_restart`; nothing when it does not run."""
    try:
        note: dict[str, Any] = json.loads(note_of(config).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return note
