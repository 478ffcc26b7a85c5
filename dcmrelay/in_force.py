"""Which configuration a relay under `up` goes by, for commands: the file's, or the one before while it is refused."""

import os
import time
import tomllib
from pathlib import Path

from dcmrelay.output import complain
from dcmrelay.running import listening
from shared.config import Config, find, load
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


def of_relay(config: Path | None) -> Config:
    """The configuration that a relay goes by, for a command about it; a line says so while the file is refused.

    Args:
        config: the file, as `--config` names it.

    Raises:
        ConfigError: as `load_or_in_force`.
    """
    loaded, refused = load_or_in_force(find(config))
    if refused:
        complain("the configuration file is refused, the one before is in force: `dcmrelay check` says what to mend")
    return loaded


def load_or_in_force(path: Path) -> tuple[Config, tuple[str, ...]]:
    """The configuration of a file, or what a relay under `up` goes by while the file is refused, and why it is.

    Raises:
        ConfigError: the file is refused, and no relay is found that goes by an earlier one.
    """
    config, refused = _load_or_in_force(path)
    _tell_time_like(config, in_full=bool(refused))
    return config, refused


def _tell_time_like(config: Config, *, in_full: bool) -> None:
    """Read and print times in the zone that the relay names; this machine's may be another, a container's is UTC.

    Args:
        config: in force.
        in_full: it has every key, so that UTC may be what nobody named.
    """
    named = "timezone" in config.relay.model_fields_set
    if named and not (in_full and config.relay.timezone == "UTC"):
        os.environ["TZ"] = config.relay.timezone
        time.tzset()


def _load_or_in_force(path: Path) -> tuple[Config, tuple[str, ...]]:
    try:
        config = load(path)
    except ConfigError as error:
        accepted = _accepted(_data_dir(path))
        if accepted is None or not listening(accepted):
            raise
        return accepted, error.problems
    refused = tuple(read_note(config).get("refused", ()))  # what is well by itself may not be taken while a relay runs
    accepted = _accepted(config.relay.data_dir) if refused and listening(config) else None
    return (config, ()) if accepted is None else (accepted, refused)


def _accepted(data_dir: Path) -> Config | None:
    """What `up` goes by; None when that cannot be read."""
    try:
        return Config.from_snapshot((data_dir / "run/accepted.json").read_bytes())
    except (OSError, ValueError):
        return None


def _data_dir(path: Path) -> Path:
    """Where the data folder is by a file that is refused: where it says so, as far as it can be read."""
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))["relay"]["data_dir"]
    except (OSError, ValueError, KeyError, TypeError):
        found = None
    return path.absolute().parent / (found if isinstance(found, str) else "var")
