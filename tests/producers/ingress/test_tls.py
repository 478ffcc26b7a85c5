"""TLS at the ingress: a source is its AE title and its certificate, and nothing of a broken store stays."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog
from pydicom.data import get_testdata_file

from shared.config import parse
from shared.dimse import TlsFiles, TlsPeer, tls
from shared.dimse.commands import store_request
from shared.errors import PeerRejectedError
from tests.certificates import Authority, Certificate, authority
from tests.peers import storescu
from tests.producers.ingress.running import RELAY, Ingress, associate, ingress, sample, store
from tests.support import eventually

SOURCES = """
[[source]]
name = "by-name"
ae_title = "NAMED"
certificate = "named.example"
[[source]]
name = "by-fingerprint"
ae_title = "PINNED"
certificate = ["{fingerprint}", "spare"]
[ingress.tls]
listen = ["127.0.0.1:0"]
certificate = "{relay.certificate}"
key = "{relay.key}"
ca = "{ca}"
"""


@dataclass(frozen=True)
class World:
    """A CA and what it issued: for the relay, for a source known by name, and for one known by fingerprint."""

    ca: Authority
    relay: Certificate
    named: Certificate
    pinned: Certificate
    text: str

    def peer(self, shown: Certificate) -> TlsPeer:
        files = TlsFiles(ca=self.ca.ca, certificate=shown.certificate, key=shown.key)
        return tls.requesting(files, "127.0.0.1", "--")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    ca = authority(tmp_path_factory.mktemp("tls") / "ca")
    relay = ca.issue("relay", "IP:127.0.0.1")
    named, pinned = ca.issue("first", "DNS:Named.Example"), ca.issue("second", "DNS:second.example")
    text = RELAY + SOURCES.format(fingerprint=pinned.fingerprint, relay=relay, ca=ca.ca)
    return World(ca, relay, named, pinned, text)


@pytest.fixture
def ours(world: World, tmp_path: Path) -> Iterator[Ingress]:
    with ingress(tmp_path, world.text) as running:
        yield running


@pytest.mark.parametrize(("calling", "shown"), [("NAMED", "named"), ("PINNED", "pinned"), ("CT1", "named")])
def test_a_source_stores_with_its_certificate(ours: Ingress, world: World, calling: str, shown: str) -> None:
    ct = sample()
    with associate(ours.tls_port, ct, calling=calling, secured=world.peer(getattr(world, shown))) as association:
        assert store(association, ct) == 0
    with associate(ours.port, ct, calling="MR1") as association:
        assert store(association, ct) == 0
    ours.go_quiet()
    first, second = ours.closed(2)
    assert ours.content(first.instances[0]) == ours.content(second.instances[0]) == ct.content


@pytest.mark.parametrize(
    ("calling", "shown"),
    [("NAMED", "pinned"), ("PINNED", "named"), ("NAMED", None), ("PINNED", None)],
    ids=["another name", "another fingerprint", "plain instead of a name", "plain instead of a fingerprint"],
)
def test_who_does_not_have_the_source_s_certificate_is_rejected_and_logged_once(
    ours: Ingress, world: World, calling: str, shown: str | None
) -> None:
    port = ours.tls_port if shown else ours.port
    secured = world.peer(getattr(world, shown)) if shown else None
    with structlog.testing.capture_logs() as lines, pytest.raises(PeerRejectedError) as error:
        associate(port, sample(), calling=calling, secured=secured)
    assert (error.value.result, error.value.source, error.value.reason) == (1, 1, 3)
    assert [(line["event"], line["mismatch"]) for line in lines] == [("refused", "certificate")]


def test_a_caller_without_accepted_certificate_is_logged_with_the_reason(ours: Ingress, world: World) -> None:
    late = world.ca.issue("late", "DNS:named.example", days=0)
    ct = Path(str(get_testdata_file("CT_small.dcm", download=False)))
    options = ("--enable-tls", str(late.key), str(late.certificate), "--add-cert-file", str(world.ca.ca))
    with structlog.testing.capture_logs() as lines:
        assert storescu(ours.tls_port, ct, calling="NAMED", options=options).returncode != 0
        eventually(lambda: lines)  # it is told after the caller was
    assert [(line["event"], line["host"], line["why"]) for line in lines] == [
        ("no_tls", "127.0.0.1", "the peer's certificate is not accepted: certificate has expired")
    ]


def test_a_tls_store_that_is_cut_off_leaves_no_file(ours: Ingress, world: World) -> None:
    ct = sample()
    association = associate(ours.tls_port, ct, calling="NAMED", secured=world.peer(world.named))
    context_id = association.accepted_context(ct.sop_class_uid, ct.transfer_syntax_uid) or 0
    conversation = association._conversation
    conversation.send_command(context_id, store_request(1, ct.sop_class_uid, ct.sop_instance_uid, None))
    conversation.send(conversation.data_pieces(context_id, memoryview(ct.content)[:30_000], is_last=False))
    assert eventually(ours.temporary)
    socket.socket(fileno=conversation.wire._sock.detach()).close()
    eventually(lambda: ours.listener.associations == 0)
    assert ours.temporary() == []
    assert (ours.begun(), ours.manifests()) == ([], [])


def test_a_key_that_others_can_read_stops_the_start_with_one_line(world: World, tmp_path: Path) -> None:
    key = tmp_path / "open.key"
    key.write_bytes(world.relay.key.read_bytes())
    key.chmod(0o640)
    (tmp_path / "dcmrelay.toml").write_text(world.text.replace(str(world.relay.key), str(key)))
    command = [sys.executable, "-m", "dcmrelay", "ingress", "--config", str(tmp_path / "dcmrelay.toml")]
    nowhere = {**os.environ, "DCMRELAY_BROKER_URL": "amqp://nobody:s@127.0.0.1:1/"}
    said = subprocess.run(command, env=nowhere, capture_output=True, text=True, timeout=60, check=False)
    assert said.returncode == 1
    assert said.stderr.splitlines()[-1] == (
        f"dcmrelay ingress: [ingress] key tls.key: {key} can be read by others: chmod 600 {key}"
    )


def test_a_source_may_not_name_a_certificate_that_nobody_asks_for(tmp_path: Path) -> None:
    from shared.errors import ConfigError

    text = RELAY.replace('name = "ct-1"', 'name = "ct-1"\ncertificate = "ct-1.example"')
    with pytest.raises(ConfigError, match=r"source 'ct-1' key certificate: is only shown to a listener with TLS"):
        parse(text, tmp_path)
