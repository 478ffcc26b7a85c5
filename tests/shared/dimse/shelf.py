"""A storage service that keeps instances in memory, and the instances of pydicom's wheel to send it."""

import hashlib
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydicom.data import get_testdata_file
from pydicom.filereader import read_file_meta_info

from shared.dimse import Listener, Proposal, Rejection, StoreRequest, Timeouts
from shared.errors import StorageError

QUICK = Timeouts(connect=5, associate=0.5, pdu=0.5, idle=5, response=5, release=2)

# A name and what it is encoded in.
FILES = {
    "CT_small.dcm": "explicit little endian",
    "MR_small_implicit.dcm": "implicit little endian",
    "MR_small_bigendian.dcm": "explicit big endian",
    "image_dfl.dcm": "deflated",
    "SC_rgb_jpeg_dcmtk.dcm": "JPEG baseline",
    "MR_small_jpeg_ls_lossless.dcm": "JPEG-LS",
    "MR_small_jp2klossless.dcm": "JPEG 2000",
    "MR_small_RLE.dcm": "RLE",
    "reportsi.dcm": "structured report",
}


@dataclass(frozen=True)
class Instance:
    """A data set in a file."""

    path: Path
    offset: int
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str

    @property
    def data_set(self) -> bytes:
        return self.path.read_bytes()[self.offset :]

    @property
    def length(self) -> int:
        return self.path.stat().st_size - self.offset

    @property
    def on_the_wire(self) -> bytes:
        """A deflated data set of odd length ends with a NUL byte there (PS3.5 A.5)."""
        deflated = self.transfer_syntax_uid == "1.2.840.10008.1.2.1.99"
        return self.data_set + b"\0" * (self.length % 2 if deflated else 0)

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.on_the_wire).hexdigest()


def instance(name: str = "CT_small.dcm") -> Instance:
    path = get_testdata_file(name, download=False)
    assert isinstance(path, str), f"{name} is not in pydicom's wheel"
    meta = read_file_meta_info(path)
    return Instance(
        Path(path),
        128 + 4 + 12 + meta.FileMetaInformationGroupLength,
        str(meta.MediaStorageSOPClassUID),
        str(meta.MediaStorageSOPInstanceUID),
        str(meta.TransferSyntaxUID),
    )


@dataclass
class Sink:
    """Counts and hashes; full after `room` bytes."""

    shelf: "Shelf"
    request: StoreRequest
    hash: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    size: int = 0
    pieces: int = 0

    def write(self, chunk: memoryview) -> None:
        self.size += len(chunk)
        self.pieces += 1
        if self.size > self.shelf.room:
            raise StorageError("no room")
        self.hash.update(chunk)

    def commit(self) -> int:
        with self.shelf.lock:
            self.shelf.kept.append((self.request, self.hash.hexdigest()))
        return self.shelf.status

    def discard(self) -> None:
        with self.shelf.lock:
            self.shelf.discarded += 1


@dataclass
class Shelf:
    """The service: what it keeps and what it saw."""

    status: int = 0
    refuse_with: int | None = None
    room: int = 1 << 60
    rejection: Rejection | None = None
    kept: list[tuple[StoreRequest, str]] = field(default_factory=list)
    discarded: int = 0
    sinks: int = 0
    proposals: list[Proposal] = field(default_factory=list)
    opened_count: int = 0
    closed_count: int = 0
    ended: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def admit(self, proposal: Proposal) -> Rejection | None:
        with self.lock:
            self.proposals.append(proposal)
        return self.rejection

    def opened(self, proposal: Proposal) -> str:
        with self.lock:
            self.opened_count += 1
        return proposal.calling_ae_title

    def store(self, _session: str, request: StoreRequest) -> Sink | int:
        with self.lock:
            self.sinks += 1
        return Sink(self, request) if self.refuse_with is None else self.refuse_with

    def answered(self, _session: str) -> None:
        pass

    def closed(self, _session: str) -> None:
        with self.lock:
            self.closed_count += 1

    def note(self, _host: str, how: str) -> None:
        with self.lock:
            self.ended.append(how)


@contextmanager
def listening(
    shelf: Shelf,
    *,
    timeouts: Timeouts = QUICK,
    max_instance: int = 1 << 32,
    max_pdu: int = 131072,
    max_associations: int = 100,
    max_associations_per_host: int = 20,
    max_pending: int = 100,
    tls: ssl.SSLContext | None = None,
) -> Iterator[Listener[str]]:
    """A listener for a shelf on a free port of loopback, served in a thread; with TLS on a second one."""
    listener = Listener(
        [("127.0.0.1", 0)],
        shelf,
        tls=([("127.0.0.1", 0)], tls) if tls else None,
        timeouts=timeouts,
        max_instance=max_instance,
        max_pdu=max_pdu,
        max_associations=max_associations,
        max_associations_per_host=max_associations_per_host,
        max_pending=max_pending,
        ended=shelf.note,
    )
    thread = threading.Thread(target=listener.serve)
    thread.start()
    try:
        yield listener
    finally:
        listener.close()
        thread.join()
