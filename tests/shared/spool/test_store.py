"""Names: durable once said to be, made once, whole or not at all."""

import errno
import hashlib
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from shared import owner
from shared.errors import StorageError
from shared.spool.drafts import Draft
from shared.spool.store import Store
from tests.shared.spool.examples import Killed, Steps

_TEMPORARY = "tmp"
_REPOSITORY = Path(__file__).resolve().parents[3]
# Exit code: 0 made, 1 was there before, 7 StorageError; when refused, once more with nothing in the way.
_PUT = """
import sys
from pathlib import Path
from shared.errors import StorageError
from shared.spool import drafts
from shared.spool.store import Store
if len(sys.argv) > 2:
    drafts._NAMELESS = None
store = Store(Path(sys.argv[1]))
try:
    sys.exit(0 if store.put_new("parts/p1/name", b"content") else 1)
except StorageError:
    sys.exit(7 if store.read("parts/p1/name") is None and not store.list("tmp") else 8)
"""


def traced(root: Path, *options: str, nameless: bool = True) -> tuple[int, list[str]]:
    """Runs one put-new under strace; its exit code and its system calls, paths instead of descriptors."""
    words = () if nameless else ("named",)
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    log = root.parent / "strace.log"
    ended = subprocess.run(
        [strace, "-f", "-y", "-o", str(log), *options, sys.executable, "-c", _PUT, str(root), *words],
        cwd=_REPOSITORY, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}, timeout=60, check=False,
    )  # fmt: skip
    calls = [line.partition(" ")[2].strip() for line in log.read_text().splitlines()]
    return ended.returncode, [call for call in calls if str(root) in call]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "spool").mkdir()
    return tmp_path / "spool"


@pytest.fixture
def store(root: Path) -> Store:
    return Store(root)


@pytest.fixture(params=["without a name", "with a name"])
def drafts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "with a name":
        monkeypatch.setattr("shared.spool.drafts._NAMELESS", None)


_ORDER = "trace=fsync,fdatasync,link,linkat,unlink,rename,renameat2"


def test_bytes_are_synced_before_their_name_and_the_folder_after_it(root: Path) -> None:
    Store(root).put_new("parts/p1/other", b"")
    code, calls = traced(root, "-e", _ORDER)
    assert code == 0
    assert [call.partition("(")[0] for call in calls] == ["fsync", "linkat", "fsync"]
    assert f"<{root}/tmp/" in calls[0]
    assert f'"{root}/parts/p1/name"' in calls[1]
    assert f"<{root}/parts/p1>" in calls[2]


def test_where_a_draft_must_have_a_name_it_loses_it_last(root: Path) -> None:
    Store(root).put_new("parts/p1/other", b"")
    code, calls = traced(root, "-e", _ORDER, nameless=False)
    names = [call.partition("(")[0] for call in calls]
    assert code == 0
    assert names == ["fsync", names[1], "fsync", "unlink"]
    assert names[1].startswith("link")
    assert f"{root}/tmp/" in calls[0]
    assert f"{root}/tmp/" in calls[1]
    assert f'"{root}/parts/p1/name"' in calls[1]
    assert f"<{root}/parts/p1>" in calls[2]
    assert f"{root}/tmp/" in calls[3]


def test_folders_made_on_the_way_are_synced_into_their_parents(root: Path) -> None:
    code, calls = traced(root, "-e", "trace=fsync,mkdir,link,linkat")
    assert code == 0
    last_link = max(i for i, call in enumerate(calls) if call.startswith("link"))
    for folder, parent in ((root / "parts", root), (root / "parts/p1", root / "parts")):
        made = next(i for i, call in enumerate(calls) if call.startswith("mkdir") and f'"{folder}"' in call)
        synced = next(i for i, call in enumerate(calls) if call.startswith("fsync") and f"<{parent}>" in call)
        assert made < synced < last_link


