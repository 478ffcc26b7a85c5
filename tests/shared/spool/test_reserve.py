"""State can still be written on a full disk: a real small file system, filled to the last byte."""

import subprocess
from collections.abc import Iterator
from contextlib import suppress
from os import geteuid
from pathlib import Path

import pytest

from shared.errors import StorageError
from shared.spool import reserve
from shared.spool.store import Store

MEBIBYTE = 1 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 100 MiB, so that the reserve is 1 MiB."""
    if geteuid() != 0:
        pytest.skip("mounting a file system needs root")
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100m", "none", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


def fill(disk: Path) -> Path:
    """Takes all that is left."""
    filler = disk / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    return filler


def test_on_a_full_disk_records_are_written_and_instances_are_not(disk: Path) -> None:
    store = Store(disk)
    assert reserve.keep(disk)
    assert (disk / reserve.NAME).stat().st_blocks * 512 >= MEBIBYTE
    filler = fill(disk)
    draft = store.draft()
    with pytest.raises(StorageError, match="No space left"):
        draft.write(bytes(8192))
    draft.discard()
    assert (disk / reserve.NAME).exists()
    for n in range(100):
        assert store.put_new(f"parts/p/{n}.json", b"{}")
    assert not (disk / reserve.NAME).exists()
    assert not reserve.keep(disk)
    filler.unlink()
    assert reserve.keep(disk)


def test_without_a_reserve_a_record_on_a_full_disk_is_refused(disk: Path) -> None:
    store = Store(disk)
    fill(disk)
    with pytest.raises(StorageError, match="No space left"):
        store.put_new("parts/p/0.json", bytes(8192))
    assert store.list("tmp") == []


def test_where_no_reserve_can_be_there_is_none(tmp_path: Path) -> None:
    assert not reserve.keep(tmp_path / "gone")
    reserve.give_up(tmp_path / "gone")
    assert reserve.keep(tmp_path)
    assert (tmp_path / reserve.NAME).stat().st_size == 16 * MEBIBYTE
