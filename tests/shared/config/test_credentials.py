from pathlib import Path

import pytest

from shared.config import broker_url, parse
from shared.errors import ConfigError
from tests.shared.config.examples import ROUTE, SMALL, small

BROKER = '[broker]\nurl = "amqps://relay@rabbit.example:5671/town"\npassword_file = "password"\n'


def test_without_a_broker_in_the_file_there_is_no_url() -> None:
    assert broker_url(small(), {}) is None


def test_the_password_comes_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("s3cret/@\n")
    url = broker_url(parse(BROKER + SMALL, tmp_path), {})
    assert url == "amqps://relay:s3cret%2F%40@rabbit.example:5671/town"


def test_the_password_in_the_environment_wins_over_its_file(tmp_path: Path) -> None:
    url = broker_url(parse(BROKER + SMALL, tmp_path), {"DCMRELAY_BROKER_PASSWORD": "other"})
    assert url == "amqps://relay:other@rabbit.example:5671/town"


def test_the_url_in_the_environment_stands_for_all_of_it() -> None:
    assert broker_url(small(), {"DCMRELAY_BROKER_URL": "amqp://a:b@c/d"}) == "amqp://a:b@c/d"


def test_a_url_in_the_environment_that_is_none_is_not_quoted() -> None:
    with pytest.raises(ConfigError) as refused:
        broker_url(small(), {"DCMRELAY_BROKER_URL": "http://a:s3cret@c/d"})
    assert "s3cret" not in str(refused.value)
    assert str(refused.value).startswith("$DCMRELAY_BROKER_URL: is not a URL like")


def test_a_password_without_a_user_is_refused() -> None:
    config = parse('[broker]\nurl = "amqp://rabbit.example/"\n' + SMALL + ROUTE, Path("/srv"))
    with pytest.raises(ConfigError, match="names no user"):
        broker_url(config, {"DCMRELAY_BROKER_PASSWORD": "x"})


@pytest.mark.parametrize(("content", "line"), [(None, "cannot be read"), (b"\n", "is empty"), (b"\xff", "not UTF-8")])
def test_a_password_file_that_cannot_be_used_is_named(tmp_path: Path, content: bytes | None, line: str) -> None:
    if content is not None:
        (tmp_path / "password").write_bytes(content)
    with pytest.raises(ConfigError) as refused:
        broker_url(parse(BROKER + SMALL, tmp_path), {})
    assert f"[broker] key password_file: {tmp_path / 'password'} {line}" in str(refused.value).replace("is not", "not")


def test_the_password_is_in_no_snapshot_and_no_resolved_line(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("s3cret")
    config = parse(BROKER + SMALL, tmp_path)
    broker_url(config, {})
    assert b"s3cret" not in config.snapshot()
    assert "s3cret" not in "".join(config.resolved_lines()) + repr(config)
