"""Orthanc sends to the relay and receives from it."""

from pathlib import Path

from pydicom import dcmread

from tests.peers import orthanc, store_scp
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
        pacs.stores_to(relay.port, pacs.instances())
        relay.comes_to_rest()
        relay.stop()
    assert len(archive.files()) == 3
    clean = [dcmread(file) for file in archive.files()]
    assert {(str(ds.PatientName), ds.PatientIdentityRemoved) for ds in clean} == {("", "YES")}
    assert set(hashes(archive.files())) == {ds.SOPInstanceUID for ds in clean}
