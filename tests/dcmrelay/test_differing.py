"""Which recent studies would go otherwise under another configuration."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from consumers.router.handler import Router
from tests.consumers.bench import RELAY, Bench, bench, data_set
from tests.dcmrelay.relays import Command

ROUTES = """
[[route]]
name = "outside"
match = { source = "ct-1", Modality = "CT" }
profile = "basic"
to = ["reading"]
[[route]]
name = "rest"
match = { source = "ct-1" }
to = ["archive"]
"""
OLD = RELAY + ROUTES
HOURS = """
[calendar.office]
open = ["mon-fri 08:00-10:00"]
[[route]]"""
BY_CLOCK = OLD.replace("[ingress]", 'timezone = "UTC"\n[ingress]').replace("\n[[route]]", HOURS, 1)
BY_CLOCK = BY_CLOCK.replace('to = ["reading"]', 'one_of = [{ destination = "reading", during = "office" }]')


@pytest.fixture
def relay(tmp_path: Path) -> Bench:
    (tmp_path / "old.toml").write_text(OLD, encoding="utf-8")
    relay = bench(tmp_path, OLD)
    for modality, study in (("CT", "1.2.1"), ("MR", "1.2.2")):
        relay.look(relay.part(data_set(Modality=modality, study=study), study=study), Router(relay.spool).handle)
        relay.now += timedelta(hours=1)
    return relay


@pytest.mark.parametrize(
    ("new", "changed"),
    [
        (OLD, []),
        (OLD + '[[destination]]\nname = "third"\nae_title = "THIRD"\nhost = "127.0.0.1"\nport = 107\n', []),
        (
            OLD.replace('to = ["reading"]', 'to = ["reading", "archive"]'),
            ["to archive, de-identified (basic) (route outs"],
        ),
        (OLD.replace('to = ["reading"]', 'optional = ["reading"]'), ["reading (route outside): optional"]),
        (OLD.replace('profile = "basic"\n', ""), ["reading (route outside): as received instead of de-identified (b"]),
        (OLD.replace("port = 105", "port = 106"), ["reading (route outside): another host, port, AE title or TLS"]),
        (
            OLD.replace("[profile.basic]", '[profile.basic]\noptions = ["retain-device-identity"]'),
            ["reading (route outside): de-identified (basic), but otherwise: the profile"],
        ),
        (OLD.replace('Modality = "CT"', 'Modality = "US"'), ["not to reading, de-identified (basic) (route outside)"]),
        (
            OLD.replace('match = { source = "ct-1" }', 'match = { source = "mr-1" }'),
            ["held: no route wants it", "not to archive, as received (route rest)"],
        ),
        (
            OLD.replace('name = "ct-1"', 'name = "ct-2"').replace('source = "ct-1"', 'source = "ct-2"'),
            [],
        ),
        (
            OLD.replace('ae_title = "CT1"', 'ae_title = "CT9"').replace('"ct-1"', '"ct-9"'),
            ["held: refused: no source is"] * 2,
        ),
        (BY_CLOCK, ["reading (route outside): not before Thu 2026-03-05 08:00"]),
    ],
    ids=range(12),
)
def test_what_would_go_otherwise_is_named(relay: Bench, command: Command, new: str, changed: list[str]) -> None:
    (relay.folder / "new.toml").write_text(new, encoding="utf-8")
    before = {path: path.read_bytes() for path in relay.folder.rglob("*") if path.is_file()}
    said = command("diff", relay.folder / "old.toml", relay.folder / "new.toml", "--json")
    found = json.loads(said.out)
    lines = [line for row in found["changed"] for line in row["changes"]]
    assert found["parts"] == 2
    assert len(lines) == len(changed), lines
    assert all(line.startswith(start) for line, start in zip(lines, changed, strict=True)), lines
    assert said.code == bool(changed)
    assert "CANARY" not in said.out
    assert {path: path.read_bytes() for path in relay.folder.rglob("*") if path.is_file()} == before


def test_only_so_many_or_since_a_moment_are_looked_at(relay: Bench, command: Command) -> None:
    (relay.folder / "new.toml").write_text(OLD.replace('to = ["archive"]', 'optional = ["archive"]'), encoding="utf-8")
    files = relay.folder / "old.toml", relay.folder / "new.toml"
    assert "1 of 1 study part would go otherwise" in command("diff", *files, "--studies", "1").out
    assert "1 of 1 study part would" in command("diff", *files, "--since", "2026-03-04T12:30+00:00").out
    assert "archive (route rest): optional" in command("diff", *files).out
    assert "write recent" in command("diff", *files, "--studies", "some").err
    assert "does not exist" in command("diff", files[0], relay.folder / "none.toml").err
