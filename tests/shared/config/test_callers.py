import pytest

from shared.config import Config, parse
from tests.shared.config.examples import FOLDER

SOURCES = """
[relay]
ae_title = "RELAY"
[[source]]
name = "ct-anywhere"
ae_title = "CT1"
[[source]]
name = "ct-hospital"
ae_title = "CT1"
hosts = ["10.0.0.0/8", "10.9.0.0/16"]
called = ["*"]
[[source]]
name = "ct-hospital-old"
ae_title = "CT1"
hosts = ["10.0.0.0/8"]
called = ["OLDPACS"]
[[source]]
name = "mr"
ae_title = "MR1"
hosts = ["192.168.1.7", "fd00::/8"]
"""


@pytest.fixture(scope="module")
def config() -> Config:
    return parse(SOURCES, FOLDER)


@pytest.mark.parametrize(
    ("calling", "host", "called", "name"),
    [
        ("CT1", "172.16.0.1", "RELAY", "ct-anywhere"),
        ("CT1", "10.1.1.1", "RELAY", "ct-hospital"),
        ("CT1", "10.1.1.1", "OLDPACS", "ct-hospital-old"),
        ("CT1", "10.9.1.1", "OLDPACS", "ct-hospital"),
        ("CT1 ", "10.1.1.1", " OLDPACS", "ct-hospital-old"),
        ("MR1", "192.168.1.7", "RELAY", "mr"),
        ("MR1", "::ffff:192.168.1.7", "RELAY", "mr"),
        ("MR1", "fd00::7", "RELAY", "mr"),
    ],
)
def test_the_most_specific_source_wins(config: Config, calling: str, host: str, called: str, name: str) -> None:
    source = config.source_of(calling, host, called)
    assert source is not None
    assert source.name == name
    assert config.mismatch_of(calling, host, called) is None


@pytest.mark.parametrize(
    ("calling", "host", "called", "mismatch"),
    [
        ("ct1", "10.1.1.1", "RELAY", "calling"),
        ("", "10.1.1.1", "RELAY", "calling"),
        ("MR1", "192.168.1.8", "RELAY", "host"),
        ("MR1", "not an address", "RELAY", "host"),
        ("MR1", "192.168.1.8", "OTHER", "host"),
        ("MR1", "192.168.1.7", "OTHER", "called"),
        ("CT1", "172.16.0.1", "OLDPACS", "called"),
    ],
)
def test_a_caller_that_is_no_source_learns_what_is_wrong(
    config: Config, calling: str, host: str, called: str, mismatch: str
) -> None:
    assert config.source_of(calling, host, called) is None
    assert config.mismatch_of(calling, host, called) == mismatch
