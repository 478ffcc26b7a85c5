"""Debian's Prometheus scrapes a running relay; every query of every panel finds something, before and after studies."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from tests.ops.promql import PROJECT, queries
from tests.ops.test_dashboards import QUERIES
from tests.peers import StoreScp, dcmsend, free_port, peer_environment, store_scp, tool
from tests.support import eventually

OVERVIEW = PROJECT / "ops/grafana/dashboards/overview.json"
CONFIGURATION = """
[relay]
data_dir = "var"

[ingress]
listen = ["127.0.0.1:0"]
quiet = "1s"
quiet_after_release = "1s"
min_free = "1MB"

[[source]]
name = "ct-1"
ae_title = "CT1"
hosts = ["127.0.0.0/8"]

[[destination]]
name = "archive"
ae_title = "ARCHIVE"
host = "127.0.0.1"
port = {archive}

[[destination]]
name = "reading"
ae_title = "READING"
host = "127.0.0.1"
port = {reading}
deidentified_only = true

[profile.reading]
base = "basic"
key_file = "pseudonym.key"

[[route]]
name = "archive"
match = {{ source = "ct-1" }}
to = ["archive"]

[[route]]
name = "reading"
match = {{ source = "ct-1" }}
profile = "reading"
to = ["reading"]
"""


@dataclass(frozen=True)
class Watched:
    """A relay with two receivers, and the Prometheus that scrapes it."""

    folder: Path
    prometheus_port: int
    receivers: tuple[StoreScp, StoreScp]

    def asked(self, expr: str) -> list[float]:
        """Values of an instant query; empty while there is no such series, or nothing in it that could be drawn."""
        url = f"http://127.0.0.1:{self.prometheus_port}/api/v1/query?{urllib.parse.urlencode({'query': expr})}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                result = json.load(answer)["data"]["result"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{expr}: {json.load(error)['error']}") from None
        return [float(series["value"][1]) for series in result if series["value"][1] != "NaN"]

    def send(self, *names: str) -> None:
        """Sends some of pydicom's files as the source `ct-1`."""
        ready = re.search(r"READY: DICOM on 127\.0\.0\.1:(\d+)", (self.folder / "up.log").read_text(encoding="utf-8"))
        assert ready
        sent = dcmsend(int(ready.group(1)), *(Path(str(get_testdata_file(name))) for name in names), calling="CT1")
        assert sent.returncode == 0, sent.stdout


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    tool("rabbitmq-server")
    folder = tmp_path_factory.mktemp("watched")
    with store_scp(folder, ae_title="ARCHIVE") as archive, store_scp(folder, ae_title="READING") as reading:
        text = CONFIGURATION.format(archive=archive.port, reading=reading.port)
        (folder / "dcmrelay.toml").write_text(text, encoding="utf-8")
        running: list[subprocess.Popen[bytes]] = []
        try:
            running.append(_relay(folder))
            running.append(_prometheus(folder, port := free_port()))
            yield Watched(folder, port, (archive, reading))
        finally:
            for program in reversed(running):
                program.send_signal(signal.SIGTERM)
                program.wait(30)


def _relay(folder: Path) -> subprocess.Popen[bytes]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("DCMRELAY_BROKER")}
    with (folder / "up.log").open("wb") as log:
        relay = subprocess.Popen(
            [sys.executable, "-m", "dcmrelay", "up", "--config", folder / "dcmrelay.toml"],
            cwd=PROJECT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    eventually(lambda: relay.poll() is not None or b"READY" in (folder / "up.log").read_bytes(), seconds=40)
    assert relay.poll() is None, (folder / "up.log").read_text(encoding="utf-8")
    return relay


def _prometheus(folder: Path, port: int) -> subprocess.Popen[bytes]:
    """Prometheus with the project's own local.yml, but for the data folder's place and a scrape every second."""
    text = (PROJECT / "ops/prometheus/local.yml").read_text(encoding="utf-8")
    text = text.replace("../../var", str(folder / "var")).replace("scrape_interval: 5s", "scrape_interval: 1s")
    (folder / "prometheus.yml").write_text(text.replace("scrape_timeout: 4s", "scrape_timeout: 1s"), encoding="utf-8")
    options = (f"--storage.tsdb.path={folder / 'tsdb'}", f"--web.listen-address=127.0.0.1:{port}")
    with (folder / "prometheus.log").open("wb") as log:
        prometheus = subprocess.Popen(
            [tool("prometheus"), f"--config.file={folder / 'prometheus.yml'}", *options],
            env=peer_environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    eventually(lambda: prometheus.poll() is not None or b"ready to receive" in (folder / "prometheus.log").read_bytes())
    assert prometheus.poll() is None, (folder / "prometheus.log").read_text(encoding="utf-8")
    return prometheus


def test_prometheus_reaches_every_worker_and_the_broker(watched: Watched) -> None:
    targets = json.loads((watched.folder / "var/run/prometheus-targets.json").read_text(encoding="utf-8"))
    # The broker is scraped twice: for itself, and for its queues.
    assert eventually(lambda: watched.asked("sum(up)") == [len(targets) + 1], seconds=20)
    # ingress, router, anonymizer, janitor, ledger, and a sender for each of the two destinations
    assert sorted(watched.asked(dict(queries(OVERVIEW))["Workers that answer"])) == [1, 1, 1, 1, 1, 2]


@pytest.mark.parametrize(("title", "expr"), QUERIES)
def test_a_panel_of_a_quiet_relay_has_something_to_show(watched: Watched, title: str, expr: str) -> None:
    assert eventually(lambda: watched.asked(expr), seconds=20), title


def test_a_study_is_seen_on_its_way(watched: Watched) -> None:
    watched.send("CT_small.dcm")
    eventually(lambda: all(receiver.files() for receiver in watched.receivers), seconds=20)
    shown = dict(queries(OVERVIEW))
    eventually(lambda: watched.asked("sum(dcmrelay_instances_sent_total)") == [2.0], seconds=20)
    eventually(lambda: watched.asked("sum(dcmrelay_waiting)") == [0.0], seconds=20)
    assert len(watched.asked(shown["Bytes taken"])) == 2
    assert all(watched.asked(expr) for _, expr in queries(OVERVIEW))
