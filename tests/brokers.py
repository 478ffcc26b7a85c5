"""A real RabbitMQ for the tests: one private node per session, one fresh virtual host per test."""

import base64
import itertools
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from dcmrelay.private_broker import PrivateBroker
from tests.peers import tool

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def shared_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateBroker]:
    """The session's node; never stopped or erased by a test."""
    yield from _running_node(tmp_path_factory.mktemp("broker"))


@pytest.fixture
def broker_url(shared_broker: PrivateBroker) -> Iterator[str]:
    """The AMQP URL of a virtual host that only this test uses; deleted, with its connections, afterwards."""
    name = f"test-{next(_numbers)}"
    management(shared_broker, "PUT", f"/api/vhosts/{name}")
    yield shared_broker.url + name
    management(shared_broker, "DELETE", f"/api/vhosts/{name}")


@pytest.fixture
def broker_node(tmp_path: Path) -> Iterator[PrivateBroker]:
    """A running node of this test's own, to kill, stop or erase; takes about 6 s."""
    yield from _running_node(tmp_path / "broker")


def management(node: PrivateBroker, method: str, path: str, body: bytes = b"{}") -> bytes:
    """Returns the answer of the node's management interface to one request; an HTTP error raises."""
    settings = node.settings
    login = base64.b64encode(f"{settings.user}:{settings.password}".encode()).decode()
    headers = {"Authorization": f"Basic {login}", "Content-Type": "application/json"}
    request = urllib.request.Request(
        f"http://127.0.0.1:{settings.management_port}{path}",
        data=None if method == "GET" else body, headers=headers, method=method,
    )  # fmt: skip
    with urllib.request.urlopen(request, timeout=20) as answer:
        return bytes(answer.read())


def _running_node(directory: Path) -> Iterator[PrivateBroker]:
    tool("rabbitmq-server")
    node = PrivateBroker(directory, management=True)
    node.start()
    try:
        yield node
    finally:
        node.stop(seconds=0)
