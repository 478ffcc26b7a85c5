"""Everybody with everybody: who stores to our ingress, and to whom our sender stores, plain and over TLS.

What was sent is what is kept, byte for byte. dcmsend speaks no TLS.
"""

import hashlib
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian, MRImageStorage, RLELossless
from pynetdicom import AE, evt
from pynetdicom.events import Event

from shared.headers import read_meta
from tests.certificates import (
    Authority,
    Certificate,
    authority,
    dcmtk_tls,
    destination_tls,
    ingress_tls,
    orthanc_tls,
)
from tests.consumers.bench import bench, data_set, wheel, write
from tests.consumers.sender.peer import after, aimed, sender
from tests.peers import dcmsend, orthanc, store_scp, storescu
from tests.producers.ingress.running import RELAY, Ingress, ingress
from tests.producers.ingress.test_faults import kept

SYNTAXES = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless)


@dataclass(frozen=True)
class World:
    """A CA, and what it issued for the relay and for the peer."""

    ca: Authority
    relay: Certificate
    peer: Certificate

    @property
    def dcmtk(self) -> tuple[str, ...]:
        """DCMTK's options."""
        return dcmtk_tls(self.ca, self.peer)

    @property
    def orthanc(self) -> dict[str, object]:
        """Orthanc's settings."""
        return orthanc_tls(self.ca, self.peer)

    def pynetdicom(self, purpose: ssl.Purpose) -> ssl.SSLContext:
        """pynetdicom's context, towards a server or a client that must show a certificate."""
        context = ssl.create_default_context(purpose, cafile=str(self.ca.ca))
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(self.peer.certificate, self.peer.key)
        return context


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    ca = authority(tmp_path_factory.mktemp("tls") / "ca")
    return World(ca, ca.issue("relay", "IP:127.0.0.1"), ca.issue("peer", "IP:127.0.0.1"))


@pytest.fixture(scope="module")
def ours(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ingress]:
    with ingress(tmp_path_factory.mktemp("ours"), RELAY + ingress_tls(world.ca, world.relay)) as running:
        yield running


def with_dcmsend(files: list[Path], port: int, secured: World | None, folder: Path) -> None:
    said = dcmsend(port, *files, calling="CT1")
    assert said.returncode == 0, said.stderr


def with_storescu(files: list[Path], port: int, secured: World | None, folder: Path) -> None:
    said = storescu(port, *files, calling="CT1", options=("--required", *(secured.dcmtk if secured else ())))
    assert said.returncode == 0, said.stderr


def with_orthanc(files: list[Path], port: int, secured: World | None, folder: Path) -> None:
    with orthanc(folder, "CT1", **(secured.orthanc if secured else {})) as pacs:
        for file in files:
            pacs.ask("POST", "/instances", file.read_bytes())
        pacs.stores_to(port, pacs.instances(), tls=secured is not None)


def with_pynetdicom(files: list[Path], port: int, secured: World | None, folder: Path) -> None:
    ae = AE("CT1")
    ae.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    context = secured.pynetdicom(ssl.Purpose.SERVER_AUTH) if secured else None
    association = ae.associate(
        "127.0.0.1", port, ae_title="DCMRELAY", tls_args=(context, "127.0.0.1") if context else None
    )
    assert association.is_established
    assert [association.send_c_store(dcmread(file)).Status for file in files] == [0] * len(files)
    association.release()


SENDERS: dict[str, tuple[Callable[[list[Path], int, World | None, Path], None], bool]] = {
    "dcmsend": (with_dcmsend, False),
    "storescu": (with_storescu, False),
    "storescu, TLS": (with_storescu, True),
    "Orthanc": (with_orthanc, False),
    "Orthanc, TLS": (with_orthanc, True),
    "pynetdicom": (with_pynetdicom, False),
    "pynetdicom, TLS": (with_pynetdicom, True),
}


