"""TLS in and out: with whom we speak, with whom we do not, and that a refusal is quick and harms nobody else."""

import hashlib
import socket
import ssl
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from shared.dimse import VERIFICATION, Association, Listener, Timeouts, TlsFiles, TlsPeer, request, tls
from shared.dimse.commands import store_request
from shared.errors import PeerError, PeerUnreachableError, StartError
from tests.certificates import Authority, Certificate, authority, signed_by_itself
from tests.peers import run_tool, store_scp, storescu
from tests.shared.dimse.pdus import associate_rq, pdata, pdv, rest, store_rq
from tests.shared.dimse.shelf import QUICK, Instance, Shelf, instance, listening
from tests.support import eventually

IMPLICIT = "1.2.840.10008.1.2"
PLACE = "[ingress] key tls."


@dataclass(frozen=True)
class World:
    """A CA, the relay's certificate and a modality's, both of that CA."""

    ca: Authority
    other: Authority
    relay: Certificate
    modality: Certificate

    def accepting(self) -> ssl.SSLContext:
        return tls.accepting(files(self.ca, self.relay), PLACE)

    def peer(self, shown: Certificate | None = None, name: str = "127.0.0.1") -> TlsPeer:
        return tls.requesting(files(self.ca, shown or self.modality), name, PLACE)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("tls")
    ca, other = authority(folder / "ca"), authority(folder / "other")
    relay = ca.issue("relay", "DNS:relay.example", "IP:127.0.0.1")
    return World(ca, other, relay, ca.issue("ct-1", "DNS:CT-1.example"))


def files(ca: Authority, ours: Certificate) -> TlsFiles:
    return TlsFiles(ca=ca.ca, certificate=ours.certificate, key=ours.key)


def associate(port: int, peer: TlsPeer | None, *sent: Instance, timeouts: Timeouts = QUICK) -> Association:
    contexts = [(VERIFICATION, [IMPLICIT]), *((i.sop_class_uid, [i.transfer_syntax_uid]) for i in sent)]
    return request(
        "127.0.0.1",
        port,
        calling_ae_title="CT1",
        called_ae_title="RELAY",
        contexts=contexts,
        timeouts=timeouts,
        tls=peer,
    )


def store(association: Association, sent: Instance, path: Path | None = None, length: int = 0) -> int:
    context_id = association.accepted_context(sent.sop_class_uid, sent.transfer_syntax_uid)
    assert context_id is not None
    return association.store(
        path or sent.path,
        0 if path else sent.offset,
        length or sent.length,
        context_id=context_id,
        sop_class_uid=sent.sop_class_uid,
        sop_instance_uid=sent.sop_instance_uid,
    )


def assert_serves(listener: Listener[str], world: World) -> None:
    """A good sender is heard on both ports."""
    for (_, port), peer in zip(listener.addresses, (None, world.peer()), strict=True):
        with associate(port, peer) as association:
            assert association.echo() == 0


def test_plain_and_tls_callers_store_side_by_side(world: World, tmp_path: Path) -> None:
    shelf, sent, big = Shelf(), instance(), tmp_path / "big"
    big.write_bytes(hashlib.shake_128(b"noise").digest(5_000_002))
    with listening(shelf, tls=world.accepting()) as listener:
        for (_, port), peer in zip(listener.addresses, (None, world.peer()), strict=True):
            with associate(port, peer, sent) as association:
                assert store(association, sent) == 0
                assert store(association, sent, big, 5_000_002) == 0
    digests = [digest for _, digest in shelf.kept]
    assert digests == [sent.digest, hashlib.sha256(big.read_bytes()).hexdigest()] * 2
    assert [p.certificate for p in shelf.proposals] == [None, shelf.proposals[1].certificate]
    assert shelf.ended == ["released", "released"]


def test_a_caller_is_known_by_the_names_and_the_fingerprint_of_its_certificate(world: World) -> None:
    names = ("DNS:CT-1.example", "IP:fd00:0:0:0::7", "email:ct@example", "URI:urn:example:ct", "DNS:sha256:posing")
    many = world.ca.issue("Sha256:posing too", *names)
    shelf = Shelf()
    with (
        listening(shelf, tls=world.accepting()) as listener,
        associate(listener.addresses[1][1], world.peer(many)) as association,
    ):
        association.echo()
    expected = {"ct-1.example", "fd00::7", "ct@example", "urn:example:ct", many.fingerprint.replace(":", "").lower()}
    assert {name.replace("sha256:", "sha256") for name in shelf.proposals[0].certificate or ()} == expected


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_versions_are_spoken_with_forward_secrecy(world: World, version: ssl.TLSVersion) -> None:
    peer = world.peer()
    peer.context.maximum_version = version
    with (
        listening(Shelf(), tls=world.accepting()) as listener,
        associate(listener.addresses[1][1], peer) as association,
    ):
        assert association.echo() == 0
        sock = association._conversation.wire._sock
        assert isinstance(sock, ssl.SSLSocket)
        assert sock.version() == version.name.replace("_", ".")
        assert "GCM" in str(sock.cipher()) or "CHACHA20" in str(sock.cipher())


