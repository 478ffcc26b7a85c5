"""Other people's applications on the other side: DCMTK, Orthanc, pynetdicom's requestor."""

from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.filereader import read_file_meta_info
from pynetdicom import AE

from shared.dimse import (
    CALLED_NOT_RECOGNIZED,
    CALLING_NOT_RECOGNIZED,
    VERIFICATION,
    Association,
    Rejection,
    Timeouts,
    part10_header,
    request,
)
from shared.errors import PeerError, PeerRejectedError
from tests.peers import StoreScp, dcmsend, echoscu, orthanc, store_scp, storescu
from tests.shared.dimse.shelf import FILES, Instance, Shelf, instance, listening

IMPLICIT = "1.2.840.10008.1.2"


def associate(host: str, port: int, *instances: Instance) -> Association:
    contexts = [(VERIFICATION, [IMPLICIT]), *((i.sop_class_uid, [i.transfer_syntax_uid]) for i in instances)]
    return request(
        host,
        port,
        calling_ae_title="DCMRELAY",
        called_ae_title="ARCHIVE",
        contexts=contexts,
        timeouts=Timeouts(response=20),
    )


def store(association: Association, sent: Instance) -> int:
    context_id = association.accepted_context(sent.sop_class_uid, sent.transfer_syntax_uid)
    assert context_id is not None
    return association.store(
        sent.path,
        sent.offset,
        sent.length,
        context_id=context_id,
        sop_class_uid=sent.sop_class_uid,
        sop_instance_uid=sent.sop_instance_uid,
    )


def received_data_set(path: Path) -> bytes:
    meta = read_file_meta_info(path)
    return path.read_bytes()[128 + 4 + 12 + meta.FileMetaInformationGroupLength :]


def test_echoscu_is_answered() -> None:
    with listening(Shelf()) as listener:
        assert echoscu(listener.addresses[0][1]).returncode == 0


def test_dcmsend_stores_every_kind_of_transfer_syntax() -> None:
    shelf, sent = Shelf(), [instance(name) for name in FILES]
    with listening(shelf) as listener:
        said = dcmsend(listener.addresses[0][1], *(each.path for each in sent))
    assert said.returncode == 0, said.stderr
    assert len(shelf.kept) == len(sent)
    assert {r.affected_sop_instance_uid for r, _ in shelf.kept} == {each.sop_instance_uid for each in sent}
    compressed = {each.transfer_syntax_uid for each in sent if ".1.2.4." in each.transfer_syntax_uid}
    assert compressed < {r.transfer_syntax_uid for r, _ in shelf.kept}
    assert set(shelf.ended) == {"released"}


def test_storescu_stores() -> None:
    shelf, sent = Shelf(), [instance("CT_small.dcm"), instance("reportsi.dcm")]
    with listening(shelf) as listener:
        said = storescu(listener.addresses[0][1], *(each.path for each in sent))
    assert said.returncode == 0, said.stderr
    assert {r.affected_sop_instance_uid for r, _ in shelf.kept} == {each.sop_instance_uid for each in sent}


def test_pynetdicoms_requestor_stores_and_releases() -> None:
    shelf, sent = Shelf(), instance()
    ae = AE("PYNETDICOM")
    ae.add_requested_context(sent.sop_class_uid, sent.transfer_syntax_uid)
    with listening(shelf) as listener:
        association = ae.associate("127.0.0.1", listener.addresses[0][1])
        assert association.send_c_store(dcmread(sent.path)).Status == 0
        association.release()
    assert shelf.kept[0][0].affected_sop_instance_uid == sent.sop_instance_uid
    assert shelf.ended == ["released"]


@pytest.mark.parametrize(
    ("rejection", "words"),
    [
        (CALLING_NOT_RECOGNIZED, "Calling AE Title Not Recognized"),
        (CALLED_NOT_RECOGNIZED, "Called AE Title Not Recognized"),
    ],
)
def test_a_rejection_reads_well_at_the_modality(rejection: Rejection, words: str) -> None:
    with listening(Shelf(rejection=rejection)) as listener:
        said = echoscu(listener.addresses[0][1])
    assert said.returncode != 0
    assert words in said.stderr + said.stdout


def test_instances_arrive_at_storescp_byte_for_byte(tmp_path: Path) -> None:
    sent = [instance(name) for name in FILES]
    with store_scp(tmp_path, "--unique-filenames") as scp:
        with associate(scp.host, scp.port, *sent) as association:
            assert association.echo() == 0
            assert [store(association, each) for each in sent] == [0] * len(sent)
        arrived = sorted(received_data_set(file) for file in scp.files())
    assert arrived == sorted(each.on_the_wire for each in sent)


def test_a_peer_that_takes_implicit_only_refuses_the_other_contexts(tmp_path: Path) -> None:
    explicit, implicit = instance("CT_small.dcm"), instance("MR_small_implicit.dcm")
    with (
        store_scp(tmp_path, accept=("+xi",)) as scp,
        associate(scp.host, scp.port, explicit, implicit) as association,
    ):
        assert association.accepted_context(explicit.sop_class_uid, explicit.transfer_syntax_uid) is None
        assert store(association, implicit) == 0


def test_a_peer_that_refuses_says_so(tmp_path: Path) -> None:
    with store_scp(tmp_path, "--refuse") as scp, pytest.raises(PeerRejectedError):
        associate(scp.host, scp.port)


@pytest.mark.parametrize("option", ["--abort-after", "--abort-during"])
def test_a_peer_that_aborts_is_never_a_success(tmp_path: Path, option: str) -> None:
    sent = instance()
    with store_scp(tmp_path, option) as scp, pytest.raises(PeerError), associate(scp.host, scp.port, sent) as found:
        store(found, sent)


def test_a_peer_killed_in_mid_association_is_an_error(tmp_path: Path) -> None:
    sent = instance()
    with store_scp(tmp_path) as scp, associate(scp.host, scp.port, sent) as association:
        assert store(association, sent) == 0
        kill(scp)
        with pytest.raises(PeerError):
            store(association, sent)


def kill(scp: StoreScp) -> None:
    scp.stop()


def test_instances_arrive_at_orthanc_byte_for_byte(tmp_path: Path) -> None:
    sent = [instance("CT_small.dcm"), instance("MR_small_RLE.dcm")]
    with orthanc(tmp_path) as server:
        with associate(server.host, server.port, *sent) as association:
            assert [store(association, each) for each in sent] == [0, 0]
        arrived = {server.get(f"/instances/{name}/file") for name in server.instances()}
    assert sorted(file[-each.length :] == each.data_set for each in sent for file in arrived) == [
        False,
        False,
        True,
        True,
    ]


def test_a_file_with_our_header_is_read_by_others(tmp_path: Path) -> None:
    sent = instance()
    header = part10_header(
        sop_class_uid=sent.sop_class_uid,
        sop_instance_uid=sent.sop_instance_uid,
        transfer_syntax_uid=sent.transfer_syntax_uid,
        source_ae_title="CT1",
    )
    path = tmp_path / "with-header.dcm"
    path.write_bytes(header + sent.data_set)
    ds = dcmread(path)
    assert ds == dcmread(sent.path)
    assert (ds.file_meta.SourceApplicationEntityTitle, ds.file_meta.ImplementationVersionName) == ("CT1", "DCMRELAY_1")
    assert ds.file_meta.FileMetaInformationGroupLength == len(header) - 144
    shelf = Shelf()
    with listening(shelf) as listener:
        assert dcmsend(listener.addresses[0][1], path).returncode == 0
    assert shelf.kept[0][0].affected_sop_instance_uid == sent.sop_instance_uid
