"""Our requestor and our acceptor, on loopback."""

import socket
from pathlib import Path

import pytest

from shared.dimse import (
    CALLED_NOT_RECOGNIZED,
    LOCAL_LIMIT,
    VERIFICATION,
    Association,
    Listener,
    Proposal,
    Timeouts,
    request,
)
from shared.errors import (
    PeerRejectedError,
    PeerTimeoutError,
    PeerUnreachableError,
    ProtocolError,
    StartError,
    StorageError,
)
from tests.shared.dimse.shelf import FILES, QUICK, Instance, Shelf, instance, listening
from tests.support import eventually

IMPLICIT = "1.2.840.10008.1.2"
ANY_CONTEXT = [(VERIFICATION, [IMPLICIT])]


def associate(listener: Listener[str], *instances: Instance, timeouts: Timeouts = QUICK) -> Association:
    host, port = listener.addresses[0]
    contexts = [*ANY_CONTEXT, *((i.sop_class_uid, [i.transfer_syntax_uid]) for i in instances)]
    return request(host, port, calling_ae_title="CT1", called_ae_title="RELAY", contexts=contexts, timeouts=timeouts)


def store(association: Association, sent: Instance, *, length: int | None = None, in_memory: bool = False) -> int:
    length = sent.length if length is None else length
    context_id = association.accepted_context(sent.sop_class_uid, sent.transfer_syntax_uid)
    assert context_id is not None
    return association.store(
        memoryview(sent.data_set)[:length] if in_memory else sent.path,
        sent.offset,
        length,
        context_id=context_id,
        sop_class_uid=sent.sop_class_uid,
        sop_instance_uid=sent.sop_instance_uid,
    )


def test_an_echo_is_answered_with_success() -> None:
    shelf = Shelf()
    with listening(shelf) as listener, associate(listener) as association:
        assert association.echo() == 0
    assert shelf.proposals == [Proposal(calling_ae_title="CT1", called_ae_title="RELAY", host="127.0.0.1")]
    assert (shelf.opened_count, shelf.closed_count, shelf.ended) == (1, 1, ["released"])


@pytest.mark.parametrize("in_memory", [False, True])
def test_instances_in_every_kind_of_transfer_syntax_arrive_byte_for_byte(in_memory: bool) -> None:
    shelf, sent = Shelf(), [instance(name) for name in FILES]
    with listening(shelf) as listener, associate(listener, *sent) as association:
        assert [store(association, each, in_memory=in_memory) for each in sent] == [0] * len(sent)
    assert [digest for _, digest in shelf.kept] == [each.digest for each in sent]
    assert [(r.affected_sop_class_uid, r.affected_sop_instance_uid, r.transfer_syntax_uid) for r, _ in shelf.kept] == [
        (each.sop_class_uid, each.sop_instance_uid, each.transfer_syntax_uid) for each in sent
    ]
    assert len({r.message_id for r, _ in shelf.kept}) == len(sent)


