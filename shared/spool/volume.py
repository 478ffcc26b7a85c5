"""The data folder: made once, whole, with its keys; recognised ever after by its marker, or refused."""

import json
import os
import secrets
from pathlib import Path

import structlog

from shared.config import Config
from shared.errors import StartError, StorageError
from shared.spool import reserve
from shared.spool.spool import Spool
from shared.spool.store import sync_folder

log = structlog.get_logger()
MARKER = "dcmrelay-volume.json"
_FOLDERS = ("spool", "run")
FSTAB = Path("/etc/fstab")
# What may stand there before: the private broker's folder, and what mkfs leaves in a new file system.
_OURS_BEFORE = frozenset({"broker", "run", "lost+found"})


def prepare(config: Config) -> Spool:
    """The spool in the configured data folder, which is made with its keys when it is absent or empty.

    Raises:
        StartError: the folder is not ours, not writable, or lacks a key that it once had.
    """
    folder = config.relay.data_dir
    try:
        if not (folder / MARKER).exists():
            _make(config, folder)
        check_keys(config)
        for name in _FOLDERS:
            (folder / name).mkdir(mode=0o700, exist_ok=True)
        spool = Spool(folder / "spool")
        spool.store.draft().discard()
        reserve.keep(spool.store.root)
    except OSError as error:
        raise StartError(
            _line(folder, f"cannot be used: {error.strerror}; check that it is mounted and writable")
        ) from error
    except StorageError as error:
        raise StartError(_line(folder, f"cannot be written: {error}; check its owner and the mount")) from error
    return spool


def attach(config: Config) -> Spool:
    """The spool of a relay that was started before, for looking at it.

    Raises:
        StartError: there is none.
    """
    folder = config.relay.data_dir
    if not (folder / MARKER).exists():
        raise StartError(
            _line(folder, "holds no relay's data yet: start it with `dcmrelay up`, or check relay.data_dir")
        )
    return Spool(folder / "spool")


def is_mounted(config: Config) -> bool:
    """Whether the data folder is still the one that was prepared; asked before anything is accepted."""
    return (config.relay.data_dir / MARKER).exists()


def _make(config: Config, folder: Path) -> None:
    """Make a new data folder: the keys first, the marker last, so that a marker means that all keys were made."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    strangers = _strangers(config, folder)
    if (folder / MARKER).exists():
        return  # another worker made it meanwhile
    if place := _not_mounted(folder):
        raise StartError(
            _line(folder, f"would be made anew, but {FSTAB} has a volume for {place} that is not mounted: mount it")
        )
    if strangers:
        raise StartError(
            _line(
                folder, f"is not a relay's data folder (no {MARKER}, but {strangers[0]}): is the right volume mounted?"
            )
        )
    for name in _key_names(config):
        _put_new(folder / name, secrets.token_hex(32))
    volume = secrets.token_hex(8)
    _put_new(folder / MARKER, json.dumps({"volume": volume, "made_for": "dcmrelay spool", "layout": 1}))
    log.info("new_data_folder", folder=str(folder), volume=volume)


def check_keys(config: Config) -> None:
    """Refuse a configuration whose keys are not there, or can be read by others.

    Raises:
        StartError: says how to make or mend the key.
    """
    keyed = {f"profile '{name}'": profile.key_file for name, profile in config.profiles.items()}
    for name, key_file in (keyed | _of_edits(config)).items():
        path = config.relay.data_dir / key_file
        if not path.exists():
            raise StartError(
                f"{name}: the key {path} is missing: restore it from a backup; for a new one make it: "
                f"`(umask 077; openssl rand -hex 32 > {path})`; a new key means new pseudonyms"
            )
        if path.stat().st_mode & 0o077:
            raise StartError(f"{name}: the key {path} can be read by others: chmod 600 {path}")


def _key_names(config: Config) -> set[str]:
    return {profile.key_file for profile in config.profiles.values()} | set(_of_edits(config).values())


def _of_edits(config: Config) -> dict[str, str]:
    """The key files of the edits that make new SOP Instance UIDs."""
    them = [route.towards(name) for route in config.routes for name in route.destinations]
    new = {it.edit for it in them if it.edit is not None and it.profile is None and not it.correction}
    return {f"edit '{name}'": config.edits[name].key_file for name in sorted(new)}


def _not_mounted(folder: Path) -> Path | None:
    """The place of a volume that the system mounts at start, that would hold the folder, and that is not there now."""
    try:
        lines = [line.split() for line in FSTAB.read_text(encoding="utf-8", errors="replace").splitlines()]
    except OSError:
        return None
    places = [
        Path(words[1].replace("\\040", " "))
        for words in lines
        if len(words) > 3 and not words[0].startswith("#") and "noauto" not in words[3].split(",")
    ]
    real = folder.resolve()
    return next((it for it in places if real.is_relative_to(it) and not it.is_mount()), None)


def _strangers(config: Config, folder: Path) -> list[str]:
    """Names in a folder that no making of it leaves there, not even one that was killed."""
    ours = _key_names(config) | {MARKER}
    names = set(os.listdir(folder)) - _OURS_BEFORE - _key_names(config)  # noqa: PTH208
    return sorted(name for name in names if not any(name.startswith(_aside(it)) for it in ours))


def _aside(name: str) -> str:
    return f".{name}.aside-"


def _put_new(path: Path, text: str) -> None:
    """Write a small file whole, or leave the one that another process made at the same time."""
    aside = path.with_name(_aside(path.name) + secrets.token_hex(8))
    fd = os.open(aside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        os.write(fd, text.encode())
        os.fsync(fd)
        if not path.exists():
            os.link(aside, path)
    except FileExistsError:
        log.debug("made_by_another", file=path.name)
    finally:
        os.close(fd)
        aside.unlink()
    sync_folder(path.parent)


def _line(folder: Path, what: str) -> str:
    return f"the data folder {folder} {what}"
