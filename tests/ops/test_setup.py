"""Installation: what `make` offers, what is locked, and what the setup scripts say when they cannot go on."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
LOCK_FILES = ("requirements.txt", "requirements-dev.txt", "requirements-build.txt")


def test_make_alone_lists_at_most_twelve_targets_with_a_sentence_each() -> None:
    text = subprocess.run(["make", "--no-print-directory", "-C", PROJECT], capture_output=True, text=True, check=True)
    lines = text.stdout.splitlines()
    assert 5 <= len(lines) <= 12
    assert all(re.fullmatch(r"  make [a-z]+ +\S.{10,}", line) for line in lines)


@pytest.mark.parametrize("name", LOCK_FILES)
def test_a_lock_file_has_a_hash_for_every_package_and_no_address(name: str) -> None:
    text = (PROJECT / name).read_text(encoding="utf-8")
    packages = re.findall(r"^[a-z0-9._-]+==\S+ \\\n    --hash=sha256:[0-9a-f]{64}", text, flags=re.MULTILINE)
    assert len(packages) == len(re.findall(r"^\w", text, flags=re.MULTILINE)) > 0
    assert not re.search(r"://|--index|--extra-index|--find-links|--trusted-host", text)


def test_what_the_relay_imports_is_locked_alike_for_running_and_for_testing() -> None:
    run, dev = (set(_locked(name).items()) for name in LOCK_FILES[:2])
    wanted = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    assert {re.split(r"[\s<>=!~;\[]", line)[0] for line in wanted} <= {name for name, _ in run}
    assert run <= dev


def test_without_apt_setup_says_in_one_line_what_to_install_by_hand(tmp_path: Path) -> None:
    said = _tools(tmp_path, "dcmtk-of-tomorrow", commands=())
    assert said.returncode == 1
    assert said.stderr == (
        "tools: apt-get is not here, so this is no Debian or Ubuntu. Install by hand: dcmtk-of-tomorrow\n"
    )


def test_a_tool_that_the_system_has_is_not_fetched(tmp_path: Path) -> None:
    said = _tools(tmp_path, "dcmtk", commands=("storescp",))
    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")
    assert not (tmp_path / "tools").exists()


def _tools(tmp_path: Path, package: str, commands: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    """Runs a copy of the setup script on a system that has a few basic commands, and `commands`."""
    script = tmp_path / "ops/setup/tools"
    programs = tmp_path / "bin"
    script.parent.mkdir(parents=True)
    programs.mkdir()
    shutil.copy(PROJECT / "ops/setup/tools", script)
    for name in ("sh", "dirname", "mkdir", "flock"):
        (programs / name).symlink_to(str(shutil.which(name)))
    for name in commands:
        (programs / name).symlink_to("/bin/true")
    environment = {"PATH": str(programs), "DCMRELAY_TOOLS": str(tmp_path / "tools/root")}
    return subprocess.run([script, package], env=environment, capture_output=True, text=True, check=False)


def _locked(name: str) -> dict[str, str]:
    return dict(
        re.findall(r"^([a-z0-9._-]+)==(\S+) ", (PROJECT / name).read_text(encoding="utf-8"), flags=re.MULTILINE)
    )