@pytest.mark.parametrize(
    "fault",
    [
        "write:error=ENOSPC",
        "fsync:error=EIO:when=1",
        "fsync:error=EIO:when=2",
        "fsync:error=EIO:when=2+",
        "fsync:error=EIO:when=4",
        "link,linkat:error=ENOSPC",
        "link,linkat:error=EDQUOT:when=2+",
        "mkdir:error=EROFS",
    ],
)
@pytest.mark.parametrize("nameless", [True, False])
def test_a_refusing_disk_leaves_nothing_under_the_name_and_no_temporary_file(
    root: Path, fault: str, nameless: bool
) -> None:
    (root / "tmp").mkdir()
    call = fault.partition(":")[0]
    code, _ = traced(root, "-e", f"trace={call}", "-e", f"inject={fault}", nameless=nameless)
    assert code == 7
    assert not list((root / "tmp").iterdir())
    assert Store(root).put_new("parts/p1/name", b"content")


def test_a_file_whose_fsync_failed_is_not_synced_again(root: Path) -> None:
    code, calls = traced(root, "-e", "trace=fsync", "-e", "inject=fsync:error=EIO")
    assert code == 7
    assert len(calls) == 1


def test_the_steps_stand_around_what_makes_a_name(root: Path) -> None:
    steps = Steps([])
    store = Store(root, steps)
    store.put_new("a/b", b"1")
    store.put_new("a/b", b"2")
    store.delete("a/b")
    assert steps.seen == [
        "before a/b", "after a/b", "before a/b", "after a/b", "before delete a/b", "after delete a/b",
    ]  # fmt: skip


@pytest.mark.parametrize(("kill_at", "stands"), [(1, None), (2, b"1")])
def test_killed_between_the_steps_a_name_is_whole_or_not_there(root: Path, kill_at: int, stands: bytes | None) -> None:
    with pytest.raises(Killed):
        Store(root, Steps([], kill_at)).put_new("a/b", b"1")
    assert Store(root).read("a/b") == stands


def test_who_comes_second_is_told_so_and_changes_nothing(store: Store) -> None:
    assert store.put_new("a/b", b"first")
    assert not store.put_new("a/b", b"second")
    assert store.read("a/b") == b"first"
    assert store.list(_TEMPORARY) == []


@pytest.mark.usefixtures("drafts")
def test_a_draft_becomes_a_name_once_it_is_put(store: Store) -> None:
    draft = store.draft()
    draft.write(b"half")
    draft.write(memoryview(b" and half"))
    assert store.list("a") == []
    assert store.put_new("a/b", draft)
    assert (draft.size, store.read("a/b"), store.list(_TEMPORARY)) == (13, b"half and half", [])


