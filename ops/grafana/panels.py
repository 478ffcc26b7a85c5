"""How a panel of our dashboards looks: data source, units, thresholds, legends. What it shows is the dashboard's."""

import json
from string import ascii_uppercase
from typing import NamedTuple, TypeVar

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    BigValueTextMode,
    LegendDisplayMode,
    LegendPlacement,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    Threshold,
    ThresholdsMode,
)

AnyPanel = stat.Panel | timeseries.Panel
Panel = TypeVar("Panel", stat.Panel, timeseries.Panel)

SOURCE = DataSourceRef(type_val="prometheus", uid="dcmrelay-prometheus")
GOOD, LOOK, ACT = "green", "orange", "red"

Steps = tuple[tuple[float | None, str], ...]
ZERO_IS_GOOD: Steps = ((None, GOOD), (1, ACT))
ONE_IS_GOOD: Steps = ((None, ACT), (1, GOOD))

PER_MINUTE = units.CountsPerMinute
PER_SECOND = units.CountsPerSecond


class Query(NamedTuple):
    """A query and what its series are called; `{{label}}` stands for a label's value."""

    expr: str
    legend: str


def stats(
    title: str, what_to_do: str, *queries: Query, width: int, unit: str = units.Short, steps: Steps = ZERO_IS_GOOD
) -> stat.Panel:
    """Return a panel of the newest values, one tile per series.

    Args:
        title: above the panel.
        what_to_do: for the person who looks at it at night.
        queries: one or several.
        width: of 24 columns.
        unit: of Grafana's units.
        steps: from which value which colour; the first from None, that is from below.
    """
    panel = stat.Panel().title(title).description(what_to_do).datasource(SOURCE).span(width).height(5).unit(unit)
    panel.thresholds(_thresholds(steps)).color_mode(BigValueColorMode.BACKGROUND).graph_mode(BigValueGraphMode.NONE)
    panel.text_mode(BigValueTextMode.VALUE_AND_NAME)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(False))
    return _with_targets(panel, queries, instant=True)


def lines(title: str, what_to_do: str, *queries: Query, width: int = 8, unit: str = units.Short) -> timeseries.Panel:
    """Return a panel of curves over time; arguments as for `stats`."""
    panel = timeseries.Panel().title(title).description(what_to_do).datasource(SOURCE).span(width).height(8).unit(unit)
    panel.min(0).line_width(1).fill_opacity(10).show_points(VisibilityMode.NEVER).span_nulls(False)
    panel.legend(
        common.VizLegendOptions()
        .display_mode(LegendDisplayMode.TABLE)
        .placement(LegendPlacement.BOTTOM)
        .show_legend(True)
        .calcs(["lastNotNull", "max"])
    )
    panel.tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    return _with_targets(panel, queries, instant=False)


def text_of(built: dashboard.Dashboard) -> str:
    """Return the JSON that Grafana provisions; the same dashboard always gives the same text."""
    model = built.build()
    for number, panel in enumerate(model.panels or [], start=1):
        panel.id_val = number
    return json.dumps(model, cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def _with_targets(panel: Panel, queries: tuple[Query, ...], *, instant: bool) -> Panel:
    for letter, (expr, legend) in zip(ascii_uppercase, queries, strict=False):
        target = prometheus.Dataquery().expr(expr).legend_format(legend).ref_id(letter).datasource(SOURCE)
        panel.with_target(target.instant() if instant else target.range())
    return panel


def _thresholds(steps: Steps) -> dashboard.ThresholdsConfig:
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps([Threshold(*step) for step in steps])
