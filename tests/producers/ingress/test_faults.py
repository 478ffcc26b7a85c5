"""The receive path under faults at its system calls (strace): order, kill -9, refused fsync and write; and cut stores.

`strace` counts calls of a kind by thread, and an association has a thread of its own, so "fsync 3" is the third fsync
of one association. `make fuzz` (DCMRELAY_EXHAUSTIVE=1) tries every call; `make test` some of each kind.
"""

import hashlib
import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

import pytest

from shared.errors import PeerError
from shared.spool.parts import active_parts
from tests.consumers.bench import data_set, write
from tests.peers import tool
from tests.producers.ingress.running import (
    Ingress,
    IngressProcess,
    Sample,
    associate,
    ingress,
    ingress_process,
    sample,
    store,
    stored,
)
from tests.shared.dimse.pdus import ABORT, associated, data_pdus, reset, store_rq
from tests.support import eventually

EXHAUSTIVE = bool(os.environ.get("DCMRELAY_EXHAUSTIVE"))
RECEIVE_PATH = ("openat", "write", "preadv,preadv2", "fsync", "linkat", "mkdir", "sendmsg", "close")
SOME = {"openat": (5,), "write": (1, 4), "preadv,preadv2": (1,), "fsync": (1, 4, 7), "linkat": (3, 5), "sendmsg": (2,)}


def samples(folder: Path, study: int | str, many: int = 1, size: int = 40_000) -> list[Sample]:
    """Small images of one study."""
    uid = f"1.2.3.{study}"
    made = (data_set(n, study=uid, PixelData=bytes([n]) * size, BitsAllocated=8) for n in range(many))
    return [sample(write(folder / f"{study}-{n}.dcm", ds)) for n, ds in enumerate(made)]


def sha256(it: Sample) -> str:
    return hashlib.sha256(it.content).hexdigest()


def kept(ours: IngressProcess | Ingress) -> set[str]:
    """Hashes of the instances under final names, each of which must be whole."""
    found = set()
    for part in active_parts(ours.spool):
        for name in ours.spool.store.list(f"parts/{part}/instances"):
            content = ours.spool.store.path(f"parts/{part}/instances/{name}").read_bytes()
            meta_length = int.from_bytes(content[140:144], "little")
            assert hashlib.sha256(content[144 + meta_length :]).hexdigest() == name, "a half instance has a final name"
            found.add(name)
    return found


@contextmanager
def faulted(pid: int, *options: str) -> Iterator[None]:
    """Attaches strace, with a fault, to a process that runs, until the block ends or the process does."""
    strace = subprocess.Popen(
        [tool("strace"), "-f", "-o", "/dev/null", *options, "-p", str(pid)], stderr=subprocess.PIPE, text=True
    )
    assert strace.stderr is not None
    said = strace.stderr.readline()
    if "not permitted" in said:
        pytest.skip("strace may not attach to another process here (kernel.yama.ptrace_scope)")
    assert "attached" in said, said
    try:
        yield
    finally:
        strace.kill()  # which lets go of the process, if it lives
        strace.communicate()


def attempt(port: int, it: Sample) -> int | None:
    """Status of a store; None when there was no answer."""
    try:
        return stored(port, it)[0]
    except PeerError:
        return None


def test_success_is_sent_only_after_file_name_and_folder_are_on_stable_storage(tmp_path: Path) -> None:
    options = ("-ff", "-y", "-s", "0", "-e", "trace=fsync,fdatasync,link,linkat,sendmsg,sendto")
    with ingress_process(tmp_path, tool("strace"), *options, "-o", tmp_path / "trace") as ours:
        for study in range(3):
            assert stored(ours.port, *samples(tmp_path, study, many=4)) == [0] * 4
        ours.end(signal.SIGTERM)
    words = ["".join(steps_of(trace)) for trace in tmp_path.glob("trace.*")]
    associations = [said for said in words if "I" in said]
    assert len(associations) == 3
    for said in associations:
        answers = said.split("S")[1:5]
        assert [bool(re.search(r"F[^F]*ID$", answer)) for answer in answers] == [True] * 4, said


def steps_of(trace: Path) -> Iterator[str]:
    """What a thread did, by letter: F fsync of a draft, I link of an instance, D fsync of its folder, S send."""
    letters = {
        r'fsync\(\d+<.*/spool/tmp/[^>]*>(\(deleted\))?\) += 0': "F",
        r'link(at)?\(.*"[^"]*/instances/[0-9a-f]{64}".* = 0': "I",
        r'fsync\(\d+<.*/instances>\) += 0': "D",
        r'send(msg|to)\(': "S",
    }  # fmt: skip
    for line in trace.read_text(errors="replace").splitlines():
        yield from (letter for pattern, letter in letters.items() if re.match(pattern, line))


