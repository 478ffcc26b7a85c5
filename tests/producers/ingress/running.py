"""An ingress in this process, whose clock a test moves; and one in a process of its own, to kill."""

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydicom import Dataset
from pydicom.data import get_testdata_file
from pydicom.filereader import read_file_meta_info

from producers.ingress.closing import Closing
from producers.ingress.parts import OpenParts, Session
from producers.ingress.storing import Storing
from shared import tls
from shared.config import Config, parse
from shared.dimse import Association, Listener, Timeouts, TlsPeer, request
from shared.spool.parts import Instance, Manifest, active_parts, read_manifest
from shared.spool.runs import Run
from shared.spool.spool import Spool
from shared.spool.volume import prepare
from tests.consumers.bench import data_set, write
from tests.peers import free_port
from tests.support import eventually

RELAY = """
[relay]
data_dir = "var"
[ingress]
listen = ["127.0.0.1:0"]
min_free = "1MB"
quiet = "30s"
quiet_after_release = "10s"
[[source]]
name = "ct-1"
ae_title = "CT1"
[[source]]
name = "mr-1"
ae_title = "MR1"
quiet = "5s"
quiet_after_release = "1s"
[[source]]
name = "far"
ae_title = "FAR"
hosts = ["10.0.0.0/8"]
[[source]]
name = "old-console"
ae_title = "CONSOLE"
called = ["OLDPACS"]
[[destination]]
name = "archive"
ae_title = "ARCHIVE"
host = "127.0.0.1"
port = 104
[[route]]
name = "all"
to = ["archive"]
"""
QUICK = Timeouts(connect=2, associate=2, pdu=2, idle=30, response=5, release=1)


@dataclass
class Sample:
    """A data set in a file, and what to say of it."""

    path: Path
    offset: int
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str

    @property
    def content(self) -> bytes:
        return self.path.read_bytes()[self.offset :]


def sample(path: Path | str = "CT_small.dcm") -> Sample:
    """A file, by default of pydicom's wheel."""
    if isinstance(path, str):
        found = get_testdata_file(path, download=False)
        assert isinstance(found, str)
        path = Path(found)
    meta = read_file_meta_info(path)
    return Sample(
        path,
        144 + int(meta.FileMetaInformationGroupLength),
        str(meta.MediaStorageSOPClassUID),
        str(meta.MediaStorageSOPInstanceUID),
        str(meta.TransferSyntaxUID),
    )


def made(folder: Path, name: str, **changes: object) -> Path:
    """A small file of one study, its elements changed."""
    ds: Dataset = data_set(1)
    for keyword, value in changes.items():
        setattr(ds, keyword, value)
    return write(folder / name, ds)


def associate(
    port: int, *samples: Sample, calling: str = "CT1", called: str = "DCMRELAY", secured: TlsPeer | None = None
) -> Association:
    contexts = list(dict.fromkeys((it.sop_class_uid, it.transfer_syntax_uid) for it in samples))
    proposed = [(abstract, [syntax]) for abstract, syntax in contexts]
    return request(
        "127.0.0.1",
        port,
        calling_ae_title=calling,
        called_ae_title=called,
        contexts=proposed,
        timeouts=QUICK,
        tls=secured,
    )


def store(association: Association, it: Sample, *, length: int | None = None, uid: str | None = None) -> int:
    """The status that one C-STORE is answered with."""
    context = association.accepted_context(it.sop_class_uid, it.transfer_syntax_uid)
    assert context is not None
    return association.store(
        it.path,
        it.offset,
        len(it.content) if length is None else length,
        context_id=context,
        sop_class_uid=it.sop_class_uid,
        sop_instance_uid=it.sop_instance_uid if uid is None else uid,
    )


def stored(port: int, *samples: Sample, calling: str = "CT1", called: str = "DCMRELAY") -> list[int]:
    """Statuses of samples sent in one association."""
    with associate(port, *samples, calling=calling, called=called) as association:
        return [store(association, it) for it in samples]


def drafts(pid: int, spool: Spool) -> list[str]:
    """What a process is writing that has no final name: temporary files, and files without a name that have bytes."""
    found = spool.store.list("tmp")
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            name = str(entry.readlink())
            if name.startswith(f"{spool.store.root}/tmp/#") and entry.stat().st_size:
                found.append(name)
    return found


