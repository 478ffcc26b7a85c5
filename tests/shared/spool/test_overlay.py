"""A spool that is seen through: read as it is, and never written."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from shared.errors import StorageError
from shared.spool.overlay import Overlay
from shared.spool.spool import Spool


def everything(root: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_what_is_put_is_seen_and_nothing_is_written(tmp_path: Path) -> None:
    Spool(tmp_path).put_json("config/a.json", {"n": 1})
    before = everything(tmp_path)
    store = Overlay(tmp_path)
    spool = Spool(tmp_path, clock=lambda: datetime(2026, 3, 4, tzinfo=UTC), store=store)
    assert spool.put_json("config/b/c.json", {"n": 2})
    assert not spool.put_json("config/b/c.json", {"n": 3})
    assert not spool.put_json("config/a.json", {"n": 3})
    assert store.list("config") == ["a.json", "b"]
    assert store.list("config/b") == ["c.json"]
    assert (spool.read_json("config/a.json"), spool.read_json("config/b/c.json")) == ({"n": 1}, {"n": 2})
    store.delete("config/a.json")
    store.delete("config/b/c.json")
    assert store.list("config") == ["a.json"]
    with pytest.raises(StorageError):
        store.draft()
    assert everything(tmp_path) == before


def test_what_is_hidden_is_absent_and_may_be_put_anew(tmp_path: Path) -> None:
    Spool(tmp_path).put_json("pins/s/all/0.json", {"n": 1})
    store = Overlay(tmp_path, hides={"pins/s/all/0.json"}.__contains__)
    assert store.list("pins/s/all") == []
    assert store.read("pins/s/all/0.json") is None
    assert store.put_new("pins/s/all/0.json", b"2")
    assert store.read("pins/s/all/0.json") == b"2"


def test_a_folder_that_is_not_there_is_empty_and_files_may_lie_elsewhere(tmp_path: Path) -> None:
    (file := tmp_path / "image").write_bytes(b"pixels")
    store = Overlay(tmp_path / "nowhere", {"parts/p/instances/x": file})
    assert store.list("parts") == []
    assert store.path("parts/p/instances/x") == file
    assert store.read("parts/p/instances/x") == b"pixels"
    assert not (tmp_path / "nowhere").exists()
