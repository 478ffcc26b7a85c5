"""Dashboards use only what is declared, say what to do, and are what their scripts write."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.ops.promql import DASHBOARDS, PROJECT, TARGET_LABELS, declared, named_labels, named_metrics, queries

QUERIES = [pytest.param(*query, id=f"{file.stem}: {query[0]}") for file in DASHBOARDS for query in queries(file)]
RABBITMQ_LABELS = {"queue"}


@pytest.mark.parametrize(("expr", "names"), [
    ('sum by (le) (rate(a_bucket{b="c"}[5m])) or on() vector(0)', {"a_bucket"}),
    ('label_replace(0 * max by (d) (e), "f", "g", "", "")', {"e"}),
    ('1 - max(up{job="h"})', {"up"}),
])  # fmt: skip
def test_the_names_of_metrics_are_found_in_an_expression(expr: str, names: set[str]) -> None:
    assert named_metrics(expr) == names


@pytest.mark.parametrize(("title", "expr"), QUERIES)
def test_a_query_uses_only_declared_metrics(title: str, expr: str) -> None:
    unknown = {name for name in named_metrics(expr) if not name.startswith("rabbitmq_") and name != "up"} - set(
        declared()
    )
    assert not unknown, f"{title}: not in shared/metrics.py"


@pytest.mark.parametrize(("title", "expr"), QUERIES)
def test_a_query_uses_only_labels_that_its_metrics_have(title: str, expr: str) -> None:
    having = TARGET_LABELS | {label for name in named_metrics(expr) for label in declared().get(name, RABBITMQ_LABELS)}
    assert not named_labels(expr) - having, title


def test_every_declared_metric_is_on_a_dashboard() -> None:
    shown = {name for file in DASHBOARDS for _, expr in queries(file) for name in named_metrics(expr)}
    # Prometheus' own `up` says it for compose as well.
    left_out = {"dcmrelay_worker_up"}
    assert not {name for name in declared() if not name.endswith(("_sum", "_count"))} - shown - left_out


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_a_dashboard_file_is_what_its_script_writes(file: Path) -> None:
    command = [sys.executable, "-m", f"ops.grafana.{file.stem}", "--print"]
    written = subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, text=True).stdout
    assert file.read_text(encoding="utf-8") == written, f"run {' '.join(command[1:-1])} and commit the file"


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_every_panel_says_what_it_shows_and_what_to_do(file: Path) -> None:
    panels = json.loads(file.read_text(encoding="utf-8"))["panels"]
    assert not [panel["title"] for panel in panels if panel["type"] != "row" and len(panel.get("description", "")) < 40]


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_panels_fill_the_grid_without_overlap(file: Path) -> None:
    panels = json.loads(file.read_text(encoding="utf-8"))["panels"]
    cells = [
        (x, y)
        for grid in (panel["gridPos"] for panel in panels)
        for x in range(grid["x"], grid["x"] + grid["w"])
        for y in range(grid["y"], grid["y"] + grid["h"])
    ]
    assert len(cells) == len(set(cells))
    assert {x for x, _ in cells} == set(range(24))


def test_every_panel_asks_the_provisioned_data_source() -> None:
    provisioned = yaml.safe_load((PROJECT / "ops/grafana/provisioning/datasources/prometheus.yml").read_text("utf-8"))
    panels = [panel for file in DASHBOARDS for panel in json.loads(file.read_text(encoding="utf-8"))["panels"]]
    asked = {target["datasource"]["uid"] for panel in panels for target in panel.get("targets", ())}
    assert asked == {provisioned["datasources"][0]["uid"]}
