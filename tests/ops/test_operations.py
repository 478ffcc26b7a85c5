"""docs/operations.md names what there is, and the sample configuration is one."""

from pathlib import Path

from shared.config import load, unbuilt_in, warnings_of
from tests.ops.promql import PROJECT, declarations, exported_name
from tests.ops.test_compose import services


def metric_rows() -> list[str]:
    return [
        f"| `{exported_name(metric)}` | {metric.describe()[0].type} | {', '.join(metric._labelnames) or '–'} "
        f"| {metric.describe()[0].documentation} |"
        for metric in declarations()
    ]


def test_the_page_lists_exactly_the_declared_metrics_in_their_order() -> None:
    page = (PROJECT / "docs/operations.md").read_text(encoding="utf-8").splitlines()
    assert [line for line in page if line.startswith("| `dcmrelay_")] == metric_rows()


def test_the_sample_configuration_loads_without_a_warning() -> None:
    config = load(PROJECT / "ops/compose/dcmrelay.toml")
    assert (tuple(unbuilt_in(config)), tuple(warnings_of(config))) == ((), ())


def test_the_sample_configuration_fits_the_compose_file() -> None:
    config, ingress = load(PROJECT / "ops/compose/dcmrelay.toml"), services()["ingress"]
    assert f"spool:{config.relay.data_dir}" in ingress["volumes"]
    assert config.broker.password_file == Path("/run/secrets") / ingress["secrets"][0]
    assert config.broker.url == "amqp://dcmrelay@rabbitmq:5672/"
    assert {f"{address.port}:{address.port}" for address in config.ingress.listen} == set(ingress["ports"])
