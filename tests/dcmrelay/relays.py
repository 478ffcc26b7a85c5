"""Configurations and prepared spools for tests of the command line."""

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shared import owner
from shared.config import Config, load
from shared.errors import DeadLetterClass
from shared.forms import RECEIVED, Form
from shared.outcomes import Done, Held, Later, Outcome
from shared.spool import states
from shared.spool.deliveries import Order, create_delivery, order_to_json
from shared.spool.parts import Instance, Manifest, Part, instance_name, new_part_id, open_part, put_manifest
from shared.spool.spool import Spool
from shared.spool.states import Retry, State
from shared.spool.volume import prepare

STUDY = "1.2.3.4"
NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Said:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


Command = Callable[..., Said]


def commander(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], config: Path) -> Command:
    """Returns a function that runs one `dcmrelay` command in this process, with this configuration."""
    from dcmrelay.cli import main

    def command(*arguments: object) -> Said:
        monkeypatch.setenv("DCMRELAY_CONFIG", str(config))
        monkeypatch.setattr(sys, "argv", ["dcmrelay", *map(str, arguments)])
        monkeypatch.setattr(sys, "excepthook", sys.excepthook)
        capsys.readouterr()
        zone = os.environ.get("TZ")
        with pytest.raises(SystemExit) as ended:
            main()
        if os.environ.get("TZ") != zone:
            os.environ["TZ"] = zone or ""
            if zone is None:
                del os.environ["TZ"]
            time.tzset()
        out, err = capsys.readouterr()
        return Said(int(ended.value.code or 0), out, err)

    return command


def write_config(folder: Path, *, port: int = 0, destination_port: int = 104, more: str = "") -> Path:
    """A configuration with source `ct-1`, destinations `archive` and `reading`, and one route."""
    path = folder / "dcmrelay.toml"
    path.write_text(
        f"""
[relay]
data_dir = "var"
[ingress]
listen = ["127.0.0.1:{port}"]
min_free = "1MB"
[[source]]
name = "ct-1"
ae_title = "CT1"
[[destination]]
name = "archive"
ae_title = "ARCHIVE"
host = "127.0.0.1"
port = {destination_port}
[[destination]]
name = "reading"
ae_title = "READING"
host = "127.0.0.1"
port = {destination_port}
[[route]]
name = "all"
match = {{ source = "ct-1" }}
to = ["archive", "reading"]
{more}
""",
        encoding="utf-8",
    )
    return path


@dataclass
class Prepared:
    """A data folder with parts and deliveries in whatever state a test wants, as of NOW."""

    config: Config
    spool: Spool

    def part(
        self, study: str = STUDY, *, minutes: int = 60, instances: int = 1, source: str = "ct-1", config: str = "0" * 64
    ) -> str:
        """A closed part, opened so many minutes before NOW, that waits for the router."""
        at = NOW - timedelta(minutes=minutes)
        part = Part(
            id=new_part_id(),
            source=source,
            calling_ae_title="CT1",
            called_ae_title="DCMRELAY",
            study_instance_uid=study,
            run="i0",
            opened_at=at,
        )
        open_part(self.spool, part)
        put_manifest(self.spool, part.id, Manifest(instances=tuple(_instance(part.id, k) for k in range(instances))))
        waiting = State(n=0, stage="route", status="waiting", at=at, config=config)
        self.spool.parts.create(part.id, {"source": source}, waiting)
        return part.id

    def routed(self, part: str, *destinations: str, form: Form = RECEIVED) -> list[str]:
        """The part's deliveries, decided and waiting; ids in order."""
        orders = [self._order(part, name, form) for name in destinations]
        decision = {"config": "", "routes": ["all"], "deliveries": [order_to_json(order) for order in orders]}
        self.spool.put_json(f"parts/{part}/decision.json", decision)
        for order in orders:
            create_delivery(self.spool, order, "0" * 64)
        self.settle(part, Done(outcome="routed"))
        return [order.id for order in orders]

    def settle(self, unit: str, outcome: Outcome) -> None:
        """Lets a worker claim a unit and answer so."""
        units = self.spool.units(unit)
        state = units.newest(unit)
        assert state is not None
        claimed = states.claimed(state, owner=owner.this_process(), now=NOW, lease=timedelta(minutes=5), faults=0)
        units.append(unit, claimed)
        units.append(unit, states.settled(claimed, outcome, now=NOW, retry=Retry(), jitter=0))

    def progress(self, unit: str, facts: dict[str, dict[str, str]]) -> None:
        """Lets a worker claim a unit, record these facts, and give it back."""
        units = self.spool.units(unit)
        state = units.newest(unit)
        assert state is not None
        claimed = states.claimed(state, owner=owner.this_process(), now=NOW, lease=timedelta(minutes=5), faults=0)
        advanced = states.advanced(claimed, now=NOW, lease=timedelta(minutes=5), facts=facts)
        for record in (claimed, advanced, states.handed_back(advanced, now=NOW)):
            units.append(unit, record)

    def held(self, unit: str, reason: str = "no route wants it", word: DeadLetterClass = "policy") -> None:
        """Makes a dead letter of a unit."""
        self.settle(unit, Held(reason, word))

    def failed(self, unit: str, reason: str) -> None:
        """Lets a try fail; the unit waits."""
        self.settle(unit, Later(reason))

    def _order(self, part: str, destination: str, form: Form = RECEIVED) -> Order:
        found = self.config.destination(destination)
        assert found is not None
        return Order(
            part=part,
            route="all",
            destination=destination,
            identity=found.identity,
            calling_ae_title="DCMRELAY",
            form=form,
            source="ct-1",
        )


def prepared(folder: Path, **options: int | str) -> Prepared:
    """A new data folder below `folder`, with `dcmrelay.toml` beside it; its clock stands at NOW."""
    config = load(write_config(folder, **options))  # type: ignore[arg-type]
    prepare(config)
    return Prepared(config, Spool(config.relay.data_dir / "spool", clock=lambda: NOW))


def _instance(part: str, index: int) -> Instance:
    sha256 = f"{index:064x}"
    return Instance(
        file=instance_name(part, sha256),
        sha256=sha256,
        offset=0,
        size=1_000_000,
        sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
        sop_instance_uid=f"1.2.3.{index}",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
    )
