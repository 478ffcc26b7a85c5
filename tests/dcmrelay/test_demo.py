"""The demo, as `make demo` runs it."""

import subprocess
import sys
from pathlib import Path

from dcmrelay import demo
from tests.peers import tool


def test_the_demo_shows_every_study_at_both_receivers_and_what_was_changed(tmp_path: Path) -> None:
    assert tool("rabbitmq-server")
    assert tool("storescp")
    command = [sys.executable, "-m", "dcmrelay.demo", str(tmp_path / "demo")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stderr == ""
    for name in ("archive", "reading"):
        assert f"{name}: 9 of 9 instances" in ended.stdout
        assert len(list((tmp_path / "demo/received" / name).iterdir())) == 9
    name_row = next(line for line in ended.stdout.splitlines() if line.startswith("PatientName"))
    assert "CompressedSamples^CT1" in name_row
    assert "DEMO" in name_row


def test_the_demo_needs_no_download() -> None:
    assert len(demo.studies()) == 9