@pytest.mark.timeout(900)
def test_killed_at_any_call_of_a_store_nothing_acknowledged_is_lost_and_no_draft_is_left(tmp_path: Path) -> None:
    acknowledged: set[str] = set()
    kills = 0
    with ingress_process(tmp_path) as ours:
        for call in RECEIVE_PATH:
            for k in count(1) if EXHAUSTIVE else SOME.get(call, ()):
                (sent,) = samples(tmp_path, f"{RECEIVE_PATH.index(call)}.{k}")
                with faulted(ours.pid, "-e", f"inject={call}:signal=SIGKILL:when={k}"):
                    status = attempt(ours.port, sent)
                acknowledged |= {sha256(sent)} if status == 0 else set()
                if not is_killed(ours, within=10 if status is None else 0.3):
                    break
                kills += 1
                ours.start()
                assert ours.temporary() == []
                assert acknowledged <= kept(ours)
                assert stored(ours.port, sent) == [0]
                acknowledged.add(sha256(sent))
        assert acknowledged <= kept(ours)
    print(f"killed at {kills} system calls of a store, {len(acknowledged)} acknowledged, all kept")
    assert kills >= 8


def is_killed(ours: IngressProcess, within: float) -> bool:
    """Whether the process ended; a thread of it may still meet the fault after the answer."""
    try:
        return ours.program.wait(within) == -signal.SIGKILL
    except subprocess.TimeoutExpired:
        return False


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "fault",
    ["fsync:error=EIO", "write:error=ENOSPC", "write:error=EIO", "linkat:error=ENOSPC", "openat:error=EMFILE"],
)
def test_a_disk_that_refuses_never_makes_a_wrong_success_and_leaves_nothing(tmp_path: Path, fault: str) -> None:
    refused = 0
    with ingress_process(tmp_path) as ours:
        for k in count(1) if EXHAUSTIVE else (1, 3, 5, 6, 7):
            first, second = samples(tmp_path, k, many=2)
            before = kept(ours)
            with (
                faulted(ours.pid, "-e", f"inject={fault}:when={k}"),
                associate(ours.port, first, second) as association,
            ):
                status = store(association, first)
                assert status in (0, 0xA700)
                assert kept(ours) - before == ({sha256(first)} if status == 0 else set())
                assert ours.temporary() == []
                assert not status or store(association, second) == 0
            refused += status != 0
            if status == 0 and EXHAUSTIVE and k > 12:
                break
        assert stored(ours.port, *samples(tmp_path, 99)) == [0]
    assert refused


def test_a_large_instance_that_the_disk_refuses_midway_is_out_of_resources(tmp_path: Path) -> None:
    with ingress_process(tmp_path) as ours:
        big, small = samples(tmp_path, 1, many=2, size=8 << 20)
        with faulted(ours.pid, "-e", "inject=write:error=ENOSPC:when=20"), associate(ours.port, big) as association:
            assert store(association, big) == 0xA700
            assert ours.temporary() == []
            assert store(association, small) == 0
        assert kept(ours) == {sha256(small)}


def reset_now(peer: socket.socket) -> None:
    reset(peer)
    peer.close()


CUTS: dict[str, Callable[[socket.socket], None]] = {
    "reset": reset_now,
    "close": socket.socket.close,
    "half-close": lambda peer: peer.shutdown(socket.SHUT_WR),
    "hang": lambda _: None,
    "abort": lambda peer: peer.sendall(ABORT),
}
POSITIONS = 50


@pytest.mark.parametrize("how", CUTS)
def test_a_store_cut_at_fifty_positions_leaves_no_instance_and_no_draft(tmp_path: Path, how: str) -> None:
    (sent,) = samples(tmp_path, 1)
    whole = store_rq(sent.sop_instance_uid) + data_pdus(sent.content)
    positions = [1 + (len(whole) - 2) * n // (POSITIONS - 1) for n in range(POSITIONS)]
    with ingress(tmp_path) as ours:
        with ExitStack() as peers:
            for n, position in enumerate(positions):
                peer = peers.enter_context(associated(ours.port, host=f"127.0.0.{1 + n // 10}"))
                peer.sendall(whole[:position])
                CUTS[how](peer)
            eventually(lambda: ours.listener.associations == 0)
        assert (kept(ours), ours.temporary()) == (set(), [])
        assert attempt(ours.port, sent) == 0
        assert kept(ours) == {sha256(sent)}