def _client(world: World, shown: Certificate | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(world.ca.ca)
    if shown:
        context.load_cert_chain(shown.certificate, shown.key)
    return context


def _old(world: World) -> ssl.SSLContext:
    context = _client(world, world.modality)
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


def _weak(world: World) -> ssl.SSLContext:
    context = _client(world, world.modality)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("AES128-SHA:ECDHE-ECDSA-AES128-SHA")
    return context


REFUSED: dict[str, Callable[[World, Path], ssl.SSLContext]] = {
    "no certificate": lambda world, _: _client(world, None),
    "expired": lambda world, _: _client(world, world.ca.issue("expired", days=0)),
    "other CA": lambda world, _: _client(world, world.other.issue("ct-1")),
    "self-signed": lambda world, folder: _client(world, signed_by_itself(folder, "ct-1")),
    "TLS 1.1": lambda world, _: _old(world),
    "CBC without forward secrecy": lambda world, _: _weak(world),
}


def _speak(address: tuple[str, int], context: ssl.SSLContext) -> None:
    with (
        socket.create_connection(address, timeout=10) as sock,
        context.wrap_socket(sock, server_hostname="127.0.0.1") as wrapped,
    ):
        wrapped.sendall(associate_rq())
        wrapped.recv(1)


@pytest.mark.parametrize("caller", REFUSED)
def test_a_caller_without_proper_tls_is_told_so_at_once(world: World, tmp_path: Path, caller: str) -> None:
    shelf, context = Shelf(), REFUSED[caller](world, tmp_path)
    begun = time.monotonic()
    with listening(shelf, tls=world.accepting(), timeouts=Timeouts()) as listener:
        with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
            _speak(listener.addresses[1], context)
        eventually(lambda: shelf.ended == ["tls"])
        assert time.monotonic() - begun < 4
        assert shelf.proposals == []
        assert_serves(listener, world)


@pytest.mark.parametrize(
    "said", [associate_rq(), b"GET / HTTP/1.1\r\n\r\n", b"\0" * 4096], ids=["DICOM", "HTTP", "zeros"]
)
def test_what_is_not_tls_is_closed_on_the_tls_port(world: World, said: bytes) -> None:
    shelf = Shelf()
    with listening(shelf, tls=world.accepting()) as listener:
        with socket.create_connection(listener.addresses[1], timeout=10) as sock:
            sock.sendall(said)
            assert rest(sock)[:1] in (b"", b"\x15")
        eventually(lambda: shelf.ended == ["tls"])
        assert_serves(listener, world)


def _hello(world: World) -> bytes:
    """A whole ClientHello."""
    out = ssl.MemoryBIO()
    session = _client(world, world.modality).wrap_bio(ssl.MemoryBIO(), out, server_hostname="relay.example")
    with suppress(ssl.SSLWantReadError):
        session.do_handshake()
    return out.read()


@pytest.mark.parametrize("share", [0, 0.5, 1], ids=["nothing", "half a ClientHello", "a ClientHello"])
def test_a_silent_caller_stops_nobody_and_is_closed_in_time(world: World, share: float) -> None:
    shelf, hello = Shelf(), _hello(world)
    with ExitStack() as open_, listening(shelf, tls=world.accepting(), timeouts=Timeouts(associate=1)) as listener:
        silent = [open_.enter_context(socket.create_connection(listener.addresses[1], timeout=10)) for _ in range(20)]
        for sock in silent:
            sock.sendall(hello[: int(len(hello) * share)])
        assert_serves(listener, world)
        eventually(lambda: shelf.ended == ["released"] * 2)
        eventually(lambda: shelf.ended[2:] == ["timeout"] * 20)
        for sock in silent:
            with suppress(ConnectionResetError):
                rest(sock)


def test_a_health_check_is_no_failure_of_tls(world: World) -> None:
    shelf = Shelf()
    with listening(shelf, tls=world.accepting()) as listener:
        socket.create_connection(listener.addresses[1]).close()
        eventually(lambda: shelf.ended == ["aborted"])


@pytest.mark.parametrize("fragments", [0, 1, 3])
def test_a_store_that_tls_or_tcp_cuts_off_leaves_nothing(world: World, fragments: int) -> None:
    shelf, sent = Shelf(), instance()
    with listening(shelf, tls=world.accepting()) as listener:
        association = associate(listener.addresses[1][1], world.peer(), sent)
        context_id = association.accepted_context(sent.sop_class_uid, sent.transfer_syntax_uid) or 0
        conversation = association._conversation
        said = store_request(1, sent.sop_class_uid, sent.sop_instance_uid, None)
        conversation.send_command(context_id, said)
        for _ in range(fragments):
            conversation.send(conversation.data_pieces(context_id, memoryview(bytes(50_000)), is_last=False))
        socket.socket(fileno=conversation.wire._sock.detach()).close()
        eventually(lambda: shelf.ended == ["aborted"])
        assert (shelf.kept, shelf.discarded, shelf.closed_count) == ([], 1, 1)
        assert_serves(listener, world)


def test_the_end_of_tls_in_mid_store_leaves_nothing(world: World) -> None:
    shelf = Shelf()
    with listening(shelf, tls=world.accepting()) as listener:
        context = _client(world, world.modality)
        with (
            socket.create_connection(listener.addresses[1], timeout=10) as sock,
            context.wrap_socket(sock, server_hostname="127.0.0.1") as wrapped,
        ):
            wrapped.sendall(associate_rq())
            wrapped.recv(6)
            wrapped.sendall(store_rq() + pdata(pdv(b"\x08\0\x18\0", 0)))
            with suppress(OSError):
                wrapped.unwrap()
        eventually(lambda: shelf.ended == ["aborted"])
    assert (shelf.kept, shelf.discarded) == ([], 1)


@contextmanager
def served(context: ssl.SSLContext | None) -> Iterator[int]:
    """The port of a peer with that context; of one that never says anything when None."""
    if context is not None:
        with listening(Shelf(), tls=context) as listener:
            yield listener.addresses[1][1]
        return
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield silent.getsockname()[1]


UNTRUSTED: dict[str, tuple[Callable[[World], ssl.SSLContext | None], str, str]] = {
    "another name": (World.accepting, "pacs.example", "Hostname mismatch"),
    "another address": (World.accepting, "127.0.0.2", "IP address mismatch"),
    "another fingerprint": (World.accepting, f"sha256:{'0' * 64}", "another fingerprint"),
    "another CA": (
        lambda world: tls.accepting(files(world.ca, world.other.issue("x", "IP:127.0.0.1")), PLACE),
        "127.0.0.1",
        "unable to get local issuer certificate",
    ),
    "expired": (
        lambda world: tls.accepting(files(world.ca, world.ca.issue("y", "IP:127.0.0.1", days=0)), PLACE),
        "127.0.0.1",
        "certificate has expired",
    ),
    "silent": (lambda _: None, "127.0.0.1", "silent or too slow"),
}


@pytest.mark.parametrize("peer", UNTRUSTED)
def test_nothing_is_said_to_a_peer_that_is_not_the_one_meant(world: World, peer: str) -> None:
    context, name, why = UNTRUSTED[peer]
    with served(context(world)) as port, pytest.raises(PeerUnreachableError, match=why) as error:
        associate(port, world.peer(name=name), timeouts=Timeouts(handshake=0.3))
    assert str(error.value).startswith(f"no TLS with 127.0.0.1:{port}: ")


def test_a_peer_without_tls_is_unreachable_by_tls(world: World) -> None:
    with listening(Shelf()) as listener, pytest.raises(PeerUnreachableError, match="wrong version number"):
        associate(listener.addresses[0][1], world.peer())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_peer_that_refuses_our_certificate_is_named_as_the_reason(world: World, version: ssl.TLSVersion) -> None:
    peer = world.peer(world.other.issue("stranger"))
    peer.context.maximum_version = version
    with (
        listening(Shelf(), tls=world.accepting()) as listener,
        pytest.raises(PeerError, match=r"TLS.*alert (unknown ca|decrypt error)"),
    ):
        associate(listener.addresses[1][1], peer)


def test_a_peer_is_pinned_by_its_fingerprint_or_its_own_certificate_as_ca(world: World, tmp_path: Path) -> None:
    lone = signed_by_itself(tmp_path, "old-pacs")
    context = tls.accepting(files(world.ca, lone), PLACE)
    pinned = TlsFiles(ca=lone.certificate, certificate=world.modality.certificate, key=world.modality.key)
    fingerprint = lone.fingerprint.replace(":", "").lower().replace("sha256", "sha256:")
    with listening(Shelf(), tls=context) as listener:
        with associate(listener.addresses[1][1], tls.requesting(pinned, fingerprint, PLACE)) as association:
            assert association.echo() == 0
        with pytest.raises(PeerUnreachableError, match=r"Hostname mismatch|IP address mismatch"):
            associate(listener.addresses[1][1], tls.requesting(pinned, "127.0.0.1", PLACE))


def dcmtk(world: World, shown: Certificate) -> tuple[str, ...]:
    """DCMTK's options for TLS."""
    return ("--enable-tls", str(shown.key), str(shown.certificate), "--add-cert-file", str(world.ca.ca))


def test_dcmtk_stores_to_us_over_tls(world: World) -> None:
    shelf, sent = Shelf(), instance()
    with listening(shelf, tls=world.accepting()) as listener:
        port = listener.addresses[1][1]
        said = storescu(port, sent.path, options=dcmtk(world, world.modality))
        assert said.returncode == 0, said.stderr
        echoed = run_tool("echoscu", *dcmtk(world, world.modality), "127.0.0.1", str(port))
        assert echoed.returncode == 0, echoed.stderr
        refused = storescu(port, sent.path, options=dcmtk(world, world.other.issue("stranger")))
        assert refused.returncode != 0
    assert [it.affected_sop_instance_uid for it, _ in shelf.kept] == [sent.sop_instance_uid]
    assert shelf.ended == ["released", "released", "tls"]


def test_we_store_to_dcmtk_over_tls(world: World, tmp_path: Path) -> None:
    sent = instance()
    with store_scp(tmp_path, *dcmtk(world, world.relay)) as scp:
        with associate(scp.port, world.peer(), sent) as association:
            assert store(association, sent) == 0
        with pytest.raises(PeerError, match="TLS"):
            associate(scp.port, world.peer(world.other.issue("stranger")))
        assert len(scp.files()) == 1


def _world_readable(world: World, folder: Path) -> Certificate:
    made = world.ca.issue("open")
    made.key.chmod(0o644)
    return made


def _encrypted(world: World, folder: Path) -> Certificate:
    key = folder / "encrypted.key"
    run_tool("openssl", "pkey", "-in", world.relay.key, "-out", key, "-aes256", "-passout", "pass:secret")
    return Certificate(world.relay.certificate, key)


def _garbage(world: World, folder: Path) -> Certificate:
    (folder / "garbage").write_bytes(b"\0not PEM")
    (folder / "garbage").chmod(0o600)
    return Certificate(folder / "garbage", world.relay.key)


UNUSABLE: dict[str, tuple[Callable[[World, Path], Certificate], str]] = {
    "key readable by others": (_world_readable, r"tls\.key: \S+open\.key can be read by others: chmod 600 \S+$"),
    "encrypted key": (_encrypted, r"tls\.key: \S+ is encrypted; remove its pass phrase"),
    "not PEM": (_garbage, r"tls\.certificate: \S+garbage and its key \S+ cannot be used; both must be PEM files"),
    "missing": (
        lambda world, folder: Certificate(folder / "none.pem", world.relay.key),
        r"tls\.certificate: \S+none\.pem cannot be read \(No such file or directory\); check its name and mode",
    ),
    "another's key": (
        lambda world, _: Certificate(world.relay.certificate, world.modality.key),
        r"tls\.key: \S+ct-1\.key is not the key of the certificate \S+relay\.pem",
    ),
    "weak key": (
        lambda world, _: world.ca.issue("weak", key=("-newkey", "rsa:1024", "-nodes")),
        r"tls\.certificate: \S+weak\.pem is too weak; use RSA of 2048 bits",
    ),
}


@pytest.mark.parametrize("what", UNUSABLE)
def test_files_that_cannot_be_used_are_refused_in_one_line(world: World, tmp_path: Path, what: str) -> None:
    make, line = UNUSABLE[what]
    with pytest.raises(StartError, match=rf"^\[ingress\] key {line}") as error:
        tls.accepting(files(world.ca, make(world, tmp_path)), PLACE)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [None, b"", b"\0garbage"])
def test_a_ca_that_cannot_be_read_is_refused_in_one_line(world: World, tmp_path: Path, content: bytes | None) -> None:
    ca = tmp_path / "ca.pem"
    if content is not None:
        ca.write_bytes(content)
    ours = TlsFiles(ca=ca, certificate=world.relay.certificate, key=world.relay.key)
    with pytest.raises(StartError, match=r"^\[ingress\] key tls\.ca: \S+ (cannot be read|holds no certificate)"):
        tls.accepting(ours, PLACE)
