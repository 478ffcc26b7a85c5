"""The fault campaign's short form: one relay, one load, some faults of most kinds, and every instance accounted for."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.campaign.report import table
from tests.campaign.volume import can_mount
from tests.peers import tool
from tests.system.relay import PROJECT

# Its network cuts are short ones.
SEED = "1"


@pytest.mark.timeout(400)
def test_whatever_breaks_nothing_acknowledged_is_lost_damaged_or_misdirected(tmp_path: Path) -> None:
    if not can_mount():
        pytest.skip("network namespaces and loop mounts need root")
    for name in ("rabbitmq-server", "storescp", "strace"):
        tool(name)
    results = tmp_path / "results.jsonl"
    words = ("run", str(results), "--kinds", "medley", "--trials", "1", "--seed", SEED)
    ended = subprocess.run(
        [sys.executable, "-m", "tests.campaign", *words], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    [row] = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
    assert (ended.returncode, row.get("failed")) == (0, None), ended.stderr
    assert row["acknowledged"] > 20
    assert row["arrived"] >= row["acknowledged"]
    assert {"kills", "network_cuts", "queues_full", "broker_alarms", "disk_full_blocks", "power_cuts"} <= set(
        row["faults"]
    )
    assert (row["lost"], row["corrupt"], row["wrong_form"], row["wrong_place"], row["manual"]) == (0, 0, 0, 0, 0)
    assert row["unexplained"] == 0
    assert (row["faults"]["image_lost"], row["faults"]["image_damaged"]) == (0, 0)
    assert "| medley | 1 |" in table([row])
