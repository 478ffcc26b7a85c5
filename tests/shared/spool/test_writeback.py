"""Writing out begins early: whole pages only, and what goes wrong is left to fsync."""

from pathlib import Path

from shared.spool import writeback


def test_a_page_that_is_still_to_grow_waits_for_the_next_stretch(tmp_path: Path) -> None:
    with (tmp_path / "x").open("w+b") as file:
        file.write(b"x" * 10_000)
        file.flush()
        assert writeback.begin(file.fileno(), 0, 10_000) == 8192
        assert writeback.begin(file.fileno(), 8192, 10_000) == 8192
        file.seek(0)
        assert file.read() == b"x" * 10_000


def test_what_cannot_be_begun_is_no_error() -> None:
    assert writeback.begin(-1, 0, 4096) == 4096
