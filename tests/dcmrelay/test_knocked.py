"""`knocked`: who was refused, and a [[source]] that lets them in when it is pasted."""

import json
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shared.config import load
from shared.spool.knocks import Knock, remember
from tests.dcmrelay.relays import Command, Prepared


def knock(relay: Prepared, **changes: object) -> None:
    """Lets somebody be refused, just now unless said otherwise."""
    at = datetime.now(UTC)
    facts: dict[str, object] = {
        "calling_ae_title": "NEW_CT",
        "called_ae_title": "DCMRELAY",
        "host": "10.1.2.3",
        "fingerprint": "",
        "why": "calling",
        "first": at,
        "last": at,
        "times": 3,
    }
    remember(relay.spool, Knock(**{**facts, **changes}))  # type: ignore[arg-type]


def test_nobody_refused_is_said_so(relay: Prepared, command: Command) -> None:
    assert command("knocked").out == "Nobody was refused whom the configuration does not let in.\n"
    assert json.loads(command("knocked", "--json").out) == []


@pytest.mark.parametrize(
    ("changes", "source"),
    [
        ({}, {"name": "new-ct", "ae_title": "NEW_CT", "hosts": ["10.1.2.3"]}),
        ({"calling_ae_title": "ct-1"}, {"name": "ct-1-2", "ae_title": "ct-1", "hosts": ["10.1.2.3"]}),
        (
            {"calling_ae_title": "CT1", "called_ae_title": "OLD", "host": "fe80::1"},
            {"name": "ct1", "ae_title": "CT1", "hosts": ["fe80::1"], "called": ["OLD"]},
        ),
        (
            {"calling_ae_title": 'A"B'},
            {"name": "a-b", "ae_title": 'A"B', "hosts": ["10.1.2.3"]},
        ),
    ],
)
def test_what_is_pasted_lets_the_caller_in(
    relay: Prepared, command: Command, tmp_path: Path, changes: dict[str, str], source: dict[str, object]
) -> None:
    knock(relay, **changes)
    (row,) = json.loads(command("knocked", "--json").out)
    assert tomllib.loads(row["source"]) == {"source": [source]}
    said = command("knocked")
    assert said.code == 0
    assert row["source"] in said.out
    assert row["times"] == 3
    path = tmp_path / "dcmrelay.toml"
    path.write_text(path.read_text().replace("[[route]]", f"{row['source']}\n[[route]]", 1))
    assert [it.name for it in load(path).sources] == ["ct-1", source["name"]]
    assert json.loads(command("knocked", "--json").out) == []


def test_who_came_by_tls_is_let_in_by_the_certificate(relay: Prepared, command: Command) -> None:
    knock(relay, fingerprint="sha256:" + "a" * 64)
    (row,) = json.loads(command("knocked", "--json").out)
    assert tomllib.loads(row["source"])["source"][0]["certificate"] == ["sha256:" + "a" * 64]


@pytest.mark.parametrize("title", ["", "?[2J", "*", "A\\B"])
@pytest.mark.parametrize("key", ["calling_ae_title", "called_ae_title"])
def test_a_title_that_cannot_be_configured_is_said_so(relay: Prepared, command: Command, key: str, title: str) -> None:
    knock(relay, **{key: title})
    (row,) = json.loads(command("knocked", "--json").out)
    assert row["source"].startswith("# ")
    assert tomllib.loads(row["source"]) == {}


def test_who_knocked_long_ago_is_not_listed_and_the_latest_comes_first(relay: Prepared, command: Command) -> None:
    now = datetime.now(UTC)
    for days in (8, 1, 0):
        knock(relay, calling_ae_title=f"DAY{days}", last=now - timedelta(days=days))
    listed = json.loads(command("knocked", "--json").out)
    assert [row["calling_ae_title"] for row in listed] == ["DAY0", "DAY1"]
