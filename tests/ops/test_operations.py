"""docs/operations.md names what there is, and the sample configuration is one."""

import re
from pathlib import Path
from typing import Any, get_args

import pytest
import typer

from dcmrelay.cli import app
from dcmrelay.options import offer_no_phi
from shared.config import Occasion, load, parse, unbuilt_in, warnings_of
from tests.consumers.bench import ALL, RELAY
from tests.ops.promql import PROJECT, declarations, exported_name
from tests.ops.test_compose import WORKERS, services

PAGE = (PROJECT / "docs/operations.md").read_text(encoding="utf-8")


def metric_rows() -> list[str]:
    return [
        f"| `{exported_name(metric)}` | {metric.describe()[0].type} | {', '.join(metric._labelnames) or '–'} "
        f"| {metric.describe()[0].documentation} |"
        for metric in declarations()
    ]


def test_the_page_lists_exactly_the_declared_metrics_in_their_order() -> None:
    assert [line for line in PAGE.splitlines() if line.startswith("| `dcmrelay_")] == metric_rows()


def test_the_sample_configuration_loads_without_a_warning() -> None:
    config = load(PROJECT / "ops/compose/config/dcmrelay.toml")
    assert (tuple(unbuilt_in(config)), tuple(warnings_of(config))) == ((), ())


def test_the_sample_configuration_fits_the_compose_file() -> None:
    config, ingress = load(PROJECT / "ops/compose/config/dcmrelay.toml"), services()["ingress"]
    assert f"spool:{config.relay.data_dir}" in ingress["volumes"]
    assert config.broker.password_file == Path("/run/secrets") / ingress["secrets"][0]
    assert config.broker.url == "amqp://dcmrelay@rabbitmq:5672/"
    assert {f"{address.port}:{address.port}" for address in config.ingress.listen} == set(ingress["ports"])


def test_workers_see_the_folder_of_the_configuration_with_what_lies_beside_it() -> None:
    for worker in WORKERS:
        mounted = [it.rpartition(":/")[0::2] for it in services()[worker]["volumes"] if "/etc/dcmrelay" in it]
        assert mounted == [("${DCMRELAY_CONFIG_FOLDER:-./ops/compose/config}", "etc/dcmrelay:ro")]
        assert services()[worker]["environment"]["DCMRELAY_CONFIG"] == "/etc/dcmrelay/dcmrelay.toml"


def typed(text: str) -> set[str]:
    """The commands in backquotes."""
    return {it.strip() for it in re.findall(r"`(dcmrelay [^`]+)`", text)}


@pytest.mark.parametrize(
    "line", sorted(typed(PAGE) | typed((PROJECT / "shared/notices/troubles.py").read_text("utf-8")))
)
def test_a_command_that_the_page_shows_exists_with_its_options(line: str) -> None:
    command: Any = typer.main.get_command(app)
    offer_no_phi(command)
    words = line.split()[1:]
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    assert command.name != "dcmrelay", line
    known = {option for it in command.params for option in it.opts}
    assert [word for word in words if word.startswith("--") and word not in known] == []


def test_the_notifiers_that_the_page_shows_load_and_its_table_lists_every_occasion(tmp_path: Path) -> None:
    (block,) = [it for it in re.findall(r"(?ms)^```toml\n(.*?)^```", PAGE) if "[[notify]]" in it]
    assert [it.kind for it in parse(RELAY + ALL + block, tmp_path).notify] == ["smtp", "webhook", "command"]
    table = PAGE.partition("| `on` |")[2].partition("\n\n")[0]
    assert set(re.findall(r"(?m)^\| `(\w+)`", table)) == set(get_args(Occasion))
