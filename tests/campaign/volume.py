"""A small ext4 of its own, whose image can be copied as a power cut leaves it."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

IMAGE_MB, INODES = 192, 48_000


def can_mount() -> bool:
    """Whether loop devices can be mounted here: needs root."""
    return os.geteuid() == 0 and Path("/dev/loop-control").exists()


def make_image(image: Path) -> None:
    """An empty ext4 in a file."""
    with image.open("wb") as file:
        file.truncate(IMAGE_MB << 20)
    _run("mkfs.ext4", "-q", "-m", "0", "-N", str(INODES), "-E", "lazy_itable_init=0", str(image))


@contextmanager
def mounted(image: Path, folder: Path) -> Iterator[Path]:
    """The image, mounted until the end."""
    mount(image, folder)
    try:
        yield folder
    finally:
        unmount(folder)


def mount(image: Path, folder: Path) -> None:
    """Mounts the image; nothing is written back by the clock, so only what was synced is in it."""
    folder.mkdir(parents=True, exist_ok=True)
    _run("mount", "-o", "loop,commit=300,noatime", str(image), str(folder))


def unmount(folder: Path) -> None:
    """What was mounted there is not any more, whoever still uses it."""
    subprocess.run(["umount", str(folder)], check=False, capture_output=True)
    if os.path.ismount(folder):
        _run("umount", "-l", str(folder))


def power_cut(image: Path, copy: Path, tries: int = 50) -> int:
    """Copies the image as it is at one moment, without what is only in memory.

    A copy while the kernel still ends a commit of the journal would be of no moment at all: its beginning older than
    its end, which no power cut leaves. It is made again until nothing was written meanwhile.

    Args:
        image: mounted; nobody works on it.
        copy: where to.
        tries: how often at most.

    Returns:
        How many copies were thrown away.

    Raises:
        TimeoutError: it never came to rest.
    """
    device = _device(image)
    for number in range(tries):
        before = _written(device)
        _run("cp", "--sparse=always", str(image), str(copy))
        if before == _written(device) and not before.in_flight:
            return number
        time.sleep(0.01)
    raise TimeoutError(f"{image.name} was still written to after {tries} copies")


@dataclass(frozen=True)
class _Written:
    """What a block device was asked to write so far, flushes and discards too, and what is still on its way."""

    done: tuple[str, ...]
    in_flight: bool


def _device(image: Path) -> Path:
    """Where the kernel tells of the loop device of an image (kernel: admin-guide/abi, block)."""
    for told in Path("/sys/block").glob("loop*/loop/backing_file"):
        if told.read_text(encoding="utf-8").strip() == str(image.resolve()):
            return told.parent.parent
    raise FileNotFoundError(f"no loop device has {image}")


def _written(device: Path) -> _Written:
    fields = (device / "stat").read_text(encoding="ascii").split()
    in_flight = any(map(int, (device / "inflight").read_text(encoding="ascii").split()))
    return _Written(done=(*fields[4:7], *fields[11:14], fields[15]), in_flight=in_flight)


@contextmanager
def full(folder: Path, what: str) -> Iterator[None]:
    """No block, or no inode, is left on the file system of a folder until the end."""
    filler = folder / "filler"
    filler.mkdir(exist_ok=True)
    try:
        _fill_blocks(filler) if what == "blocks" else _fill_inodes(filler)
        yield
    finally:
        shutil.rmtree(filler)


def _fill_blocks(filler: Path) -> None:
    with (filler / "blocks").open("wb") as file:
        size = 0
        for step in (1 << 20, 4096):
            try:
                while True:
                    os.posix_fallocate(file.fileno(), size, step)
                    size += step
            except OSError:
                continue


def _fill_inodes(filler: Path) -> None:
    try:
        for number in range(INODES):
            (filler / str(number)).touch()
    except OSError:
        return


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
