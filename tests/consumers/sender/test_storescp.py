"""Deliveries to DCMTK's storescp: real files, and each way it has to refuse them."""

import hashlib
from pathlib import Path

import pytest
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from shared.spool.parts import Instance
from tests.consumers.bench import bench, data_set, wheel, write
from tests.consumers.sender.peer import after, aimed, sender
from tests.peers import store_scp


def test_real_files_of_every_encoding_reach_storescp_byte_for_byte(tmp_path: Path) -> None:
    relay = bench(tmp_path)
    names = (
        "CT_small.dcm",
        "MR_small_implicit.dcm",
        "MR_small_bigendian.dcm",
        "SC_rgb_jpeg_dcmtk.dcm",
        "MR_small_RLE.dcm",
    )
    with store_scp(tmp_path, "--unique-filenames") as scp:
        aimed(relay, scp.port)
        part = relay.part(*map(wheel, names))
        assert after(relay, relay.delivery(part), sender(relay)).outcome == "delivered"
        arrived = {tail_hash(path, it) for path in scp.files() for it in relay.manifest(part).instances}
    assert arrived >= {it.sha256 for it in relay.manifest(part).instances}
    assert len(scp.files()) == len(names)


def test_kinds_that_storescp_does_not_accept_are_refused_and_the_others_delivered(tmp_path: Path) -> None:
    relay = bench(tmp_path)
    implicit, big = (
        write(tmp_path / f"{n}", data_set(n), syntax)
        for n, syntax in ((1, ImplicitVRLittleEndian), (2, ExplicitVRBigEndian))
    )
    with store_scp(tmp_path, accept=("+xi",)) as scp:
        aimed(relay, scp.port)
        delivery = relay.delivery(relay.part(implicit, big, data_set(3)))
        state = after(relay, delivery, sender(relay))
        assert len(scp.files()) == 1
    assert (state.status, state.dead_letter_class) == ("held", "refused")
    assert state.reason.startswith(
        "2 of 3 instances refused (the destination does not accept 1.2.840.10008.5.1.4.1.1.2 in "
    )
    assert list(relay.facts(delivery)["delivered"]) == ["0"]


@pytest.mark.parametrize("option", ["--abort-after", "--abort-during"])
def test_a_storescp_that_aborts_leaves_the_instance_in_doubt(tmp_path: Path, option: str) -> None:
    relay = bench(tmp_path)
    with store_scp(tmp_path, option) as scp:
        aimed(relay, scp.port)
        delivery = relay.delivery(relay.part(data_set()))
        state = after(relay, delivery, sender(relay))
    assert (state.status, state.tries) == ("waiting", 1)
    assert "delivered" not in relay.facts(delivery)


def test_a_storescp_that_refuses_every_association_is_tried_later(tmp_path: Path) -> None:
    relay = bench(tmp_path)
    with store_scp(tmp_path, "--refuse") as scp:
        aimed(relay, scp.port)
        state = after(relay, relay.delivery(relay.part(data_set())), sender(relay))
    assert state.status == "waiting"
    assert state.reason.startswith("association rejected")


def tail_hash(path: Path, instance: Instance) -> str:
    """Hash of a file's last bytes, as many as an instance's data set has."""
    return hashlib.sha256(path.read_bytes()[-instance.size :]).hexdigest()
