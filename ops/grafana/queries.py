"""PromQL as our dashboards write it: what has not happened yet is 0, what nobody measures stays empty.

A counter with labels has no series before its first event; the fallbacks here give it a zero, so that a new, quiet
relay shows curves at 0 and an empty panel means that a worker is not there. Gauges get no fallback: an absent one must
not look good.
"""

from ops.grafana.panels import Query

DESTINATION = 'destination=~"$destination"'
NOT_YET = "none yet"


def total_rate(counter: str, *, per: int = 1) -> str:
    """Return events of a counter, all labels together, in a second; `per=60`: in a minute."""
    return f"{_times(per)}sum(rate({counter}[$__rate_interval])) or on() vector(0)"


def rate_by(counter: str, label: str, *, per: int = 1) -> str:
    """Return events by the values of a label, or of several with commas; `none yet` before the first."""
    rate = f"sum by ({label}) (rate({counter}[$__rate_interval]))"
    return f"{_times(per)}{rate} or on() {_named_zero(label.partition(',')[0])}"


def destination_rate(counter: str, *, per: int = 1) -> str:
    """Return events by destination; a destination without any has a 0."""
    rate = f"sum by (destination) (rate({counter}{{{DESTINATION}}}[$__rate_interval]))"
    return f"{_times(per)}{rate} or on(destination) 0 * {of_destinations('dcmrelay_waiting')}"


def destination_outcomes(counter: str, *, per: int = 1) -> str:
    """Return events by destination and outcome; a destination without any has a 0 called `none yet`."""
    rate = f"sum by (destination, outcome) (rate({counter}{{{DESTINATION}}}[$__rate_interval]))"
    zero = f'label_replace(0 * {of_destinations("dcmrelay_waiting")}, "outcome", "{NOT_YET}", "", "")'
    return f"{_times(per)}{rate} or on(destination) {zero}"


def of_destinations(gauge: str) -> str:
    """Return a gauge of the chosen destinations, once each, however many workers report it."""
    return f"max by (destination) ({gauge}{{{DESTINATION}}})"


def seconds(histogram: str, quantile: float) -> str:
    """Return the time that this share of the observations stayed under; 0 while nothing was observed."""
    rate = f"sum by (le) (rate({histogram}_bucket[$__rate_interval]))"
    return f"histogram_quantile({quantile}, {rate}) >= 0 or on() vector(0)"


def seconds_by(histogram: str, label: str, quantile: float) -> str:
    """Return the same by a label's value."""
    rate = f"sum by (le, {label}) (rate({histogram}_bucket[$__rate_interval]))"
    return f"histogram_quantile({quantile}, {rate}) >= 0 or on() {_named_zero(label)}"


def running(kinds: tuple[str, ...]) -> Query:
    """Return how many workers of each kind answer; 0 also for a kind that Prometheus cannot even find."""
    zeros = " or ".join(f'label_replace(vector(0), "worker", "{kind}", "", "")' for kind in kinds)
    return Query(f'sum by (worker) (up{{job="dcmrelay", worker!="up"}}) or on(worker) ({zeros})', "{{worker}}")


def _named_zero(label: str) -> str:
    return f'label_replace(vector(0), "{label}", "{NOT_YET}", "", "")'


def _times(factor: int) -> str:
    return f"{factor} * " if factor != 1 else ""
