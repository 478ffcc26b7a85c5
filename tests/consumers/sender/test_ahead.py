"""The next instance in memory: which bytes are handed out, and which are not."""

import errno
import os
from pathlib import Path

import pytest

from consumers.sender import ahead
from consumers.sender.ahead import Ahead
from shared.errors import StorageError
from shared.spool.parts import Instance
from tests.consumers.bench import Bench, bench, data_set, data_sets
from tests.consumers.sender.peer import flip_last_byte


def filled(tmp_path: Path, count: int = 3) -> tuple[Bench, tuple[Instance, ...]]:
    relay = bench(tmp_path)
    return relay, relay.manifest(relay.part(*data_sets(count))).instances


def stored_bytes(relay: Bench, instance: Instance) -> bytes:
    return relay.spool.store.path(instance.file).read_bytes()[instance.offset :]


def test_what_was_read_ahead_is_handed_out_and_stays_while_the_next_is_read(tmp_path: Path) -> None:
    relay, instances = filled(tmp_path, 5)
    reader = Ahead(instances, relay.spool.store.path)
    for instance in instances:
        content = reader.take(instance)
        reader.read()
        assert content == stored_bytes(relay, instance)


def test_the_bytes_handed_out_are_those_that_were_checked(tmp_path: Path) -> None:
    relay, instances = filled(tmp_path)
    reader, right = Ahead(instances, relay.spool.store.path), stored_bytes(relay, instances[0])
    reader.read()
    flip_last_byte(relay.spool.store.path(instances[0].file))
    assert reader.take(instances[0]) == right


def test_an_instance_is_never_handed_out_as_another(tmp_path: Path) -> None:
    relay, instances = filled(tmp_path)
    reader = Ahead(instances, relay.spool.store.path)
    reader.read()
    assert reader.take(instances[2]) == stored_bytes(relay, instances[2])
    assert reader.take(instances[1]) == stored_bytes(relay, instances[1])


def test_a_file_that_was_cut_is_not_what_was_stored(tmp_path: Path) -> None:
    relay, instances = filled(tmp_path, 1)
    path = relay.spool.store.path(instances[0].file)
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-2])
    assert Ahead(instances, relay.spool.store.path).take(instances[0]) is None


def test_what_is_too_large_for_memory_is_checked_and_stays_in_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ahead, "LARGEST", 1)
    relay = bench(tmp_path)
    (instance,) = relay.manifest(relay.part(data_set())).instances
    path = relay.spool.store.path(instance.file)
    assert Ahead([instance], relay.spool.store.path).take(instance) == path
    flip_last_byte(path)
    assert Ahead([instance], relay.spool.store.path).take(instance) is None


@pytest.mark.parametrize("largest", [1, 8 << 20])
@pytest.mark.parametrize(("number", "is_damage"), [(errno.EIO, True), (errno.EMFILE, False), (errno.ESTALE, False)])
def test_what_is_out_of_reach_for_the_moment_is_not_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, largest: int, number: int, *, is_damage: bool
) -> None:
    relay, instances = filled(tmp_path, 1)
    monkeypatch.setattr(ahead, "LARGEST", largest)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    reader = Ahead(instances, relay.spool.store.path)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refuse)
        if is_damage:
            assert reader.take(instances[0]) is None
        else:
            with pytest.raises(StorageError, match="read an instance"):
                reader.take(instances[0])
    assert Ahead(instances, relay.spool.store.path).take(instances[0]) is not None
