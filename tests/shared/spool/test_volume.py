"""The data folder: made whole, recognised, or refused in one line."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.config import Config, parse
from shared.errors import StartError
from shared.spool.volume import MARKER, attach, is_mounted, prepare
from tests.shared.spool.examples import Killed

_TEXT = """
[relay]
data_dir = "var"
[[source]]
name = "ct-1"
ae_title = "CT1"
[[destination]]
name = "reading"
ae_title = "READING"
host = "127.0.0.1"
port = 104
[profile.reading]
key_file = "reading.key"
[profile.research]
key_file = "research.key"
[[route]]
name = "all"
profile = "reading"
to = ["reading"]
[[route]]
name = "also"
profile = "research"
to = ["reading"]
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return parse(_TEXT, tmp_path)


@pytest.fixture
def folder(config: Config) -> Path:
    return config.relay.data_dir


def refused(config: Config) -> str:
    with pytest.raises(StartError) as error:
        prepare(config)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("there_before", [False, True])
def test_an_absent_or_empty_folder_is_made_with_its_keys(config: Config, folder: Path, there_before: bool) -> None:
    if there_before:
        folder.mkdir()
    assert not is_mounted(config)
    spool = prepare(config)
    assert spool.store.put_new("a/b", b"")
    assert is_mounted(config)
    keys = [(folder / name).read_text() for name in ("reading.key", "research.key")]
    assert [len(bytes.fromhex(key)) for key in keys] == [32, 32]
    assert keys[0] != keys[1]
    modes = {name: (folder / name).stat().st_mode & 0o777 for name in names_in(folder)}
    assert modes == {
        MARKER: 0o600, "reading.key": 0o600, "research.key": 0o600, "spool": 0o700, "run": 0o700
    }  # fmt: skip


def test_a_folder_is_recognised_and_its_keys_are_left_alone(config: Config, folder: Path) -> None:
    prepare(config).store.put_new("a/b", b"kept")
    key = (folder / "reading.key").read_text()
    assert prepare(config).store.read("a/b") == b"kept"
    assert attach(config).store.read("a/b") == b"kept"
    assert (folder / "reading.key").read_text() == key


def test_what_the_broker_and_a_new_file_system_put_there_is_no_stranger(config: Config, folder: Path) -> None:
    for name in ("broker", "run", "lost+found"):
        (folder / name).mkdir(parents=True)
    assert prepare(config).store.list("") != []
    assert {"broker", "run", "lost+found"} <= set(names_in(folder))


@pytest.mark.parametrize("stranger", ["spool", "holiday.jpg", ".git"])
def test_a_folder_with_something_else_in_it_is_refused(config: Config, folder: Path, stranger: str) -> None:
    (folder / stranger).mkdir(parents=True)
    line = refused(config)
    assert stranger in line
    assert "is the right volume mounted?" in line
    assert names_in(folder) == [stranger]


def test_without_its_marker_a_folder_is_not_taken_for_a_new_one(config: Config, folder: Path) -> None:
    prepare(config)
    (folder / MARKER).unlink()
    assert not is_mounted(config)
    assert "is the right volume mounted?" in refused(config)


@pytest.mark.parametrize(
    ("options", "made"), [("defaults", False), ("rw,noatime", False), ("noauto,ro", True)], ids=str
)
def test_no_folder_is_made_where_a_volume_of_the_system_is_not_mounted(
    config: Config, folder: Path, monkeypatch: pytest.MonkeyPatch, options: str, *, made: bool
) -> None:
    fstab = folder.with_name("fstab")
    fstab.write_text(f"# volumes\n/dev/sda1 / ext4 defaults 0 1\n\nUUID=1 {folder.parent} ext4 {options} 0 2\n")
    monkeypatch.setattr("shared.spool.volume.FSTAB", fstab)
    folder.mkdir()
    if made:
        prepare(config)
        return
    assert f"has a volume for {folder.parent} that is not mounted: mount it" in refused(config)
    assert names_in(folder) == []


def test_a_folder_that_was_made_is_recognised_whatever_the_system_mounts(
    config: Config, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(config)
    fstab = folder.with_name("fstab")
    fstab.write_text(f"UUID=1 {folder} ext4 defaults 0 2\n")
    monkeypatch.setattr("shared.spool.volume.FSTAB", fstab)
    assert prepare(config).store.list("") != []


def test_a_missing_key_is_never_made_anew_silently(config: Config, folder: Path) -> None:
    prepare(config)
    (folder / "reading.key").unlink()
    line = refused(config)
    assert "profile 'reading'" in line
    assert "restore it from a backup" in line
    assert not (folder / "reading.key").exists()


def test_a_key_that_others_can_read_is_refused(config: Config, folder: Path) -> None:
    prepare(config)
    (folder / "research.key").chmod(0o640)
    assert f"chmod 600 {folder / 'research.key'}" in refused(config)


def test_a_file_where_the_folder_should_be_is_refused(config: Config, folder: Path) -> None:
    folder.write_text("")
    assert "cannot be used" in refused(config)


def test_a_folder_that_cannot_be_written_is_refused(config: Config, folder: Path) -> None:
    prepare(config)
    if os.geteuid() != 0:
        (folder / "spool" / "tmp").chmod(0o500)
        assert "check its owner and the mount" in refused(config)
        return
    for options in (["--bind", str(folder), str(folder)], ["-o", "remount,bind,ro", str(folder)]):
        if subprocess.run(["mount", *options], check=False, capture_output=True).returncode:
            pytest.skip("root here may not mount")
    try:
        assert "cannot be written" in refused(config)
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_folder_that_was_never_prepared_is_not_attached_to(config: Config) -> None:
    with pytest.raises(StartError, match="start it with `dcmrelay up`"):
        attach(config)


def test_a_making_killed_at_any_line_is_finished_by_the_next(
    config: Config, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for call in ("fsync", "link", "unlink"):
        for k in range(1, 4):
            with pytest.MonkeyPatch.context() as patch:
                kill_at_call(patch, call, k)
                with pytest.raises(Killed):
                    prepare(config)
            prepare(config)
            subprocess.run(["rm", "-r", str(folder)], check=True)


def test_a_worker_that_finds_another_making_the_folder_goes_on(
    config: Config, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made_meanwhile(path: Path) -> list[str]:
        monkeypatch.undo()
        prepare(config)
        return names_in(path)

    monkeypatch.setattr(os, "listdir", made_meanwhile)
    assert prepare(config).store.put_new("a/b", b"")


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def kill_at_call(monkeypatch: pytest.MonkeyPatch, call: str, k: int) -> None:
    """Kills at the k-th call, and at whatever is called afterwards to tidy up."""
    calls: list[object] = []
    unlink = Path.unlink
    doing: Callable[..., object] = unlink if call == "unlink" else getattr(os, call)

    def counting(*arguments: object) -> object:
        calls.append(arguments)
        if len(calls) >= k:
            raise Killed(call)
        return doing(*arguments)

    def dead(path: Path) -> None:
        if len(calls) >= k:
            raise Killed("unlink")
        unlink(path)

    if call != "unlink":
        monkeypatch.setattr(os, call, counting)
        monkeypatch.setattr(Path, "unlink", dead)
    else:
        monkeypatch.setattr(Path, "unlink", counting)
