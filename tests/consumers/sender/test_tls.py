"""A delivery over TLS: to the destination that was meant, or to nobody."""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from shared.dimse import TlsFiles, tls
from shared.errors import StartError
from tests.certificates import Authority, Certificate, authority
from tests.consumers.bench import bench, data_sets
from tests.consumers.sender.peer import Peer, aimed, listening
from tests.consumers.sender.test_sending import after, sender
from tests.peers import store_scp


@dataclass(frozen=True)
class World:
    """The CA that a destination trusts and that vouches for it, and another."""

    ca: Authority
    other: Authority
    archive: Certificate
    ours: Certificate

    def table(self, name: str = "127.0.0.1", ca: Authority | None = None, shown: Certificate | None = None) -> str:
        ours = shown or self.ours
        return (
            f'[destination.tls]\nname = "{name}"\nca = "{(ca or self.ca).ca}"\n'
            f'certificate = "{ours.certificate}"\nkey = "{ours.key}"'
        )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("tls")
    ca, other = authority(folder / "ca"), authority(folder / "other")
    return World(ca, other, ca.issue("archive", "IP:127.0.0.1"), ca.issue("relay"))


def test_a_delivery_reaches_dcmtk_over_mutual_tls(world: World, tmp_path: Path) -> None:
    relay = bench(tmp_path)
    archive = world.archive
    options = ("--enable-tls", str(archive.key), str(archive.certificate), "--add-cert-file", str(world.ca.ca))
    with store_scp(tmp_path, *options) as scp:
        aimed(relay, scp.port, world.table())
        state = after(relay, relay.delivery(relay.part(*data_sets(3))), sender(relay))
        assert len(scp.files()) == 3
    assert (state.status, state.outcome) == ("final", "delivered")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"name": "archive.example"}, "Hostname mismatch"),
        ({"name": f"sha256:{'ab' * 32}"}, "another fingerprint"),
        ({"ca": "other"}, "certificate is not accepted"),
        ({"shown": "stranger"}, "TLS.*alert"),
    ],
)
def test_without_the_right_certificates_nothing_leaves_and_the_delivery_waits(
    world: World, tmp_path: Path, change: dict[str, str], why: str
) -> None:
    relay, peer = bench(tmp_path), Peer()
    archive = TlsFiles(ca=world.ca.ca, certificate=world.archive.certificate, key=world.archive.key)
    known = {"other": world.other, "stranger": world.other.issue("stranger")}
    table = world.table(**{key: known.get(value, value) for key, value in change.items()})  # type: ignore[arg-type]
    with listening(peer, tls.accepting(archive, "--")):
        aimed(relay, peer.port, table)
        state = after(relay, relay.delivery(relay.part(*data_sets(1))), sender(relay))
    assert (state.status, state.tries) == ("waiting", 1)
    assert re.search(why, state.reason)
    assert (peer.got, peer.callers) == ([], [])


def test_a_destination_with_tls_is_never_spoken_to_without(world: World, tmp_path: Path) -> None:
    relay = bench(tmp_path)
    with listening(Peer()) as peer:
        aimed(relay, peer.port, world.table())
        state = after(relay, relay.delivery(relay.part(*data_sets(1))), sender(relay))
    assert "wrong version number" in state.reason
    assert peer.callers == []


def test_a_missing_file_stops_the_start_and_names_the_key_of_the_configuration(world: World, tmp_path: Path) -> None:
    relay = bench(tmp_path)
    aimed(relay, 104, world.table(ca=Authority(tmp_path / "nowhere")))
    with pytest.raises(StartError, match=r"^destination 'archive' key tls\.ca: \S+ cannot be read \(No such file"):
        sender(relay)
