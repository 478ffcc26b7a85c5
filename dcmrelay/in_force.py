"""Which configuration a relay under `up` goes by, for commands: the file's, or the one before while it is refused."""

import tomllib
from pathlib import Path

from shared.config import Config, load
from shared.errors import ConfigError
from shared.reload_note import read_note


def problems(config: Config, refused: tuple[str, ...] = ()) -> list[str]:
    """What of the configuration file is not in force in a relay that runs under `up`, as `status` says it.

    Args:
        config: in force.
        refused: what is wrong with the file at this moment.
    """
    note = read_note(config)
    why = refused or note.get("refused", ())
    lines = [f"the configuration file is refused, the one before is in force: {it}" for it in why]
    if lines:
        lines.append("`dcmrelay check` says what to write instead")
    keys = note.get("needs_restart", ())
    return lines + ([f"{', '.join(keys)}: changed, in force after a restart of `dcmrelay up`"] if keys else [])


def load_or_in_force(path: Path) -> tuple[Config, tuple[str, ...]]:
    """The configuration of a file, or what a relay under `up` goes by while the file is refused, and why it is.

    Raises:
        ConfigError: the file is refused, and no relay is found that goes by an earlier one.
    """
    try:
        return load(path), ()
    except ConfigError as error:
        try:
            return Config.from_snapshot((_data_dir(path) / "run/accepted.json").read_bytes()), error.problems
        except (OSError, ValueError):
            raise error from None


def _data_dir(path: Path) -> Path:
    """Where the data folder is by a file that is refused: where it says so, as far as it can be read."""
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))["relay"]["data_dir"]
    except (OSError, ValueError, KeyError, TypeError):
        found = None
    return path.absolute().parent / (found if isinstance(found, str) else "var")