@dataclass
class Ingress:
    """An ingress as its process wires it, but for the broker and the clock."""

    config: Config
    spool: Spool
    parts: OpenParts
    closing: Closing
    listener: Listener[Session]
    stopping: threading.Event
    run: Run
    time: list[float]

    @property
    def port(self) -> int:
        return self.listener.addresses[0][1]

    @property
    def tls_port(self) -> int:
        return self.listener.addresses[1][1]

    def pass_time(self, seconds: float) -> None:
        """Lets a while pass on the ingress's monotonic clock."""
        self.time[0] += seconds

    def go_quiet(self, seconds: float = 10) -> None:
        """Waits until every association is closed, then lets a while pass."""
        eventually(lambda: self.listener.associations == 0)
        self.pass_time(seconds)

    def manifests(self) -> list[Manifest]:
        """Of the closed parts, in the order of their closing."""
        closed = [(state.at, unit) for unit in self.spool.parts.ids() if (state := self.spool.parts.newest(unit))]
        return [manifest for _, unit in sorted(closed) if (manifest := read_manifest(self.spool, unit))]

    def closed(self, count: int = 1) -> list[Manifest]:
        """The manifests, once so many parts are closed."""
        eventually(lambda: len(self.manifests()) >= count)
        return self.manifests()

    def begun(self) -> list[str]:
        """Parts that have a manifest but no record yet."""
        ids = [unit for unit in self.spool.parts.ids() if self.spool.parts.newest(unit) is None]
        return [unit for unit in ids if read_manifest(self.spool, unit)]

    def temporary(self) -> list[str]:
        return drafts(os.getpid(), self.spool)

    def content(self, instance: Instance) -> bytes:
        return self.spool.store.path(instance.file).read_bytes()[instance.offset :]


@contextmanager
def ingress(folder: Path, text: str = RELAY) -> Iterator[Ingress]:
    """Runs an ingress on a free port until the block ends; parts close when `pass_time` says so."""
    config = parse(text, folder)
    spool, stopping, time = prepare(config), threading.Event(), [1000.0]
    spool.keep_config(config.snapshot(), config.hash)
    parts, run = OpenParts(monotonic=lambda: time[0]), Run(spool)
    closing = Closing(spool, config, parts, run, stopping)
    closing.adopt()
    service = Storing(spool, config, parts, run.id)
    listener = Listener(
        [("127.0.0.1", 0)],
        service,
        tls=tls.of_ingress(config.ingress),
        max_instance=config.ingress.max_instance,
        timeouts=QUICK,
    )
    threads = [threading.Thread(target=target) for target in (listener.serve, closing.run_until_stopped)]
    for thread in threads:
        thread.start()
    try:
        yield Ingress(config, spool, parts, closing, listener, stopping, run, time)
    finally:
        stopping.set()
        listener.close()
        for thread in threads:
            thread.join()


@dataclass
class IngressProcess:
    """`dcmrelay ingress` until the block ends; with no broker to be found unless one is named."""

    folder: Path
    wrapper: tuple[str | Path, ...] = ()
    text: str = RELAY.replace('"30s"', '"2s"').replace('"10s"', '"1s"')
    broker_url: str = ""
    port: int = 0
    tls_port: int = 0
    program: subprocess.Popen[bytes] = field(init=False)

    def start(self) -> None:
        """Starts it and waits until it says where it listens."""
        announcement = self.folder / "var/run/ingress.json"
        announcement.unlink(missing_ok=True)
        (self.folder / "dcmrelay.toml").write_text(self.text)
        command = [
            *self.wrapper,
            sys.executable,
            "-m",
            "dcmrelay",
            "ingress",
            "--config",
            self.folder / "dcmrelay.toml",
        ]
        url = self.broker_url or f"amqp://nobody:s@127.0.0.1:{free_port()}/"
        with (self.folder / "ingress.log").open("ab") as log:
            self.program = subprocess.Popen(command, env={**os.environ, "DCMRELAY_BROKER_URL": url}, stderr=log)
        eventually(lambda: announcement.exists() or self.program.poll() is not None, 30)
        assert self.program.poll() is None, self.log
        said = json.loads(announcement.read_text())
        self.pid, self.port = int(said["pid"]), int(said["addresses"][0][1])
        self.tls_port = said["tls_addresses"][0][1] if said["tls_addresses"] else 0

    def end(self, number: int) -> int:
        """Sends it a signal; returns its exit code."""
        os.kill(self.pid, number)
        return self.program.wait(20)

    @property
    def spool(self) -> Spool:
        return Spool(self.folder / "var/spool")

    def temporary(self) -> list[str]:
        return drafts(self.pid, self.spool)

    @property
    def log(self) -> str:
        return (self.folder / "ingress.log").read_text()

    def manifests(self) -> list[Manifest]:
        found = [read_manifest(self.spool, part) for part in active_parts(self.spool)]
        return [manifest for manifest in found if manifest is not None]


@contextmanager
def ingress_process(
    folder: Path, *wrapper: str | Path, more: str = "", broker_url: str = ""
) -> Iterator[IngressProcess]:
    process = IngressProcess(folder, wrapper, IngressProcess.text + more, broker_url)
    process.start()
    try:
        yield process
    finally:
        if process.program.poll() is None:
            os.kill(process.pid, 9)
            process.program.wait()
