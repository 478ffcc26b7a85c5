"""Two anonymizers instead of one, on work that is CPU: many small instances, no sender that competes for the cores."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pika.adapters.blocking_connection import BlockingChannel

from dcmrelay.private_broker import PrivateBroker
from shared.broker import Publisher, queue_of, topology
from shared.messages import Bell, Ring
from shared.spool.spool import Spool
from tests.bench.rounds import by_turns
from tests.bench.rows import Goal, Row
from tests.bench.sizes import Sizes
from tests.bench.studies import SMALL, study
from tests.consumers.bench import ALL, RELAY, Bench, bench
from tests.peers import tool
from tests.support import eventually

GOAL = Goal(name="two workers instead of one, where the work is CPU", at_least=1.7)
INSTANCES = 100


class Rendering:
    """The same parts, de-identified again and again, under another profile each time.

    Args:
        prepared: the data folder.
        url: of the broker.
        parts: ids.
    """

    def __init__(self, prepared: Bench, url: str, parts: list[str]) -> None:
        self._prepared, self._url, self._parts = prepared, url, parts
        self._profile = 0

    def rate(self, workers: int) -> Callable[[], float]:
        """Instances a second with so many workers, from the first claim to the last record."""

        def run() -> float:
            self._profile += 1
            form = self._prepared.form(f"p{self._profile}")
            deliveries = [self._prepared.delivery(part, form=form) for part in self._parts]
            with ExitStack() as stack:
                publisher = stack.enter_context(_publisher(self._url))
                for _ in range(workers):
                    stack.enter_context(_anonymizer(self._prepared.folder, self._url))
                eventually(lambda: publisher.link.do(_consumers) == workers, 30)
                publisher.ring(Ring(routing_key="render", bell=Bell(unit=unit, n=0)) for unit in deliveries)
                spool = Spool(self._prepared.spool.store.root)
                eventually(lambda: all(_stage(spool, unit) == "send" for unit in deliveries), 300)
            records = [state for unit in deliveries for state in spool.deliveries.history(unit) if state.n]
            taken = max(state.at for state in records) - min(state.at for state in records)
            return len(deliveries) * INSTANCES / taken.total_seconds()

        return run


def scaling(folder: Path, sizes: Sizes) -> Iterator[Row]:
    """The row of two workers against one."""
    place = folder / "scaling"
    place.mkdir()
    profiles = "".join(
        f'[profile.p{k}]\nset_after = {{ InstitutionName = "{k}" }}\n' for k in range(1, 2 * sizes.rounds + 1)
    )
    text = RELAY + ALL + profiles
    (place / "dcmrelay.toml").write_text(text, encoding="utf-8")
    prepared = bench(place, text)
    with _broker(place / "broker") as url:
        rendering = Rendering(prepared, url, _parts(prepared, sizes.render_studies))
        what = f"{sizes.render_studies} studies of {INSTANCES} × {SMALL.name}, de-identified"
        rates = by_turns(what, sizes.rounds, {"one": rendering.rate(1), "two": rendering.rate(2)})
    yield Row(
        section="workers", what=f"{what} by two anonymizers", unit="/s", ours=rates["two"], name="one",
        theirs=rates["one"], better="higher", goal=GOAL,
    )  # fmt: skip


def _parts(prepared: Bench, count: int) -> list[str]:
    return [prepared.part(*study(prepared.folder, SMALL, INSTANCES)) for _ in range(count)]


def _stage(spool: Spool, unit: str) -> str:
    state = spool.deliveries.newest(unit)
    assert state is None or state.status != "held", state.reason
    return "" if state is None else state.stage


@contextmanager
def _broker(folder: Path) -> Iterator[str]:
    tool("rabbitmq-server")
    node = PrivateBroker(folder)
    node.start()
    try:
        yield node.url
    finally:
        node.stop(seconds=0)


@contextmanager
def _publisher(url: str) -> Iterator[Publisher]:
    publisher = Publisher(url, topology(("archive", "reading")), "bench")
    publisher.start()
    publisher.link.wait_connected(10)
    try:
        yield publisher
    finally:
        publisher.stop()


def _consumers(channel: BlockingChannel) -> int:
    """How many anonymizers are connected."""
    return int(channel.queue_declare(queue_of("render"), passive=True).method.consumer_count)


@contextmanager
def _anonymizer(folder: Path, url: str) -> Iterator[None]:
    with (folder / "anonymizer.log").open("ab") as out:
        worker = subprocess.Popen(
            [sys.executable, "-m", "dcmrelay", "anonymizer", "--config", folder / "dcmrelay.toml"],
            env={**os.environ, "DCMRELAY_BROKER_URL": url}, stdout=out, stderr=out,
        )  # fmt: skip
    try:
        yield
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.wait(20)
