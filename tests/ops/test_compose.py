"""docker-compose.yml and the Dockerfile, as far as they can be proved without a Docker engine."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared import metrics
from tests.ops.promql import PROJECT

COMPOSE = PROJECT / "docker-compose.yml"
DOCKERFILE = PROJECT / "Dockerfile"
WORKERS = ("ingress", "router", "anonymizer", "janitor", "ledger", "sender")


def development_tool(name: str) -> str:
    """A program that `make setup` installs into the virtual environment."""
    found = shutil.which(name, path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if found is None:
        pytest.skip(f"{name} is not installed; run `make setup`")
    return found


def compose_config(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [
        development_tool("docker-compose"),
        "--file",
        str(COMPOSE),
        "--env-file",
        "/dev/null",
        "config",
        *arguments,
    ]
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", **variables}
    return subprocess.run(command, env=environment, cwd=PROJECT, capture_output=True, text=True, check=False)


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    return loaded


def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = compose()["services"]
    return found


def test_docker_compose_accepts_the_file() -> None:
    answer = compose_config("--quiet", DCMRELAY_SECRETS="/etc/dcmrelay/secrets")
    assert (answer.returncode, answer.stderr) == (0, "")


def test_without_the_folder_of_passwords_compose_refuses_and_says_what_to_set() -> None:
    answer = compose_config("--quiet")
    assert answer.returncode != 0
    assert "DCMRELAY_SECRETS" in answer.stderr
    assert "docs/operations.md" in answer.stderr


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    answer = subprocess.run(
        [development_tool("hadolint"), str(DOCKERFILE)], capture_output=True, text=True, check=False
    )
    assert (answer.returncode, answer.stdout) == (0, "")


@pytest.mark.parametrize("name", services())
def test_a_service_runs_with_as_little_as_it_needs(name: str) -> None:
    service = services()[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] == "unless-stopped"
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_sees_the_one_spool_and_has_time_to_stop(name: str) -> None:
    service = services()[name]
    assert service["command"] == [name]
    assert "spool:/var/lib/dcmrelay" in service["volumes"]
    assert service["stop_grace_period"] == "15s"
    assert service["depends_on"] == {"rabbitmq": {"condition": "service_healthy"}}


@pytest.mark.parametrize("name", ["router", "anonymizer", "janitor", "ledger", "sender"])
def test_a_worker_that_scales_has_no_port_and_no_name_of_its_own(name: str) -> None:
    assert not {"ports", "container_name", "hostname"} & services()[name].keys()


def test_only_dicom_is_open_to_the_network_and_grafana_to_this_machine() -> None:
    published = {name: service["ports"] for name, service in services().items() if "ports" in service}
    assert published == {"ingress": ["11112:11112"], "grafana": ["127.0.0.1:3000:3000"]}
    assert compose()["networks"]["broker"] == {"internal": True}


def test_every_image_of_others_is_pinned() -> None:
    images = [service["image"] for service in services().values() if "build" not in service]
    assert all(re.fullmatch(r"[a-z/]+:v?\d+\.\d+.*", image) for image in images)


def test_no_password_stands_in_the_file() -> None:
    text = COMPOSE.read_text(encoding="utf-8").replace("PASSWORD__FILE", "")
    assert not re.findall(r"(?i)pass(?:word)?\s*[:=]\s*[\"']?\w{3,}", text)


def test_every_file_that_a_service_mounts_is_in_the_project() -> None:
    mounts = [mount.split(":")[0] for service in services().values() for mount in service.get("volumes", ())]
    files = [mount for mount in mounts if mount.startswith("./")]
    assert files
    assert not [name for name in files if not (PROJECT / name).exists()]


def test_the_image_is_built_only_from_files_that_are_there_and_not_ignored() -> None:
    ignored = (PROJECT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    copies = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE.read_text(encoding="utf-8"), re.MULTILINE)
    sources = [source for line in copies for source in line.split()]
    assert not [source for source in sources if not (PROJECT / source).exists()]
    assert not [source for source in sources if f"!{source}" not in ignored and f"!{source}/" not in ignored]


def test_the_image_starts_the_installed_command_as_an_ordinary_user() -> None:
    text = DOCKERFILE.read_text(encoding="utf-8")
    scripts = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    assert re.search(r'^ENTRYPOINT \["(\w+)"\]$', text, re.MULTILINE).group(1) in scripts  # type: ignore[union-attr]
    assert re.findall(r"^USER (\S+)$", text, re.MULTILINE) == ["10001:10001"]


def test_the_image_holds_every_package_of_the_product() -> None:
    build = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]
    text = DOCKERFILE.read_text(encoding="utf-8")
    assert not [name for name in build["targets"]["wheel"]["packages"] if f"COPY {name} {name}\n" not in text]


def test_the_broker_in_compose_speaks_to_prometheus_and_people() -> None:
    plugins = (PROJECT / "ops/compose/enabled_plugins").read_text(encoding="ascii")
    assert plugins == "[rabbitmq_management,rabbitmq_prometheus].\n"


def test_the_health_check_of_the_image_fails_when_nothing_serves_metrics() -> None:
    assert health_check(port=1) != 0


def test_the_health_check_of_the_image_passes_when_a_worker_serves_metrics() -> None:
    server, port = metrics.serve("127.0.0.1", 0)
    try:
        assert health_check(port) == 0
    finally:
        server.shutdown()
        server.server_close()


def health_check(port: int) -> int:
    """Exit code of the image's own health check, run here."""
    code = re.search(r'^ +"(import http.*)"\]$', DOCKERFILE.read_text(encoding="utf-8"), re.MULTILINE)
    assert code
    command = [sys.executable, "-c", code.group(1)]
    return subprocess.run(
        command, env={"DCMRELAY_METRICS_PORT": str(port)}, stderr=subprocess.DEVNULL, check=False
    ).returncode
