"""Fixtures for every test: a real RabbitMQ (tests/brokers.py)."""

pytest_plugins = ["tests.brokers"]
