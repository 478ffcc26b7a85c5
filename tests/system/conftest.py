"""Fixtures of the system tests: a virtual host of the session's broker per module; DCMTK without Nagle's delay."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dcmrelay.private_broker import PrivateBroker
from tests.brokers import management


@pytest.fixture(scope="session", autouse=True)
def dcmtk_does_not_delay() -> Iterator[None]:
    """DCMTK leaves Nagle's algorithm on unless told: 40 ms for each of its small answers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TCP_NODELAY", "1")
        yield


@pytest.fixture(scope="module")
def module_broker(shared_broker: PrivateBroker, request: pytest.FixtureRequest) -> Iterator[str]:
    """AMQP URL of a virtual host for one module's relay."""
    name = Path(str(request.path)).stem
    management(shared_broker, "PUT", f"/api/vhosts/{name}")
    yield shared_broker.url + name
    management(shared_broker, "DELETE", f"/api/vhosts/{name}")
