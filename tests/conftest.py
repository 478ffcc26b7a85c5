"""Fixtures for every test: a real RabbitMQ (tests/brokers.py)."""

from collections.abc import Iterator

import pytest
import structlog
from hypothesis import settings

pytest_plugins = ["tests.brokers"]

# How long an example takes says how busy the machine is.
settings.register_profile("dcmrelay", deadline=None)
settings.load_profile("dcmrelay")


@pytest.fixture(autouse=True)
def _logs_of_one_test_alone() -> Iterator[None]:
    """Some set logs up as a process does; what pytest captured is closed when the next one begins."""
    yield
    structlog.reset_defaults()
