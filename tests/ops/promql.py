"""Reads what PromQL expressions name: metrics and labels. Enough for our own queries, not the whole language."""

import json
import re
from pathlib import Path
from typing import Any

from shared import metrics

PROJECT = Path(__file__).resolve().parents[2]
DASHBOARDS = tuple(sorted((PROJECT / "ops/grafana/dashboards").glob("*.json")))
# Labels that Prometheus or our scrape configuration adds.
TARGET_LABELS = {"job", "instance", "worker", "le"}
_WORDS = {"by", "on", "or", "and", "unless", "ignoring", "without"}


def queries(dashboard: Path) -> list[tuple[str, str]]:
    """Title of the panel and expression, for every query of a dashboard, variables substituted."""
    panels: list[dict[str, Any]] = json.loads(dashboard.read_text(encoding="utf-8"))["panels"]
    return [(panel["title"], _substituted(target["expr"])) for panel in panels for target in panel.get("targets", ())]


def named_metrics(expr: str) -> set[str]:
    """Names in an expression that are neither functions, keywords, labels nor text."""
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]', "", re.sub(r'"[^"]*"', "", expr))
    bare = re.sub(r"\b(by|on|without|ignoring)\s*\([^)]*\)", "", bare)
    return set(re.findall(r"[a-z_:][a-z0-9_:]*\b(?!\s*\()", bare)) - _WORDS


def named_labels(expr: str) -> set[str]:
    """Labels that an expression selects or groups by."""
    groups = re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", expr)
    selected = re.findall(r"([a-z_]+)\s*(?:=~|!~|!=|=)\s*\"", expr)
    return {label.strip() for group in groups for label in group.split(",") if label.strip()} | set(selected)


def declared() -> dict[str, tuple[str, ...]]:
    """Every sample name that `shared.metrics` can export, with its labels."""
    return {name: labels for metric in declarations() for name, labels in _samples(metric)}


def declarations() -> list[Any]:
    """The metric objects of `shared.metrics`, in their order there."""
    return [value for value in vars(metrics).values() if hasattr(value, "describe") and hasattr(value, "_labelnames")]


def exported_name(metric: Any) -> str:
    """The name as it stands in the source: counters end with `_total`."""
    described = metric.describe()[0]
    return f"{described.name}_total" if described.type == "counter" else str(described.name)


def _samples(metric: Any) -> list[tuple[str, tuple[str, ...]]]:
    name, labels = exported_name(metric), tuple(metric._labelnames)
    if metric.describe()[0].type != "histogram":
        return [(name, labels)]
    return [(f"{name}_bucket", (*labels, "le")), (f"{name}_sum", labels), (f"{name}_count", labels)]


def _substituted(expr: str) -> str:
    return expr.replace("$__rate_interval", "1m").replace("$destination", ".*")
