"""Beyond file descriptor 1,024, where select() ends: what comes in, what goes out, what the broker is told.

The ingress is started with so many descriptors open already that each of its own has a higher number, as it would have
with that many associations.
"""

import os
import resource
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.certificates import Authority, Certificate, authority, dcmtk_tls, destination_tls, ingress_tls
from tests.consumers.bench import bench, data_sets
from tests.consumers.sender.peer import after, aimed, sender
from tests.peers import store_scp, storescu
from tests.producers.ingress.running import IngressProcess, ingress_process, made
from tests.shared.broker.ends import ROUTE, publishing
from tests.shared.dimse.pdus import associate_rq, connected, pdu
from tests.support import eventually

MANY, ROOM = 1100, 2000
CROWDED = f"""
import os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, ({ROOM}, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
for _ in range({MANY}):
    os.set_inheritable(os.open(os.devnull, os.O_RDONLY), True)
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("tls") / "ca")


@pytest.fixture(scope="module")
def relay(ca: Authority) -> Certificate:
    return ca.issue("relay", "IP:127.0.0.1")


def sockets_of(ours: IngressProcess) -> list[int]:
    """Numbers of the descriptors that are sockets, and of those that watch them."""
    opened = {int(entry.name): str(entry.readlink()) for entry in Path(f"/proc/{ours.pid}/fd").iterdir()}
    return [number for number, what in opened.items() if what.startswith(("socket:", "anon_inode:")) and number > 2]


def test_an_ingress_beyond_descriptor_1024_stores_lets_wait_and_tells_the_router(
    tmp_path: Path, broker_url: str, ca: Authority, relay: Certificate
) -> None:
    wrapper, more = (sys.executable, "-c", CROWDED), ingress_tls(ca, relay)
    first, second = (made(tmp_path, f"{n}.dcm", SOPInstanceUID=f"1.2.3.{n}") for n in range(2))
    with ingress_process(tmp_path, *wrapper, more=more, broker_url=broker_url) as ours:
        assert min(sockets_of(ours)) > 1024
        with connected(ours.port, associate_rq()[:100]) as waiting:
            plain = storescu(ours.port, first, calling="CT1")
            assert plain.returncode == 0, plain.stderr
            over_tls = storescu(ours.tls_port, second, calling="CT1", options=dcmtk_tls(ca, ca.issue("ct-1")))
            assert over_tls.returncode == 0, over_tls.stderr
            waiting.sendall(associate_rq()[100:])
            assert pdu(waiting)[0] == 2
        eventually(lambda: closed_instances(ours) == {"1.2.3.0", "1.2.3.1"})
        with publishing(broker_url) as publisher:
            eventually(lambda: publisher.depth(ROUTE) == len(ours.manifests()))


def closed_instances(ours: IngressProcess) -> set[str]:
    """SOP Instance UIDs in closed parts: one part, or two when the machine was slow."""
    return {it.sop_instance_uid for manifest in ours.manifests() for it in manifest.instances}


@pytest.fixture
def _crowded() -> Iterator[None]:
    """This process has no descriptor left below 1,024."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, before)
        resource.setrlimit(resource.RLIMIT_NOFILE, (ROOM, before[1]))
        while (number := os.open(os.devnull, os.O_RDONLY)) <= MANY:
            stack.callback(os.close, number)
        os.close(number)
        yield


@pytest.mark.parametrize("over", ["plain", "TLS"])
def test_a_sender_beyond_descriptor_1024_delivers(
    tmp_path: Path, ca: Authority, relay: Certificate, over: str, request: pytest.FixtureRequest
) -> None:
    ours = bench(tmp_path)
    archive = ca.issue("archive", "IP:127.0.0.1")
    options, more = (dcmtk_tls(ca, archive), destination_tls(ca, relay)) if over == "TLS" else ((), "")
    with store_scp(tmp_path, *options) as scp:
        aimed(ours, scp.port, more)
        request.getfixturevalue("_crowded")
        assert after(ours, ours.delivery(ours.part(*data_sets(3))), sender(ours)).outcome == "delivered"
        assert len(scp.files()) == 3
