"""`reconcile` says whether every instance is somewhere, and exits 1 with a line for what is not."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dcmrelay.cli import app
from shared.accounts.counting import WORDS
from tests.consumers.bench import ALL, RELAY, Bench, bench, data_set, data_sets


@pytest.fixture
def relay(tmp_path: Path) -> Bench:
    (tmp_path / "dcmrelay.toml").write_text(RELAY + ALL, encoding="utf-8")
    relay = bench(tmp_path)
    relay.part(*data_sets(3))
    return relay


def reconcile(relay: Bench, *options: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["reconcile", "--config", str(relay.folder / "dcmrelay.toml"), *options])
    return result.exit_code, result.stdout


def test_a_relay_whose_instances_are_all_somewhere_reconciles(relay: Bench) -> None:
    code, out = reconcile(relay)
    assert code == 0
    assert "Everything is explained." in out


def test_what_is_unexplained_is_named_and_the_exit_code_says_so(relay: Bench) -> None:
    part = relay.part(data_set(9), study="1.9")
    relay.spool.store.path(relay.manifest(part).instances[0].file).unlink()
    code, out = reconcile(relay)
    assert code == 1
    assert f"! part {part[:10]}: 1 instance: their files are gone from the spool: `dcmrelay show {part[:10]}`" in out


def test_one_day_is_reconciled_in_the_relays_time_zone(relay: Bench) -> None:
    for day, received in (("2026-03-04", 3), ("2026-03-05", None)):
        code, out = reconcile(relay, "--day", day, "--json")
        said = json.loads(out)
        assert (code, said["explained"]) == (0, True)
        assert [row["received"] for row in said["sources"]] == ([received] if received else [])
        assert all(set(WORDS) <= set(row) for row in said["destinations"])