@pytest.mark.usefixtures("drafts")
def test_drafts_put_together_get_their_names_together(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put_new("a/2", b"stands")
    drafts = {f"a/{n}": written(store, b"%d" % n) for n in range(4)}
    synced: list[Path] = []
    monkeypatch.setattr("shared.spool.store.sync_folder", synced.append)
    store.put_all_new(drafts)
    assert synced == [store.root / "a"]
    assert [store.read(name) for name in drafts] == [b"0", b"1", b"stands", b"3"]
    assert store.list(_TEMPORARY) == []


@pytest.mark.usefixtures("drafts")
def test_of_drafts_put_together_none_keeps_its_name_when_the_folder_is_not_synced(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put_new("a/2", b"stands")

    def refuse(_folder: Path) -> None:
        raise OSError(errno.EIO, "")

    with monkeypatch.context() as patched:
        patched.setattr("shared.spool.store.sync_folder", refuse)
        with pytest.raises(StorageError, match="cannot fsync the folder"):
            store.put_all_new({f"a/{n}": written(store, b"ours") for n in range(4)})
    assert (store.list("a"), store.read("a/2"), store.list(_TEMPORARY)) == (["2"], b"stands", [])


def written(store: Store, content: bytes) -> Draft:
    draft = store.draft()
    draft.write(content)
    return draft


@pytest.mark.usefixtures("drafts")
@pytest.mark.parametrize("size", [0, 1, 70_000, (3 << 20) + 1])
def test_a_draft_knows_the_hash_of_what_was_written_since_it_was_asked_to(store: Store, size: int) -> None:
    content = os.urandom(size)
    draft = store.draft()
    draft.write(b"not this")
    draft.hash_from_here()
    for begin in range(0, size, 40_000):
        draft.write(content[begin : begin + 40_000])
    draft.sync()
    assert draft.path.read_bytes() == b"not this" + content
    assert store.put_new("a/b", draft)
    assert draft.sha256 == hashlib.sha256(content).hexdigest()
    assert store.read("a/b") == b"not this" + content


def test_a_draft_whose_bytes_cannot_be_read_back_has_no_hash(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    draft = store.draft()
    draft.hash_from_here()
    draft.write(b"content")
    monkeypatch.setattr(os, "preadv", lambda *_: 0)
    with pytest.raises(StorageError, match="Input/output error"):
        store.put_new("a/b", draft)
    with pytest.raises(RuntimeError):
        _ = draft.sha256
    assert store.read("a/b") is None


@pytest.mark.usefixtures("drafts")
def test_a_discarded_draft_leaves_nothing_and_may_be_discarded_again(store: Store) -> None:
    draft = store.draft()
    draft.write(b"half")
    draft.discard()
    draft.discard()
    assert store.list(_TEMPORARY) == []


def test_what_is_not_there_reads_as_none_and_lists_as_empty(store: Store) -> None:
    store.put_new("a/b", b"")
    assert store.read("a/c") is None
    assert store.read("a/b/c") is None
    assert store.list("x") == []
    assert store.list("a/b") == []
    with pytest.raises(FileNotFoundError):
        store.open("a/c")


def test_names_are_listed_in_order(store: Store) -> None:
    for name in ("00000010.json", "00000002.json", "00000009.json"):
        store.put_new(f"a/{name}", b"")
    assert store.list("a") == ["00000002.json", "00000009.json", "00000010.json"]


def test_the_last_name_takes_its_folder_with_it(store: Store) -> None:
    store.put_new("a/b/c", b"")
    store.put_new("a/b/d", b"")
    store.delete("a/b/c")
    assert store.list("a/b") == ["d"]
    store.delete("a/b/d")
    store.delete("a/b/d")
    assert store.list("a") == []
    assert store.put_new("a/b/c", b"again")


def test_only_the_drafts_of_processes_that_ended_are_cleared(store: Store, root: Path) -> None:
    place, pid, _, _ = owner.draft_name("x").split(".")
    left = root / _TEMPORARY / f"{place}.{pid}.1.aa"
    mine = root / _TEMPORARY / owner.draft_name("x")
    for path in (left, mine, root / _TEMPORARY / f"ffffffff.{pid}.1.aa", root / _TEMPORARY / "stranger"):
        path.write_bytes(b"")
    assert store.clear_drafts() == 1
    assert not left.exists()
    assert len(store.list(_TEMPORARY)) == 3


def test_no_temporary_file_can_be_made_where_there_is_no_folder(tmp_path: Path) -> None:
    with ThreadPoolExecutor() as hashing, pytest.raises(StorageError, match="cannot create a temporary file in"):
        Draft(tmp_path / "gone", hashing)


def test_a_name_that_cannot_be_read_listed_or_deleted_is_a_fault_of_the_storage(store: Store, root: Path) -> None:
    (root / "a" / "folder" / "x").mkdir(parents=True)
    with pytest.raises(StorageError, match="cannot open"):
        store.open("a/folder")
    with pytest.raises(StorageError, match="cannot open"):
        store.read("a/folder")
    with pytest.raises(StorageError, match="cannot delete"):
        store.delete("a/folder")
    with pytest.raises(StorageError, match="cannot list"):
        store.list("a/" + "x" * 300)
