"""Prometheus' configurations: valid for Debian's Prometheus, and naming what compose and `up` name."""

from typing import Any

import pytest
import yaml

from tests.ops.promql import PROJECT
from tests.ops.test_compose import WORKERS, services
from tests.peers import run_tool

FOLDER = PROJECT / "ops/prometheus"


def jobs(name: str) -> dict[str, dict[str, Any]]:
    loaded = yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))
    return {job["job_name"]: job for job in loaded["scrape_configs"]}


@pytest.mark.parametrize("name", [file.name for file in sorted(FOLDER.glob("*.yml"))])
def test_promtool_accepts_the_configuration(name: str) -> None:
    answer = run_tool("promtool", "check", "config", FOLDER / name)
    assert answer.returncode == 0, answer.stderr


def test_both_configurations_have_the_same_jobs() -> None:
    assert jobs("prometheus.yml").keys() == jobs("local.yml").keys()


def test_in_compose_every_kind_of_worker_is_found_by_its_service() -> None:
    found = jobs("prometheus.yml")["dcmrelay"]["dns_sd_configs"][0]
    assert found["names"] == list(WORKERS)
    assert {str(found["port"])} == {services()[name]["environment"]["DCMRELAY_METRICS_PORT"] for name in WORKERS}


def test_prometheus_shares_a_network_with_every_target() -> None:
    mine = set(services()["prometheus"]["networks"])
    assert all(mine & set(services()[name]["networks"]) for name in (*WORKERS, "rabbitmq", "grafana"))