@pytest.mark.parametrize("name", SENDERS)
def test_what_others_store_to_us_is_kept_byte_for_byte(ours: Ingress, world: World, tmp_path: Path, name: str) -> None:
    send, is_secured = SENDERS[name]
    study = f"1.2.3.{list(SENDERS).index(name)}"
    sets = (data_set(n, study, PixelData=bytes([n]) * 20_000, BitsAllocated=8) for n in range(3))
    files = [write(tmp_path / f"{n}.dcm", ds) for n, ds in enumerate(sets)]
    before = kept(ours)
    send(files, ours.tls_port if is_secured else ours.port, world if is_secured else None, tmp_path)
    assert kept(ours) - before == {hashed(file) for file in files}


@dataclass
class Receiver:
    """A destination: where it listens, and what it has kept."""

    port: int
    kept: Callable[[], set[str]]


@contextmanager
def at_storescp(folder: Path, secured: World | None, accept: tuple[str, ...] = ("+xa", "+B")) -> Iterator[Receiver]:
    with store_scp(folder, *(secured.dcmtk if secured else ()), accept=accept) as scp:
        yield Receiver(scp.port, lambda: {hashed(file) for file in scp.files()})


@contextmanager
def at_implicit_storescp(folder: Path, secured: World | None) -> Iterator[Receiver]:
    with at_storescp(folder, secured, ("+xi", "+B")) as receiver:
        yield receiver


@contextmanager
def at_orthanc(folder: Path, secured: World | None) -> Iterator[Receiver]:
    def kept() -> set[str]:
        files = []
        for name in pacs.instances():
            files.append(folder / name)
            files[-1].write_bytes(pacs.get(f"/instances/{name}/file"))
        return {hashed(file) for file in files}

    with orthanc(folder, "ARCHIVE", **(secured.orthanc if secured else {})) as pacs:
        yield Receiver(pacs.port, kept)


@contextmanager
def at_pynetdicom(folder: Path, secured: World | None) -> Iterator[Receiver]:
    got: set[str] = set()

    def store(event: Event) -> int:
        got.add(hashlib.sha256(event.request.DataSet.getvalue()).hexdigest())
        return 0

    ae = AE("ARCHIVE")
    for sop_class in (CTImageStorage, MRImageStorage):
        ae.add_supported_context(sop_class, list(SYNTAXES))
    context = secured.pynetdicom(ssl.Purpose.CLIENT_AUTH) if secured else None
    server = ae.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, store)], ssl_context=context
    )
    try:
        yield Receiver(server.socket.getsockname()[1], lambda: got)
    finally:
        server.shutdown()


RECEIVERS = {
    "storescp": (at_storescp, SYNTAXES),
    "storescp, implicit VR only": (at_implicit_storescp, (ImplicitVRLittleEndian,)),
    "Orthanc": (at_orthanc, SYNTAXES),
    "pynetdicom": (at_pynetdicom, SYNTAXES),
}


@pytest.mark.parametrize("over", ["plain", "TLS"])
@pytest.mark.parametrize("name", RECEIVERS)
def test_what_we_store_to_others_arrives_byte_for_byte(world: World, tmp_path: Path, name: str, over: str) -> None:
    receiver, syntaxes = RECEIVERS[name]
    relay, secured = bench(tmp_path), world if over == "TLS" else None
    explicit, implicit = (
        write(tmp_path / f"{n}.dcm", data_set(n, PixelData=bytes(20_000), BitsAllocated=8), syntax)
        for n, syntax in enumerate(SYNTAXES[:2])
    )
    part = relay.part(explicit, implicit, wheel("MR_small_RLE.dcm"))
    wanted = {it.sha256 for it in relay.manifest(part).instances if it.transfer_syntax_uid in syntaxes}
    with receiver(tmp_path, secured) as destination:
        aimed(relay, destination.port, destination_tls(world.ca, world.relay) if secured else "")
        delivery = relay.delivery(part)
        state = after(relay, delivery, sender(relay))
        assert destination.kept() == wanted
    assert state.status == ("final" if len(wanted) == len(SYNTAXES) else "held")
    assert len(relay.facts(delivery)["delivered"]) == len(wanted)


def hashed(file: Path) -> str:
    """Hash of a file's data set."""
    offset, _ = read_meta(file)
    return hashlib.sha256(file.read_bytes()[offset:]).hexdigest()