@pytest.mark.parametrize("length", [0, 1, 4089, 4090, 4091, 131066, 131067, (1 << 20) - 1, 1 << 20, 5_000_001])
@pytest.mark.parametrize("max_pdu", [4096, 131072])
@pytest.mark.parametrize("in_memory", [False, True])
def test_a_data_set_of_any_length_arrives_whole(tmp_path: Path, length: int, max_pdu: int, in_memory: bool) -> None:
    path = tmp_path / "instance"
    path.write_bytes(b"head" + bytes(range(251)) * (length // 251 + 1))
    sent = Instance(path, 4, "1.2.840.10008.5.1.4.1.1.2", "1.2.3", IMPLICIT)
    shelf = Shelf()
    with listening(shelf, max_pdu=max_pdu) as listener, associate(listener, sent) as association:
        assert store(association, sent, length=length, in_memory=in_memory) == 0
    assert shelf.kept[0][1] == Instance(_cut(path, 4 + length), 4, "", "", "").digest


def _cut(path: Path, length: int) -> Path:
    path.write_bytes(path.read_bytes()[:length])
    return path


def test_the_status_of_the_service_is_the_answer() -> None:
    sent = instance()
    with listening(Shelf(status=0xB007)) as listener, associate(listener, sent) as association:
        assert store(association, sent) == 0xB007


def test_a_service_that_refuses_an_instance_goes_on_with_the_association() -> None:
    shelf, sent = Shelf(refuse_with=0xA700), instance()
    with listening(shelf) as listener, associate(listener, sent) as association:
        assert store(association, sent) == 0xA700
        shelf.refuse_with = None
        assert store(association, sent) == 0
    assert (len(shelf.kept), shelf.discarded) == (1, 0)


def test_a_full_disk_in_mid_instance_is_answered_out_of_resources_and_nothing_is_kept() -> None:
    shelf, sent = Shelf(room=100), instance()
    with listening(shelf) as listener, associate(listener, sent) as association:
        assert store(association, sent) == 0xA700
        shelf.room = 1 << 30
        assert store(association, sent) == 0
    assert (len(shelf.kept), shelf.discarded) == (1, 1)


def test_an_instance_over_the_limit_is_refused_and_the_association_aborted() -> None:
    shelf, sent = Shelf(), instance()
    with listening(shelf, max_instance=sent.length - 1) as listener:
        association = associate(listener, sent)
        assert store(association, sent) == 0xA700
        eventually(lambda: shelf.closed_count == 1)
        association.abort()
    assert (shelf.kept, shelf.discarded, shelf.ended) == ([], 1, ["too_large"])


def test_a_sop_instance_uid_that_is_none_is_not_understood() -> None:
    shelf, sent = Shelf(), instance()
    bad = Instance(sent.path, sent.offset, sent.sop_class_uid, "../../../tmp/x", sent.transfer_syntax_uid)
    with listening(shelf) as listener, associate(listener, sent) as association:
        assert store(association, bad) == 0xC000
        assert store(association, sent) == 0
    assert shelf.sinks == 1


def test_a_rejection_reaches_the_requestor_with_its_meaning() -> None:
    shelf = Shelf(rejection=CALLED_NOT_RECOGNIZED)
    with (
        listening(shelf) as listener,
        pytest.raises(PeerRejectedError, match="called AE title not recognized") as caught,
    ):
        associate(listener)
    assert (caught.value.result, caught.value.source, caught.value.reason) == (1, 1, 7)
    assert (shelf.opened_count, shelf.ended) == (0, ["rejected"])


def test_an_abort_of_ours_ends_the_association_at_the_peer() -> None:
    shelf = Shelf()
    with listening(shelf) as listener:
        with pytest.raises(KeyError), associate(listener):
            raise KeyError
        eventually(lambda: shelf.ended == ["aborted"])
    assert shelf.closed_count == 1


@pytest.mark.parametrize(("most", "most_per_host"), [(2, 20), (100, 2)])
def test_an_association_too_many_is_rejected_for_now(most: int, most_per_host: int) -> None:
    limited = listening(Shelf(), max_associations=most, max_associations_per_host=most_per_host)
    with limited as listener, associate(listener):
        with associate(listener), pytest.raises(PeerRejectedError) as caught:
            associate(listener)
        assert (caught.value.result, caught.value.source, caught.value.reason) == (2, 3, 2)
        assert caught.value.reason == LOCAL_LIMIT.reason
        eventually(lambda: listener.associations == 1)
        with associate(listener) as association:
            assert association.echo() == 0


def test_an_idle_association_times_out() -> None:
    shelf = Shelf()
    idle = Timeouts(idle=0.1)
    with listening(shelf, timeouts=idle) as listener:
        association = associate(listener)
        eventually(lambda: shelf.ended == ["timeout"])
        association.abort()


def test_closing_lets_an_association_finish_within_the_grace() -> None:
    shelf, sent = Shelf(), instance()
    with listening(shelf) as listener:
        with associate(listener, sent) as association:
            assert store(association, sent) == 0
        listener.close(grace_seconds=5)
    assert shelf.ended == ["released"]


def test_closing_aborts_what_does_not_finish() -> None:
    shelf = Shelf()
    with listening(shelf) as listener:
        association = associate(listener)
        listener.close(grace_seconds=0.05)
        assert (shelf.ended, shelf.closed_count) == (["stopped"], 1)
        with pytest.raises(Exception, match="abort"):
            association.echo()
        association.abort()


def test_a_port_in_use_says_which_and_what_to_do() -> None:
    with listening(Shelf()) as listener:
        port = listener.addresses[0][1]
        with pytest.raises(StartError, match=f"cannot listen on 127.0.0.1:{port}: Address already in use; stop"):
            Listener([("127.0.0.1", port)], Shelf(), max_instance=1)


def test_nobody_listening_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(PeerUnreachableError, match=f"127.0.0.1:{port}: Connection refused"):
        request("127.0.0.1", port, calling_ae_title="A", called_ae_title="B", contexts=ANY_CONTEXT)


def test_a_silent_peer_times_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        host, port = server.getsockname()
        with pytest.raises(PeerTimeoutError):
            request(
                host,
                port,
                calling_ae_title="A",
                called_ae_title="B",
                contexts=ANY_CONTEXT,
                timeouts=Timeouts(associate=0.1),
            )


def test_a_context_the_peer_refuses_is_none() -> None:
    worklist = "1.2.840.10008.5.1.4.31"
    with listening(Shelf()) as listener:
        host, port = listener.addresses[0]
        contexts = [(worklist, [IMPLICIT]), *ANY_CONTEXT]
        with request(host, port, calling_ae_title="A", called_ae_title="B", contexts=contexts, timeouts=QUICK) as found:
            assert found.accepted_context(worklist, IMPLICIT) is None
            assert found.accepted_context(VERIFICATION, IMPLICIT) == 3


def test_nothing_proper_to_propose_is_said_before_a_connection() -> None:
    with pytest.raises(ProtocolError, match="proper UIDs"):
        request("127.0.0.1", 1, calling_ae_title="A", called_ae_title="B", contexts=[("1.2.03", [IMPLICIT])])


def test_a_file_shorter_than_its_data_set_is_never_sent_as_whole(tmp_path: Path) -> None:
    path = tmp_path / "instance"
    path.write_bytes(bytes(3_000_000))
    sent = Instance(path, 0, "1.2.840.10008.5.1.4.1.1.2", "1.2.3", IMPLICIT)
    shelf = Shelf()
    with listening(shelf) as listener:
        with pytest.raises(StorageError, match="damaged"), associate(listener, sent) as association:
            store(association, sent, length=3_000_001)
        eventually(lambda: shelf.ended == ["aborted"])
    assert (shelf.kept, shelf.discarded) == ([], 1)
