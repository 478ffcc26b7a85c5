"""Orthanc sends to the relay and receives from it."""

import json
import urllib.request
from pathlib import Path

from pydicom import dcmread

from tests.peers import Orthanc, orthanc, store_scp
from tests.system.images import ct_study, hashes
from tests.system.relay import PROFILE, destination, relay_in, route


def test_orthanc_is_a_source_and_a_destination(tmp_path: Path, broker_url: str) -> None:
    with (
        orthanc(tmp_path, "PACS") as pacs,
        store_scp(tmp_path, ae_title="ARCHIVE") as archive,
        relay_in(tmp_path / "relay", broker_url) as relay,
    ):
        relay.configure(
            destination("archive", archive.port) + destination("pacs", pacs.port, 'verify = "c-find"'),
            PROFILE
            + '[[source]]\nname = "pacs"\nae_title = "PACS"\n'
            + route("in", "pacs", more='profile = "reading"')
            + route("out", "archive", more='match = { source = "pacs" }'),
        )
        relay.start()
        relay.send(ct_study(tmp_path / "study", 3))
        relay.comes_to_rest()
        assert len(pacs.instances()) == 3
        assert [row["outcome"] for row in relay.deliveries("pacs")] == ["delivered"]
        assert relay.run("reconcile").returncode == 0
        _send_back(pacs, relay.port, pacs.instances())
        relay.comes_to_rest()
        relay.stop()
    assert len(archive.files()) == 3
    clean = [dcmread(file) for file in archive.files()]
    assert {(str(ds.PatientName), ds.PatientIdentityRemoved) for ds in clean} == {("", "YES")}
    assert set(hashes(archive.files())) == {ds.SOPInstanceUID for ds in clean}


def _send_back(pacs: Orthanc, port: int, instances: list[str]) -> None:
    """Has Orthanc store instances at the relay."""
    _ask(pacs, "PUT", "/modalities/relay", {"AET": "DCMRELAY", "Host": "127.0.0.1", "Port": port})
    answer = json.loads(_ask(pacs, "POST", "/modalities/relay/store", {"Resources": instances, "Synchronous": True}))
    assert answer["FailedInstancesCount"] == 0


def _ask(pacs: Orthanc, method: str, path: str, body: dict[str, object]) -> bytes:
    request = urllib.request.Request(
        f"http://127.0.0.1:{pacs.http_port}{path}", data=json.dumps(body).encode(), method=method
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return bytes(answer.read())
