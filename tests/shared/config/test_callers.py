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


WITH_TLS = """
[ingress.tls]
listen = ["0.0.0.0:2762"]
certificate = "c"
key = "k"
ca = "a"
[[source]]
name = "anywhere"
ae_title = "CT1"
[[source]]
name = "here"
ae_title = "CT1"
hosts = ["10.0.0.0/8"]
certificate = ["CT-1.Example", "sha256:{ABCD}", "FD00:0::7"]
""".replace("{ABCD}", ":".join(["AB", "CD"] * 16))


@pytest.mark.parametrize(
    ("host", "certificate", "name"),
    [
        ("10.1.1.1", {"ct-1.example"}, "here"),
        ("10.1.1.1", {"other", "sha256:" + "abcd" * 16}, "here"),
        ("10.1.1.1", {"fd00::7"}, "here"),
        ("172.16.0.1", {"other"}, "anywhere"),
        ("172.16.0.1", None, "anywhere"),
    ],
)
def test_a_certificate_makes_a_source(host: str, certificate: set[str] | None, name: str) -> None:
    shown = None if certificate is None else frozenset(certificate)
    source = parse(WITH_TLS, FOLDER).source_of("CT1", host, "DCMRELAY", shown)
    assert source is not None
    assert source.name == name


@pytest.mark.parametrize("certificate", [None, set(), {"ct-1"}, {"xct-1.example"}])
def test_no_wider_source_stands_in_for_one_whose_certificate_is_not_shown(certificate: set[str] | None) -> None:
    shown = None if certificate is None else frozenset(certificate)
    assert parse(WITH_TLS, FOLDER).mismatch_of("CT1", "10.1.1.1", "DCMRELAY", shown) == "certificate"


def test_a_configuration_with_certificates_is_the_same_after_a_snapshot() -> None:
    config = parse(WITH_TLS, FOLDER)
    assert Config.from_snapshot(config.snapshot()) == config
