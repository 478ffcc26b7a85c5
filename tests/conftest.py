"""Fixtures for every test: a real RabbitMQ (tests/brokers.py)."""

from hypothesis import settings

pytest_plugins = ["tests.brokers"]

# How long an example takes says how busy the machine is.
settings.register_profile("dcmrelay", deadline=None)
settings.load_profile("dcmrelay")
